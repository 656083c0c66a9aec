package postgres

import (
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// moment is a time of a newsClock.
type moment uint64

// newsClock orders news and looks: what a look found that began before a piece of news may be without it. Times are no good for
// that, for two things can happen at one.
type newsClock struct {
	now   moment
	all   moment                 // of the last news that concerned everyone
	trees [newsStripes]moment    // of the last change of mailboxes' names, or of who may use them, by account
	doubt [newsStripes]time.Time // until when a change may come that was given up, by account
}

// newsStripes bounds the memory for accounts: some share theirs, and look once more than they need.
const newsStripes = 1024

func stripeOf(id store.AccountID) uint64 { return uint64(id) * 0x9e3779b97f4a7c15 >> 54 }

// next is the moment of something new.
func (n *newsClock) next() moment {
	n.now++
	return n.now
}

// good reports whether what a look found of an account's mailboxes is all there is, as far as names go and what was given up.
func (n *newsClock) good(id store.AccountID, looked moment) bool {
	i := stripeOf(id)
	if until := n.doubt[i]; !until.IsZero() {
		if time.Now().Before(until) {
			return false
		}
		n.doubt[i], n.trees[i] = time.Time{}, n.next() // what came, came before now
	}
	return looked >= max(n.trees[i], n.all)
}

// moment is for one who is going to look without a flight.
func (c *cache) moment() moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.news.now
}

// good reports whether what was found of an account's tree by one who began to look at a moment holds.
func (c *cache) good(id store.AccountID, looked moment) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.news.good(id, looked)
}

// outdateTree notes that names of an account's mailboxes have changed here, or what goes with them.
func (c *cache) outdateTree(id store.AccountID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.news.trees[stripeOf(id)] = c.news.next()
}

// confirm notes that v is the mailbox, for one who began to look at a moment and found box.
func (c *cache) confirm(key boxKey, v *version, box store.Mailbox, looked moment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.boxes[key]
	if !ok || e.now != v || e.running != nil || looked < e.looked {
		return
	}
	e.now, e.looked = &version{snap: v.snap, box: box, log: v.log}, looked
}

// doubtFor is how long PostgreSQL may still be at a transaction that we have given up: it is not told when a connection is cut
// before it has something to say.
const doubtFor = 10 * time.Minute

// doubt is called with what a write to an account's mail ended with. If nobody knows whether that was committed, or still will
// be, what is in memory of the account is not enough for a while.
func (s *Store) doubt(id store.AccountID, err error) {
	if err == nil || isRefused(err) || isOurs(err) {
		return
	}
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	s.cache.news.doubt[stripeOf(id)] = time.Now().Add(doubtFor)
}

// doubts reports whether a change may yet come that was given up.
func (c *cache) doubts() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.news.doubt[:], func(until time.Time) bool { return time.Now().Before(until) })
}

// isOurs reports that a step of ours has refused to go on, and so the transaction was not committed.
func isOurs(err error) bool {
	for _, refusal := range []error{
		pgx.ErrNoRows, store.ErrNotFound, store.ErrExists, store.ErrName, store.ErrUse, store.ErrHasChildren, store.ErrOverQuota, store.ErrTooBig,
		store.ErrTooManyKeywords, store.ErrTooManyMailboxes, store.ErrTooManyAnnotations, store.ErrTooManySubscribed, store.ErrExpunged,
	} {
		if errors.Is(err, refusal) {
			return !errors.Is(err, store.ErrUnavailable)
		}
	}
	return false
}

// openName is how a session asks for a mailbox.
type openName struct {
	account store.AccountID
	name    string
}

// opening is what mailbox a name was found to be by one who began to look at a moment.
type opening struct {
	box    store.MailboxID
	looked moment
}

// remember keeps a mailbox's name, and from where on its messages are recent.
func (s *Store) remember(key boxKey, st *state, looked moment) {
	s.recent.mark(key, st.recent)
	s.names.put(openName{key.account, st.box.Name}, opening{st.box.ID, looked})
}

// remembered is Open from memory: ok is false if that may not be what the database has.
func (a *account) remembered(name string) (box store.Mailbox, snap *store.Snapshot, ok bool) {
	if !a.s.presence.alone() {
		return box, nil, false
	}
	o, ok := a.s.names.get(openName{a.id, name})
	if !ok || !a.s.cache.good(a.id, o.looked) {
		return box, nil, false
	}
	key := boxKey{a.id, o.box}
	v := a.s.cache.sure(key, 0)
	if v == nil || v.box.ModSeq != v.snap.ModSeq() { // the counters of a version that was made here are those of the one before
		return box, nil, false
	}
	box = v.box
	if box.Recent, ok = a.s.recent.count(key, v.snap); !ok {
		return box, nil, false
	}
	a.s.live.saw(key, v.snap.ModSeq())
	return box, v.snap, true
}
