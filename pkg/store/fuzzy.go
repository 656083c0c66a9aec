package store

import (
	"context"
	"fmt"

	"postern/pkg/message"
)

// loose is a text that is searched for inexactly.
type loose struct {
	in    LeafIn // LeafBody, LeafText or LeafField
	field string
	text  *message.Fuzzy
}

func looseTexts(c *Criteria) []loose {
	var all []loose
	for _, h := range c.Header {
		all = append(all, loose{in: LeafField, field: h.Key, text: message.NewFuzzy(h.Value)})
	}
	for _, s := range c.Body {
		all = append(all, loose{in: LeafBody, text: message.NewFuzzy(s)})
	}
	for _, s := range c.Text {
		all = append(all, loose{in: LeafText, text: message.NewFuzzy(s)})
	}
	return all
}

// score is how well a message answers, 0 if it does not.
func (l *loose) score(ctx context.Context, msg *Message) (int, error) {
	switch err := ctx.Err(); {
	case err != nil:
		return 0, err
	case msg.Part == nil:
		return 0, errNoPart
	case l.in == LeafField:
		return msg.Part.FuzzyHeader(msg.Body, l.field, l.text)
	case l.in == LeafBody:
		return msg.Part.Fuzzy(msg.Body, message.InBody, l.text)
	}
	return msg.Part.Fuzzy(msg.Body, message.InText, l.text)
}

// Relevancy is how well a message that matches does so, from 1 to 100: the mean of what is searched for inexactly, or 100
// where nothing is (RFC 6203 §4). The message needs what Match needs.
func (m *Matcher) Relevancy(ctx context.Context, msg *Message) (int, error) {
	sum, n, err := m.scores(ctx, msg)
	if err != nil {
		return 0, fmt.Errorf("relevancy of UID %d: %w", msg.UID, err)
	}
	if n == 0 {
		return 100, nil
	}
	return max(1, sum/n), nil
}

// scores adds up what is searched for inexactly. Of two alternatives the better counts; what is not to be found does not.
func (m *Matcher) scores(ctx context.Context, msg *Message) (sum, n int, err error) {
	for i := range m.loose {
		score, err := m.loose[i].score(ctx, msg)
		if err != nil {
			return 0, 0, err
		}
		sum, n = sum+score, n+1
	}
	for _, f := range m.fuzzy {
		s, k, err := f.scores(ctx, msg)
		if err != nil {
			return 0, 0, err
		}
		sum, n = sum+s, n+k
	}
	for _, or := range m.or {
		s, k, err := or[0].scores(ctx, msg)
		if err != nil {
			return 0, 0, err
		}
		s2, k2, err := or[1].scores(ctx, msg)
		if err != nil {
			return 0, 0, err
		}
		if s2*max(k, 1) > s*max(k2, 1) {
			s, k = s2, k2
		}
		sum, n = sum+s, n+k
	}
	return sum, n, nil
}
