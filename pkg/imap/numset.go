package imap

import (
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// size is the number of UIDs in a set without "*".
func size(uids imap.UIDSet) int { return store.CountUIDs(uids) }

// present is how many of uids a snapshot holds.
func present(snap *store.Snapshot, uids imap.UIDSet) int {
	n := 0
	for _, places := range snap.Indices(uids) {
		n += places[1] - places[0]
	}
	return n
}

// static turns what a client wrote into an ascending set without "*", which stands for last.
func static(set imap.UIDSet, last imap.UID) imap.UIDSet {
	ranges := make(imap.UIDSet, len(set))
	for i, r := range set {
		if r.Start == 0 {
			r.Start = last
		}
		if r.Stop == 0 {
			r.Stop = last
		}
		ranges[i] = r
	}
	return store.Normalize(ranges)
}

// subtract returns what of a is not in b. Both are ascending and without "*".
func subtract(a, b imap.UIDSet) imap.UIDSet {
	var left imap.UIDSet
	for _, r := range a {
		for len(b) > 0 && b[0].Stop < r.Start {
			b = b[1:]
		}
		from, inside := r.Start, true
		for _, cut := range b {
			if cut.Start > r.Stop {
				break
			}
			if cut.Start > from {
				left = append(left, imap.UIDRange{Start: from, Stop: cut.Start - 1})
			}
			if inside = cut.Stop < r.Stop; !inside {
				break
			}
			from = cut.Stop + 1
		}
		if inside {
			left = append(left, imap.UIDRange{Start: from, Stop: r.Stop})
		}
	}
	return left
}

// common returns what is in both a and b, which are ascending and without "*".
func common(a, b imap.UIDSet) imap.UIDSet {
	var both imap.UIDSet
	for len(a) > 0 && len(b) > 0 {
		r := imap.UIDRange{Start: max(a[0].Start, b[0].Start), Stop: min(a[0].Stop, b[0].Stop)}
		if r.Start <= r.Stop {
			both = append(both, r)
		}
		if a[0].Stop < b[0].Stop {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return both
}

// union returns what is in a, in b or in both. Both are ascending and without "*".
func union(a, b imap.UIDSet) imap.UIDSet {
	if len(b) == 0 {
		return a
	}
	all := make(imap.UIDSet, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		r := &a
		if len(a) == 0 || len(b) > 0 && b[0].Start < a[0].Start {
			r = &b
		}
		next := (*r)[0]
		*r = (*r)[1:]
		if last := len(all) - 1; last >= 0 && next.Start-1 <= all[last].Stop {
			all[last].Stop = max(all[last].Stop, next.Stop)
			continue
		}
		all = append(all, next)
	}
	return all
}

// held returns which of uids a snapshot holds.
func held(snap *store.Snapshot, uids imap.UIDSet) imap.UIDSet {
	return chosen(snap, uids, func(store.Entry) bool { return true })
}

// chosen returns which of uids a snapshot holds with entries that ok approves of.
func chosen(snap *store.Snapshot, uids imap.UIDSet, ok func(store.Entry) bool) imap.UIDSet {
	var list []imap.UID
	for _, places := range snap.Indices(uids) {
		for i := places[0]; i < places[1]; i++ {
			if e := snap.Entry(i); ok(e) {
				list = append(list, e.UID)
			}
		}
	}
	return store.UIDSetOf(list)
}

// vanishedOf returns which UIDs of set, as a client wrote it, were removed in ch. When the tombstones of some have been
// swept it returns every UID that is not there, which RFC 7162 §3.2.5 allows; "*" covers UIDs up to the last ever given.
func vanishedOf(snap *store.Snapshot, ch store.Changes, set imap.UIDSet) imap.UIDSet {
	last := snap.UIDNext() - 1
	if last == 0 {
		return nil
	}
	given := imap.UIDSet{{Start: 1, Stop: last}}
	set = subtract(given, subtract(given, static(set, last)))
	if !ch.Complete {
		return subtract(set, held(snap, set))
	}
	gone := make([]imap.UID, len(ch.Removed))
	for i, e := range ch.Removed {
		gone[i] = e.UID
	}
	all := store.UIDSetOf(gone)
	return subtract(all, subtract(all, set))
}
