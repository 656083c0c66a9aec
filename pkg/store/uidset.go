package store

import (
	"cmp"
	"slices"

	"github.com/emersion/go-imap/v2"
)

// Normalize returns the set with its ranges ascending, apart and each the right way round, which is what
// imap.UIDSet.Contains relies on. A range with a "*" (0) names nothing: only View.Resolve knows the last message. The
// result is uids itself when nothing needs to be done.
func Normalize(uids imap.UIDSet) imap.UIDSet {
	if normal(uids) {
		return uids
	}
	set := make(imap.UIDSet, 0, len(uids))
	for _, r := range uids {
		if r.Start != 0 && r.Stop != 0 {
			set = append(set, imap.UIDRange{Start: min(r.Start, r.Stop), Stop: max(r.Start, r.Stop)})
		}
	}
	slices.SortFunc(set, func(a, b imap.UIDRange) int { return cmp.Compare(a.Start, b.Start) })
	merged := set[:0]
	for _, r := range set {
		if last := len(merged) - 1; last >= 0 && r.Start-1 <= merged[last].Stop {
			merged[last].Stop = max(merged[last].Stop, r.Stop)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

func normal(uids imap.UIDSet) bool {
	var last imap.UID
	for i, r := range uids {
		if r.Start == 0 || r.Stop < r.Start || (i > 0 && r.Start-1 <= last) {
			return false
		}
		last = r.Stop
	}
	return true
}

// CountUIDs is the number of UIDs in a normal set, see Normalize.
func CountUIDs(uids imap.UIDSet) int {
	n := 0
	for _, r := range uids {
		n += int(r.Stop-r.Start) + 1
	}
	return n
}

// UIDSetOf makes a set of UIDs in ascending order, a range for each run, in linear time.
func UIDSetOf(uids []imap.UID) imap.UIDSet { return appendRuns(nil, uids) }

// appendRuns appends ascending UIDs, all above those in the set, as runs.
func appendRuns(set imap.UIDSet, uids []imap.UID) imap.UIDSet {
	for len(uids) > 0 {
		n := run(uids)
		if last := len(set) - 1; last >= 0 && set[last].Stop == uids[0]-1 {
			set[last].Stop = uids[n-1]
		} else {
			set = append(set, imap.UIDRange{Start: uids[0], Stop: uids[n-1]})
		}
		uids = uids[n:]
	}
	return set
}

// run returns how many consecutive numbers uids begins with. In a strictly ascending list the first i+1 are consecutive
// exactly if the one at i is i above the first, so there is no need to look at each.
func run(uids []imap.UID) int {
	good, step := 0, 1
	for good+step < len(uids) && uids[good+step]-uids[0] == imap.UID(good+step) {
		good += step
		step *= 2
	}
	for ; step > 0; step /= 2 {
		for good+step < len(uids) && uids[good+step]-uids[0] == imap.UID(good+step) {
			good += step
		}
	}
	return good + 1
}

// find returns the place of uid in an ascending list, or where it would be. Most mailboxes have few holes, so the place
// is nearly known: at most as far from either end as the number is.
func find(uids []imap.UID, uid imap.UID) (int, bool) {
	n := len(uids)
	if n == 0 || uid <= uids[0] {
		return 0, n > 0 && uid == uids[0]
	}
	if uid > uids[n-1] {
		return n, false
	}
	lo := max(0, n-1-int(uids[n-1]-uid))
	hi := min(n, int(uid-uids[0])+1)
	i, ok := slices.BinarySearch(uids[lo:hi], uid)
	return lo + i, ok
}

// places finds the ranges [from, to) of an ascending list whose UIDs are in a normal set.
func places(uids []imap.UID, set imap.UIDSet) [][2]int {
	var found [][2]int
	done := 0
	for _, r := range set {
		if done == len(uids) {
			break
		}
		from, _ := find(uids[done:], r.Start)
		to, ok := find(uids[done:], r.Stop)
		if ok {
			to++
		}
		from, to = from+done, to+done
		if from == to {
			continue
		}
		if last := len(found) - 1; last >= 0 && found[last][1] == from {
			found[last][1] = to
		} else {
			found = append(found, [2]int{from, to})
		}
		done = to
	}
	return found
}
