// Searches whose results are kept up to date (CONTEXT=SEARCH, RFC 5267 §4).

package imap

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"postern/pkg/imap/wire"
	"postern/pkg/order"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

const capContextSearch imap.Cap = "CONTEXT=SEARCH"

// What a session may have kept up to date (RFC 5267 §4.3.1): so many results, each of so many ranges of messages.
const (
	maxLive       = 16
	maxLiveRanges = 1 << 16
	maxLiveSorted = 1 << 17  // of SORT, so many messages
	maxLiveOctets = 32 << 10 // of a command, which are kept with what it asks for
)

// liveSearch is a search of whose result the client is told every change. Only messages that have changed are looked at
// again.
type liveSearch struct {
	tag      string
	byUID    bool
	criteria store.Criteria // as the client wrote them, "*" and \Recent included
	members  imap.UIDSet    // the result, as the client knows it
	describe *fetchRequest  // what it wants to know of new messages in it; nil for nothing

	by     []order.Criterion // of SORT
	sorted []imap.UID        // the result in that order

	last    imap.UID        // what "*" stood for
	ages    []time.Duration // by which messages begin or cease to match
	checked time.Time       // when that was last looked at
}

// mayFollow refuses a tag that is in use for another search (RFC 5267 §4.3).
func (s *selected) mayFollow(tag string, o *searchReturn) error {
	if o != nil && o.update && s.findLive(tag) >= 0 {
		return badf("That tag is in use for another UPDATE.")
	}
	return nil
}

func (s *selected) findLive(tag string) int {
	return slices.IndexFunc(s.live, func(l *liveSearch) bool { return l.tag == tag })
}

// follow begins to keep a result up to date, or tells the client why not; the search is answered all the same
// (RFC 5267 §4.3.1).
func (c *conn) follow(l *liveSearch) {
	s := c.sel
	switch {
	case len(s.live) >= maxLive:
		c.refuseUpdates(l, "There are too many already.")
	case c.partly != "": // what is known of is not all there is
		c.refuseUpdates(l, "Not all messages have been looked at.")
	case !followable(&l.criteria):
		c.refuseUpdates(l, "What the numbers in it mean will change.")
	case slices.ContainsFunc(l.by, func(k order.Criterion) bool { return k.By == order.Relevancy }):
		c.refuseUpdates(l, "How well messages answer is not kept up to date.")
	case len(l.members) > maxLiveRanges || len(l.sorted) > maxLiveSorted:
		c.refuseUpdates(l, "The result is too large.")
	case c.dec.At() > maxLiveOctets || rangesIn(&l.criteria) > maxLiveRanges:
		c.refuseUpdates(l, "The search is too long.")
	default:
		l.last, _ = s.view.UID(s.view.Len())
		l.ages = agesIn(&l.criteria, nil)
		s.live = append(s.live, l)
	}
}

func (c *conn) refuseUpdates(l *liveSearch, why string) {
	c.untagged("NO", fmt.Sprintf("NOUPDATE %q", l.tag), why)
}

// followable reports whether a search can be followed by looking at changed messages alone. Where it names message numbers,
// other than all of them, or a saved result, it cannot.
func followable(k *store.Criteria) bool {
	for _, set := range k.SeqNum {
		if !slices.ContainsFunc(set, func(r imap.SeqRange) bool { return min(r.Start, r.Stop) == 0 && max(r.Start, r.Stop) == 1 }) {
			return false
		}
	}
	ok := !slices.ContainsFunc(k.UID, func(set imap.UIDSet) bool { return imap.IsSearchRes(set) })
	each(k, func(inner *store.Criteria) { ok = ok && followable(inner) })
	return ok
}

// agesIn appends the ages at which messages begin or cease to match (RFC 5032).
func agesIn(k *store.Criteria, ages []time.Duration) []time.Duration {
	for _, age := range []time.Duration{k.Younger, k.Older} {
		if age > 0 {
			ages = append(ages, age)
		}
	}
	each(k, func(inner *store.Criteria) { ages = agesIn(inner, ages) })
	return ages
}

// rangesIn counts the ranges of UIDs that a search names: with filters in it they may be more than a command has room for.
func rangesIn(k *store.Criteria) int {
	n := 0
	for _, set := range k.UID {
		n += len(set)
	}
	each(k, func(inner *store.Criteria) { n += rangesIn(inner) })
	return n
}

// touch notes which messages the live searches have to look at.
func (s *selected) touch(ch store.Changes) {
	if len(s.live) == 0 {
		return
	}
	for _, entries := range [][]store.Entry{ch.Added, ch.Flagged} {
		for _, e := range entries {
			s.touched = append(s.touched, e.UID)
		}
	}
	slices.Sort(s.touched)
	s.touched = slices.Compact(s.touched)
}

// tellRemoved takes the messages out of the results whose EXPUNGE comes next: as long as their numbers are valid
// (RFC 5267 §4.3.4).
func (c *conn) tellRemoved() {
	s := c.sel
	if len(s.live) == 0 {
		return
	}
	gone := store.UIDSetOf(s.view.Gone())
	for _, l := range slices.Clone(s.live) {
		c.tellChange(l, resultChange{gone: common(l.members, gone)})
	}
}

// tellUpdates brings the results up to date, after EXISTS (RFC 5267 §4.3.3). What could not be looked at stays touched.
func (c *conn) tellUpdates(ctx context.Context) error {
	s := c.sel
	if len(s.live) == 0 {
		s.touched = nil
		return nil
	}
	for _, l := range slices.Clone(s.live) {
		ch, err := c.review(ctx, l)
		if err == nil {
			err = c.describeNew(ctx, l, ch)
		}
		if err != nil {
			return fmt.Errorf("update of a search: %w", err)
		}
		if s.findLive(l.tag) >= 0 {
			c.tellChange(l, ch)
			l.last, l.checked = ch.last, ch.at
		}
	}
	s.touched = nil
	return nil
}

