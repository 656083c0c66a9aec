package imap

import (
	"fmt"

	"postern/pkg/store"
)

// What one search may ask for (rule 11). It is asked of each of many messages: without bounds one line would keep a processor
// busy for minutes.
const (
	maxSearchDepth  = 50       // how deep NOT, OR and parentheses may nest
	maxSearchKeys   = 1000     // keys in all
	maxTextKeys     = 500      // keys that look into messages: each goes through all of their text
	maxFuzzyKeys    = 20       // those of them that do so inexactly
	maxSearchOctets = 64 << 10 // of all strings together
)

// burden is what a search asks for.
type burden struct{ keys, texts, fuzzy, octets int }

func (b *burden) add(c *store.Criteria, inexact bool) {
	b.keys += 1 + len(c.UID) + len(c.SeqNum)
	n := len(c.Body) + len(c.Text) + len(c.Header)
	b.texts += n
	if inexact {
		b.fuzzy += n
	}
	for i := range c.Fuzzy {
		b.add(&c.Fuzzy[i], true)
	}
	for i := range c.Not {
		b.add(&c.Not[i], inexact)
	}
	for i := range c.Or {
		b.add(&c.Or[i][0], inexact)
		b.add(&c.Or[i][1], inexact)
	}
}

// excess says what a search asks too much of, empty if of nothing.
func excess(c *store.Criteria) string {
	var b burden
	b.add(c, false)
	eachText(c, func(s *string) { b.octets += len(*s) })
	for _, l := range []struct {
		n, most int
		what    string
	}{
		{b.keys, maxSearchKeys, "search keys"},
		{b.texts, maxTextKeys, "keys that look into messages"},
		{b.fuzzy, maxFuzzyKeys, "keys that look into messages inexactly"},
		{b.octets, maxSearchOctets, "octets to search for"},
	} {
		if l.n > l.most {
			return fmt.Sprintf("at most %d %s", l.most, l.what)
		}
	}
	return ""
}
