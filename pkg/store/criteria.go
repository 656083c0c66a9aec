package store

import (
	"context"
	"time"

	"github.com/emersion/go-imap/v2"
)

// Criteria is what SEARCH asks for: the keys of RFC 9051 as go-imap has them, and those of extensions it does not
// model. All of them must hold. Not and Or hide the embedded fields of the same name so that extension keys can be
// nested; the embedded ones stay empty. Numbers have been resolved to UIDs. Dates of Since, Before, SentSince and
// SentBefore count as days, without time and zone (RFC 3501 §6.4.4); the day of an INTERNALDATE or SAVEDATE is the one
// in UTC, that of a Date field the one it shows. Strings are UTF-8.
type Criteria struct {
	imap.SearchCriteria
	Not                     []Criteria
	Or                      [][2]Criteria
	Younger, Older          time.Duration // WITHIN, RFC 5032
	SavedSince, SavedBefore time.Time     // SAVEDATE, RFC 8514
	EmailID, ThreadID       []string      // OBJECTID, RFC 8474
	Filter                  []string      // FILTERS, RFC 5466: names, replaced before a store sees them
	Fuzzy                   []Criteria    // FUZZY, RFC 6203: strings are searched for inexactly, see message.Fuzzy
}

// Match reports whether m satisfies c, reading the body only if it must. It is the definition of SEARCH: a store may
// answer faster, but not differently. keywords are the mailbox's; now is for Younger and Older. m needs its Part if
// Needs says so.
func (c *Criteria) Match(ctx context.Context, m *Message, keywords []imap.Flag, now time.Time) (bool, error) {
	return c.Matcher(keywords, now).Match(ctx, m)
}

// MatchRow decides from a snapshot alone whether the message at place i satisfies c. known is false when it takes the
// message itself to tell. For many messages, make one Matcher.
func (c *Criteria) MatchRow(s *Snapshot, i int, now time.Time) (match, known bool) {
	return c.Matcher(s.Keywords(), now).MatchRow(s, i)
}

// Needs says what Messages must bring for Match; zero if snapshots can tell.
func (c *Criteria) Needs() Fields {
	var f Fields
	if !c.SentSince.IsZero() || !c.SentBefore.IsZero() {
		f |= WithPart
	}
	if len(c.Header) > 0 {
		f |= WithPart | WithHeader
	}
	if len(c.Body) > 0 {
		f |= WithPart | WithBody
	}
	if len(c.Text) > 0 {
		f |= WithPart | WithHeader | WithBody
	}
	for i := range c.Not {
		f |= c.Not[i].Needs()
	}
	for i := range c.Or {
		f |= c.Or[i][0].Needs() | c.Or[i][1].Needs()
	}
	for i := range c.Fuzzy {
		f |= c.Fuzzy[i].Needs()
	}
	return f
}
