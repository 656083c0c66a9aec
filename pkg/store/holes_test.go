package store

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// list spells the UIDs out.
func (l uidList) list() []imap.UID {
	uids := make([]imap.UID, l.len())
	for i := range uids {
		uids[i] = l.at(i)
	}
	return uids
}

// TestUIDList takes UIDs out of a list at random and compares it with a plain one.
func TestUIDList(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		var plain []imap.UID
		for uid := imap.UID(1); len(plain) < 200; uid += imap.UID(1 + r.IntN(3)) {
			plain = append(plain, uid)
		}
		l := uidList{all: plain}
		for len(plain) > 0 {
			var numbers []int
			for i := range plain {
				if r.IntN(20) == 0 {
					numbers = append(numbers, i)
				}
			}
			plain = without(plain, numbers)
			l = l.without(numbers)
			compareList(t, r, l, plain)
		}
	}
}

func compareList(t *testing.T, r *rand.Rand, l uidList, plain []imap.UID) {
	t.Helper()
	if !slices.Equal(l.list(), plain) {
		t.Fatalf("%v, want %v", l.list(), plain)
	}
	for uid := range imap.UID(620) {
		i, ok := l.find(uid)
		if want, found := find(plain, uid); i != want || ok != found {
			t.Fatalf("find %d in %v: %d, %v, want %d, %v", uid, plain, i, ok, want, found)
		}
	}
	var set imap.UIDSet
	for range 5 {
		from := imap.UID(1 + r.IntN(600))
		set = append(set, imap.UIDRange{Start: from, Stop: from + imap.UID(r.IntN(60))})
	}
	set = Normalize(set)
	got := l.places(set)
	if want := places(plain, set); !slices.Equal(got, want) {
		t.Fatalf("places of %v in %v: %v, want %v", set, plain, got, want)
	}
	for _, p := range got {
		if runs, want := l.appendRuns(nil, p[0], p[1]), appendRuns(nil, plain[p[0]:p[1]]); !slices.Equal(runs, want) {
			t.Fatalf("runs of %v in %v: %v, want %v", p, plain, runs, want)
		}
	}
}

// TestHolesAreFew: columns are copied before too much of them is dead.
func TestHolesAreFew(t *testing.T) {
	t.Parallel()
	const n = 20_000
	s := snapshotOf(rowsOf(n, 1))
	v := s.View()
	copies := 0
	for uid := imap.UID(2); uid < n; uid += 3 {
		next := s.Next(Delta{ModSeq: s.ModSeq() + 1, Removed: []imap.UID{uid}})
		if &next.col.id[0] != &s.col.id[0] {
			copies++
		}
		if len(next.gone) > maxHoles(len(next.col.uid)) {
			t.Fatalf("%d holes in %d", len(next.gone), len(next.col.uid))
		}
		v.Apply(Changes{Since: s.ModSeq(), Until: next.ModSeq(), Removed: []Entry{{UID: uid}}})
		announced(v, true)
		s = next
	}
	if copies < 4 || copies > 8 || !slices.Equal(v.uids.list(), s.uids().list()) {
		t.Errorf("%d copies, %d messages in the view, %d in the snapshot", copies, v.Len(), s.Len())
	}
}
