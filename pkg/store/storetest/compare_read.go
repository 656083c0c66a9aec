package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// The random things that Compare does: reading.

// maxSessions is how many mailboxes Compare keeps open.
const maxSessions = 6

func (c *comparison) open() {
	s := c.openBox(c.name())
	if s == nil {
		return
	}
	if len(c.sessions) == maxSessions {
		c.sessions = c.sessions[1:]
	}
	c.sessions = append(c.sessions, s)
}

// openBox opens a mailbox in both stores, or returns nil.
func (c *comparison) openBox(name string) *session {
	c.Helper()
	s := &session{name: name}
	ok := both(c, fmt.Sprintf("Open(%q)", name), func(w *world, i int) (store.Mailbox, error) {
		b, snap, err := w.account.Open(c.ctx, name)
		s.snaps[i] = snap
		return b, err
	}, func(w *world, b store.Mailbox) string {
		w.checkValidity(c, b)
		snap := s.snaps[slices.Index(c.worlds[:], w)]
		return showBox(b) + "\n" + showSnapshot(snap)
	})
	if !ok {
		return nil
	}
	for i := range min(s.snaps[0].Len(), s.snaps[1].Len()) {
		c.pair(s.snaps[0].Row(i).ID, s.snaps[1].Row(i).ID)
	}
	return s
}

func (c *comparison) refresh() {
	if len(c.sessions) > 0 {
		c.refreshSession(pick(c, c.sessions))
	}
}

// refreshSession brings a session up to date. It ends with its mailbox.
func (c *comparison) refreshSession(s *session) {
	c.Helper()
	var next [2]*store.Snapshot
	ok := both(c, fmt.Sprintf("Refresh(%q)", s.name), func(w *world, i int) (store.Changes, error) {
		snap, ch, err := w.account.Refresh(c.ctx, s.snaps[i])
		next[i] = snap
		return ch, err
	}, func(w *world, ch store.Changes) string {
		i := slices.Index(c.worlds[:], w)
		had := s.snaps[i]
		removed := slices.DeleteFunc(uidsIn(ch.Removed), func(uid imap.UID) bool {
			_, known := had.Find(uid)
			return !known // came and went: a store may tell of it
		})
		return fmt.Sprintf("(%d, %d] %v added %s flagged %s removed %v\n%s", ch.Since, ch.Until, ch.Complete,
			showEntries(ch.Added, next[i].Keywords()), showEntries(ch.Flagged, next[i].Keywords()), removed, showSnapshot(next[i]))
	})
	if ok {
		s.snaps = next
		return
	}
	c.sessions = slices.DeleteFunc(c.sessions, func(other *session) bool { return other == s })
}

func (c *comparison) since() {
	if len(c.sessions) == 0 {
		return
	}
	s := pick(c, c.sessions)
	at := store.ModSeq(c.r.IntN(40))
	if c.r.IntN(10) == 0 {
		at = 1<<64 - 1
	}
	both(c, fmt.Sprintf("Since(%q, %d)", s.name, at), func(w *world, i int) (store.Changes, error) {
		return w.account.Since(c.ctx, s.snaps[i], at)
	}, func(_ *world, ch store.Changes) string {
		if c.swept { // one store may have kept more than the other
			return fmt.Sprint(changed(ch))
		}
		return fmt.Sprint(changed(ch), uidsIn(ch.Removed), ch.Complete)
	})
}

func (c *comparison) read() {
	if len(c.sessions) > 0 {
		c.readSet(pick(c, c.sessions), c.set(), store.Fields(c.r.IntN(8)))
	}
}

// readSet reads messages with all their octets, those that are gone by now included.
func (c *comparison) readSet(s *session, set imap.UIDSet, want store.Fields) {
	c.Helper()
	both(c, fmt.Sprintf("Messages(%q, %v, %b)", s.name, set, want), func(w *world, i int) (string, error) {
		var out string
		for m, err := range w.account.Messages(c.ctx, s.snaps[i], set, want) {
			if m == nil {
				return out, err
			}
			if err != nil {
				out += fmt.Sprintf("%d unreadable %s\n", m.UID, kind(err))
				continue
			}
			out += c.showMessage(m, s.snaps[i], want) + "\n"
		}
		return out, nil
	}, func(_ *world, out string) string { return out })
}

func (c *comparison) search() {
	if len(c.sessions) == 0 {
		return
	}
	s := pick(c, c.sessions)
	criteria := c.criteria(3)
	both(c, fmt.Sprintf("Search(%q, %+v)", s.name, criteria), func(w *world, i int) ([]imap.UID, error) {
		return w.account.Search(c.ctx, s.snaps[i], &criteria)
	}, func(_ *world, uids []imap.UID) string { return fmt.Sprint(uids) })
}

// criteria combines keys at random.
func (c *comparison) criteria(depth int) store.Criteria {
	criteria := c.key()
	if depth == 0 {
		return criteria
	}
	switch c.r.IntN(5) {
	case 0:
		criteria.Not = append(criteria.Not, c.criteria(depth-1))
	case 1:
		criteria.Or = append(criteria.Or, [2]store.Criteria{c.criteria(depth - 1), c.criteria(depth - 1)})
	case 2:
		other := c.key()
		criteria.And(&other.SearchCriteria)
	}
	return criteria
}

// key returns one search key.
func (c *comparison) key() store.Criteria {
	date := time.UnixMilli(c.r.Int64N(2_000_000_000_000))
	word := pick(c, []string{"hello", "MEETING", "会議", "two", "b", "bytes", "quota", "nothing", ""})
	keys := []imap.SearchCriteria{
		{UID: []imap.UIDSet{c.set()}},
		{Flag: c.known()},
		{NotFlag: c.known()},
		{Since: date},
		{Before: date},
		{SentSince: march(1)},
		{SentBefore: march(3)},
		{Larger: int64(c.r.IntN(300))},
		{Smaller: int64(c.r.IntN(300))},
		{ModSeq: &imap.SearchCriteriaModSeq{ModSeq: uint64(c.r.IntN(40))}},
		{Header: []imap.SearchCriteriaHeaderField{{Key: pick(c, []string{"Subject", "from", "X", "Delivered-To"}), Value: word}}},
		{Body: []string{word}},
		{Text: []string{word, pick(c, []string{"subject", "a"})}},
	}
	criteria := native(pick(c, keys))
	switch c.r.IntN(20) {
	case 3, 4:
		criteria = store.Criteria{Fuzzy: []store.Criteria{criteria}}
	case 5:
		criteria.SavedSince = march(1)
	case 0:
		criteria.Younger = 10 * 365 * 24 * time.Hour
	case 1:
		criteria.Older = 10 * 365 * 24 * time.Hour
	case 2:
		criteria.SavedBefore = march(1)
	}
	return criteria
}

// known returns flags to search for; unlike those to set, they may be anything.
func (c *comparison) known() []imap.Flag {
	return []imap.Flag{pick(c, flagNames), pick(c, append([]imap.Flag{`\Recent`, "never"}, flagNames...))}[:1+c.r.IntN(2)]
}
