package store

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/emersion/go-imap/v2"
)

func TestNormalize(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want imap.UIDSet }{
		{nil, nil},
		{imap.UIDSet{{Start: 5, Stop: 5}}, imap.UIDSet{{Start: 5, Stop: 5}}},
		{imap.UIDSet{{Start: 9, Stop: 5}}, imap.UIDSet{{Start: 5, Stop: 9}}},
		{imap.UIDSet{{Start: 5, Stop: 6}, {Start: 7, Stop: 8}}, imap.UIDSet{{Start: 5, Stop: 8}}},
		{imap.UIDSet{{Start: 5, Stop: 9}, {Start: 6, Stop: 7}, {Start: 1, Stop: 1}}, imap.UIDSet{{Start: 1, Stop: 1}, {Start: 5, Stop: 9}}},
		{imap.UIDSet{{Start: 1, Stop: 0}, {Start: 3, Stop: 3}, {Start: 0, Stop: 0}}, imap.UIDSet{{Start: 3, Stop: 3}}},
		{imap.UIDSet{{Start: 4294967295, Stop: 1}, {Start: 4294967295, Stop: 4294967295}}, imap.UIDSet{{Start: 1, Stop: 4294967295}}},
	} {
		if got := Normalize(test.in); !slices.Equal(got, test.want) {
			t.Errorf("Normalize(%v) = %v, want %v", test.in, got, test.want)
		}
	}
}

// TestUIDSetProperties checks the quick ways against the obvious ones.
func TestUIDSetProperties(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		uids := randomUIDs(r)
		set := UIDSetOf(uids)
		if want := imap.UIDSetNum(uids...); set.String() != want.String() {
			t.Fatalf("UIDSetOf(%v) = %v, want %v", uids, set, want)
		}
		if !normal(set) {
			t.Fatalf("UIDSetOf(%v) = %v is not normal", uids, set)
		}
		for uid := range imap.UID(130) {
			i, ok := find(uids, uid)
			if j, found := slices.BinarySearch(uids, uid); i != j || ok != found {
				t.Fatalf("find(%v, %d) = %d, %v, want %d, %v", uids, uid, i, ok, j, found)
			}
		}
		ask := randomSet(r)
		var got []imap.UID
		for _, p := range places(uids, Normalize(ask)) {
			got = append(got, uids[p[0]:p[1]]...)
		}
		if want := slices.DeleteFunc(slices.Clone(uids), func(uid imap.UID) bool { return !holds(ask, uid) }); !slices.Equal(got, want) {
			t.Fatalf("places(%v, %v) name %v, want %v", uids, ask, got, want)
		}
	}
}

func randomUIDs(r *rand.Rand) []imap.UID {
	var uids []imap.UID
	density := r.IntN(10)
	for uid := imap.UID(1 + r.IntN(20)); uid < 120; uid++ {
		if r.IntN(10) >= density {
			uids = append(uids, uid)
		}
	}
	return uids
}

func randomSet(r *rand.Rand) imap.UIDSet {
	var set imap.UIDSet
	for range r.IntN(6) {
		set = append(set, imap.UIDRange{Start: imap.UID(r.IntN(130)), Stop: imap.UID(r.IntN(130))})
	}
	return set
}

// holds is what a set without order means.
func holds(set imap.UIDSet, uid imap.UID) bool {
	return slices.ContainsFunc(set, func(r imap.UIDRange) bool {
		return r.Start != 0 && r.Stop != 0 && uid >= min(r.Start, r.Stop) && uid <= max(r.Start, r.Stop)
	})
}
