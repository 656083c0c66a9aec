package store

import (
	"slices"
	"sort"

	"github.com/emersion/go-imap/v2"
)

// maxHoles is how many messages that have gone columns of n may still hold: so that an expunge copies a few hundred numbers
// instead of columns of a million, and these are copied once in a thousand.
func maxHoles(n int) int { return min(1024, n/8) }

// holes are the places in columns whose messages have gone, ascending; the j-th is written down as its place less j, which
// is the number that the message after it has among those that are left.
type holes []int

// place is where the message with number i (from 0) lies.
func (h holes) place(i int) int {
	if len(h) == 0 {
		return i
	}
	return i + sort.SearchInts(h, i+1)
}

// number undoes place. For a hole ok is false, and i the number of the next message.
func (h holes) number(place int) (i int, ok bool) {
	if len(h) == 0 {
		return place, true
	}
	before := sort.Search(len(h), func(j int) bool { return h[j]+j >= place })
	return place - before, before == len(h) || h[before]+before != place
}

// places are the holes themselves.
func (h holes) places() []int {
	places := make([]int, len(h))
	for j, at := range h {
		places[j] = at + j
	}
	return places
}

// with adds places, ascending, that are no holes yet.
func (h holes) with(places []int) holes {
	all := append(h.places(), places...)
	slices.Sort(all)
	for j := range all {
		all[j] -= j
	}
	return all
}

// uidList is an ascending list of UIDs that many share, less some that have gone from it.
type uidList struct {
	all  []imap.UID
	gone holes
}

func (l uidList) len() int { return len(l.all) - len(l.gone) }

func (l uidList) at(i int) imap.UID { return l.all[l.gone.place(i)] }

// find returns the number of a UID, or that which it would have.
func (l uidList) find(uid imap.UID) (i int, ok bool) {
	place, ok := find(l.all, uid)
	i, there := l.gone.number(place)
	return i, ok && there
}

// places finds the ranges [from, to) of numbers whose UIDs are in a normal set, with room between them.
func (l uidList) places(set imap.UIDSet) [][2]int {
	found := places(l.all, set)
	if len(l.gone) == 0 {
		return found
	}
	for k := range found {
		found[k][0], _ = l.gone.number(found[k][0])
		found[k][1], _ = l.gone.number(found[k][1])
	}
	return merge(slices.DeleteFunc(found, func(r [2]int) bool { return r[0] == r[1] }))
}

// appendRuns adds the UIDs with the numbers [from, to) to a set.
func (l uidList) appendRuns(set imap.UIDSet, from, to int) imap.UIDSet {
	for from < to {
		n := to - from // as many as lie together
		if next := sort.SearchInts(l.gone, from+1); next < len(l.gone) {
			n = min(n, l.gone[next]-from)
		}
		place := l.gone.place(from)
		set = appendRuns(set, l.all[place:place+n])
		from += n
	}
	return set
}

// without leaves out the UIDs with the given numbers, ascending.
func (l uidList) without(numbers []int) uidList {
	for i, n := range numbers {
		numbers[i] = l.gone.place(n)
	}
	gone := l.gone.with(numbers)
	if len(gone) > maxHoles(len(l.all)) {
		return uidList{all: without(l.all, gone.places())}
	}
	return uidList{all: l.all, gone: gone}
}
