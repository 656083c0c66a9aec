// Sorted results that are kept up to date (CONTEXT=SORT, RFC 5267 §4).

package imap

import (
	"context"
	"slices"

	"github.com/emersion/go-imap/v2"
)

const capContextSort imap.Cap = "CONTEXT=SORT"

// fewCome is how many messages are best put in their places one by one.
const fewCome = 16

// arrange returns a sorted result as it will be: without gone, and with come where they belong. Messages do not change
// places among themselves: nothing that they are sorted by ever changes.
func (c *conn) arrange(ctx context.Context, l *liveSearch, gone, come imap.UIDSet) ([]imap.UID, error) {
	old := without(l.sorted, gone)
	sorted := slices.DeleteFunc(slices.Clone(old), func(uid imap.UID) bool { // nothing is known of it but its place
		_, there := c.sel.snap.Find(uid)
		return !there
	})
	fresh, _ := come.Nums()
	if len(fresh) > fewCome {
		sorted = append(sorted, fresh...)
		slices.Sort(sorted)
		sorted, err := c.sorted(ctx, sorted, &sortRequest{searchRequest: searchRequest{by: l.by}})
		return weave(old, sorted), err
	}
	for _, uid := range fresh {
		at, err := c.placeFor(ctx, l, sorted, uid)
		if err != nil {
			return nil, err
		}
		sorted = slices.Insert(sorted, at, uid)
	}
	return weave(old, sorted), nil
}

// weave puts back into sorted those of old that it lacks, each before what it was before. The order of old stays, whatever
// sorted says: the client knows it.
func weave(old, sorted []imap.UID) []imap.UID {
	places := make(map[imap.UID]int, len(old))
	for i, uid := range old {
		places[uid] = i
	}
	all := make([]imap.UID, 0, len(old)+len(sorted))
	next := 0
	for _, uid := range sorted {
		at, known := places[uid]
		if !known {
			all = append(all, uid)
		} else if at >= next {
			all = append(all, old[next:at+1]...)
			next = at + 1
		}
	}
	return append(all, old[next:]...)
}

// placeFor finds the place of a message in a sorted result, looking at few of the others.
func (c *conn) placeFor(ctx context.Context, l *liveSearch, sorted []imap.UID, uid imap.UID) (int, error) {
	lo, hi := 0, len(sorted)
	for lo < hi {
		mid := (lo + hi) / 2
		pair := []imap.UID{min(uid, sorted[mid]), max(uid, sorted[mid])}
		ordered, err := c.sorted(ctx, pair, &sortRequest{searchRequest: searchRequest{by: l.by}})
		if err != nil {
			return 0, err
		}
		if ordered[0] == uid {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo, nil
}

// without returns a copy of a list that lacks the members of a set.
func without(list []imap.UID, set imap.UIDSet) []imap.UID {
	return slices.DeleteFunc(slices.Clone(list), set.Contains)
}

// tellPlaces writes what leaves a sorted result, the last first, then what joins it, the first first: so each place is right
// when its turn comes (RFC 5267 §4.3.2).
func (c *conn) tellPlaces(l *liveSearch, ch resultChange) {
	sorted := ch.sorted
	if sorted == nil {
		sorted = without(l.sorted, ch.gone)
	}
	open := " REMOVEFROM ("
	for i := len(l.sorted) - 1; i >= 0; i-- {
		if ch.gone.Contains(l.sorted[i]) {
			c.tellAt(l, &open, i, l.sorted[i])
		}
	}
	c.closePlaces(open, " REMOVEFROM (")
	open = " ADDTO ("
	for i, uid := range sorted {
		if ch.come.Contains(uid) {
			c.tellAt(l, &open, i, uid)
		}
	}
	c.closePlaces(open, " ADDTO (")
	l.sorted = sorted
}

// tellAt writes a place, counted from 1, and the message there.
func (c *conn) tellAt(l *liveSearch, open *string, i int, uid imap.UID) {
	num := uint32(uid)
	if !l.byUID {
		num, _ = c.sel.view.Seq(uid)
	}
	c.enc.Atom(*open).Number(uint32(i + 1)).SP().Number(num)
	*open = " "
}

func (c *conn) closePlaces(open, unopened string) {
	if open != unopened {
		c.enc.Byte(')')
	}
}
