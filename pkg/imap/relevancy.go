// How well messages answer an inexact search (SEARCH=FUZZY, RFC 6203).

package imap

import (
	"context"
	"time"

	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// wantsScores reports whether the scores of what is found are asked for.
func (r *searchRequest) wantsScores() bool { return r.byScore || r.ret != nil && r.ret.relevancy }

// scores says how well each of the messages found answers the search. One that cannot be read any more answers badly.
func (s *selected) scores(ctx context.Context, k *store.Criteria, uids []imap.UID) (map[imap.UID]int, error) {
	scores := make(map[imap.UID]int, len(uids))
	for _, uid := range uids {
		scores[uid] = 1
	}
	m := k.Matcher(s.snap.Keywords(), time.Now())
	for msg, err := range s.account.Messages(ctx, s.snap, store.UIDSetOf(uids), k.Needs()|store.Passing) {
		if msg == nil {
			return nil, err
		}
		if err != nil {
			continue
		}
		score, err := m.Relevancy(ctx, msg)
		if ctx.Err() != nil {
			return nil, err
		}
		if err == nil {
			scores[msg.UID] = score
		}
		store.Progress(ctx, len(scores), len(uids))
	}
	return scores, nil
}

// writeScores writes the scores of the messages that are told of: of the part, if one is asked for (RFC 6203 §4).
func (c *conn) writeScores(r *searchRequest, uids []imap.UID) {
	if p := r.ret.partial; p != nil {
		from, to := p.places(len(uids))
		uids = uids[from:to]
	}
	c.enc.Atom(" RELEVANCY ").List(len(uids), func(i int) { c.enc.Number(uint32(r.scores[uids[i]])) })
}