// resultChange is what becomes of a result.
type resultChange struct {
	gone, come imap.UIDSet
	sorted     []imap.UID // of a SORT, as it will be; nil if nothing joins it
	last       imap.UID   // see liveSearch
	at         time.Time
}

// review looks at what may have begun or ceased to match.
func (c *conn) review(ctx context.Context, l *liveSearch) (ch resultChange, err error) {
	ctx, cancel := c.briefly(ctx)
	defer cancel()
	s := c.sel
	ch.last, ch.at = l.last, l.checked
	now := time.Now()
	last, _ := s.view.UID(s.view.Len())
	doubtful := slices.Clone(s.touched)
	if last != l.last {
		doubtful = append(doubtful, last, l.last)
	}
	doubtful = l.aged(s.snap, now, doubtful)
	if len(doubtful) == 0 {
		return ch, nil
	}
	doubtful = slices.DeleteFunc(doubtful, func(uid imap.UID) bool { return uid == 0 }) // the last of none
	slices.Sort(doubtful)
	look := held(s.snap, store.UIDSetOf(slices.Compact(doubtful)))
	k := cloneCriteria(&l.criteria)
	s.resolveCriteria(&k)
	k.UID = slices.Insert(k.UID, 0, look)
	uids, err := s.account.Search(ctx, s.snap, &k)
	if err != nil {
		return ch, err
	}
	match := store.UIDSetOf(uids)
	ch.gone, ch.come = common(l.members, subtract(look, match)), subtract(match, l.members)
	if l.by != nil {
		if ch.sorted, err = c.arrange(ctx, l, ch.gone, ch.come); err != nil {
			return ch, err
		}
	}
	ch.last, ch.at = last, now
	return ch, nil
}

// describeNew describes the new messages in a result: after their EXISTS, before they are told to be in it (RFC 5465 §7,
// where §5.2 says the opposite: erratum 4833). Those that had been there and match by now are not new.
func (c *conn) describeNew(ctx context.Context, l *liveSearch, ch resultChange) error {
	if l.describe == nil {
		return nil
	}
	fresh := common(ch.come, imap.UIDSet{{Start: l.last + 1, Stop: math.MaxUint32}})
	switch n := size(fresh); {
	case n == 0:
		return nil
	case n > maxToldNew:
		c.unfollow(l.tag)
		c.refuseUpdates(l, "There are too many new messages to describe.")
		return nil
	}
	return c.describe(ctx, *l.describe, fresh)
}

// aged appends the messages that have come of one of the ages since that was last looked at: not more often than once a
// second.
func (l *liveSearch) aged(snap *store.Snapshot, now time.Time, uids []imap.UID) []imap.UID {
	if len(l.ages) == 0 || now.Sub(l.checked) < time.Second && len(uids) == 0 {
		return uids
	}
	for i := range snap.Len() {
		received := snap.Received(i)
		for _, age := range l.ages {
			if at := received.Add(age).Add(time.Millisecond); !at.Before(l.checked) && !at.After(now.Add(time.Millisecond)) {
				uids = append(uids, snap.UID(i))
				break
			}
		}
	}
	return uids
}

// tellChange tells of messages that leave a result and of others that join it. The place in it goes without saying: it is in
// the order of the mailbox (RFC 5267 §4.3.2).
func (c *conn) tellChange(l *liveSearch, ch resultChange) {
	gone, come := ch.gone, ch.come
	if len(gone) == 0 && len(come) == 0 {
		return
	}
	l.members = union(subtract(l.members, gone), come)
	c.enc.Atom("* ESEARCH (TAG ").String(l.tag).Byte(')')
	if l.byUID {
		c.enc.Atom(" UID")
	}
	switch {
	case l.by != nil:
		c.tellPlaces(l, ch)
	case len(gone) > 0:
		c.enc.Atom(" REMOVEFROM (0 ").NumSet(c.numbers(gone, l.byUID)).Byte(')')
		fallthrough
	default:
		if len(come) > 0 {
			c.enc.Atom(" ADDTO (0 ").NumSet(c.numbers(come, l.byUID)).Byte(')')
		}
	}
	c.enc.CRLF()
	if len(l.members) > maxLiveRanges || len(l.sorted) > maxLiveSorted {
		c.unfollow(l.tag)
		c.refuseUpdates(l, "The result has become too large.")
	}
}

// unfollow ends the updates of a search and reports whether there were any.
func (c *conn) unfollow(tag string) bool {
	i := c.sel.findLive(tag)
	if i < 0 {
		return false
	}
	c.sel.live = slices.Delete(c.sel.live, i, i+1)
	return true
}

// CANCELUPDATE (RFC 5267 §4.3.5).

// maxCancel bounds how many tags CANCELUPDATE takes (rule 11).
const maxCancel = 100

func parseCancelUpdate(d *wire.Decoder, _ flags) ([]string, error) {
	tags := []string{d.SP().Text()}
	for d.TrySP() {
		if tags = append(tags, d.Text()); len(tags) > maxCancel {
			d.Fail("at most %d tags", maxCancel)
		}
	}
	return tags, d.End()
}

// cancelUpdate ends the updates of all the searches named, or of none if one is not known.
func (c *conn) cancelUpdate(_ context.Context, tags []string) error {
	for _, tag := range tags {
		if c.sel.findLive(tag) < 0 {
			return badf("There is no search with that tag that is kept up to date.")
		}
	}
	for _, tag := range tags {
		c.unfollow(tag)
	}
	return nil
}
