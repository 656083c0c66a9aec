package imap

import (
	"math/rand/v2"
	"testing"

	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// TestSubtract compares with sets of numbers one by one.
func TestSubtract(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		a, b := randomUIDs(r), randomUIDs(r)
		got := subtract(a, b)
		for uid := imap.UID(1); uid < 31; uid++ {
			if want := a.Contains(uid) && !b.Contains(uid); got.Contains(uid) != want {
				t.Fatalf("%v - %v = %v; %d is wrong", a, b, got, uid)
			}
		}
		if size(got) > 0 && size(got) != size(a)-size(subtract(a, got)) {
			t.Fatalf("%v - %v = %v overlaps itself", a, b, got)
		}
	}
}

// TestCommonUnion compares with sets of numbers one by one.
func TestCommonUnion(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		a, b := randomUIDs(r), randomUIDs(r)
		both, either := common(a, b), union(a, b)
		for uid := imap.UID(1); uid < 31; uid++ {
			if want := a.Contains(uid) && b.Contains(uid); both.Contains(uid) != want {
				t.Fatalf("%v and %v = %v; %d is wrong", a, b, both, uid)
			}
			if want := a.Contains(uid) || b.Contains(uid); either.Contains(uid) != want {
				t.Fatalf("%v or %v = %v; %d is wrong", a, b, either, uid)
			}
		}
		if size(both)+size(either) != size(a)+size(b) {
			t.Fatalf("%v and %v: %v, %v overlap themselves", a, b, both, either)
		}
	}
}

func randomUIDs(r *rand.Rand) imap.UIDSet {
	var list []imap.UID
	for uid := imap.UID(1); uid < 30; uid++ {
		if r.IntN(2) == 0 {
			list = append(list, uid)
		}
	}
	return store.UIDSetOf(list)
}

func TestStatic(t *testing.T) {
	t.Parallel()
	tests := []struct {
		set  imap.UIDSet
		last imap.UID
		want string
	}{
		{imap.UIDSet{{Start: 5, Stop: 0}}, 9, "5:9"},
		{imap.UIDSet{{Start: 20, Stop: 0}}, 9, "9:20"},
		{imap.UIDSet{{Start: 0, Stop: 0}, {Start: 3, Stop: 1}, {Start: 2, Stop: 4}}, 9, "1:4,9"},
		{imap.UIDSet{{Start: 1, Stop: 1<<32 - 1}}, 9, "1:4294967295"},
	}
	for _, tt := range tests {
		if got := static(tt.set, tt.last).String(); got != tt.want {
			t.Errorf("%v with %d: %s, want %s", tt.set, tt.last, got, tt.want)
		}
	}
}

func TestVanishedOf(t *testing.T) {
	t.Parallel()
	box := store.Mailbox{ID: 1, UIDNext: 11, ModSeq: 20}
	rows := []store.Row{{UID: 2}, {UID: 3}, {UID: 7}}
	snap := store.NewSnapshot(box, nil, rows)
	removed := []store.Entry{{UID: 1}, {UID: 5}, {UID: 6}, {UID: 10}}
	all := imap.UIDSet{{Start: 1, Stop: 0}}
	tests := []struct {
		ch   store.Changes
		set  imap.UIDSet
		want string
	}{
		{store.Changes{Complete: true, Removed: removed}, all, "1,5:6,10"},
		{store.Changes{Complete: true, Removed: removed}, imap.UIDSet{{Start: 2, Stop: 5}}, "5"},
		{store.Changes{Complete: true}, all, ""},
		{store.Changes{Removed: removed}, all, "1,4:6,8:10"}, // swept: everything that is not there
		{store.Changes{}, imap.UIDSet{{Start: 3, Stop: 8}, {Start: 50, Stop: 99}}, "4:6,8"},
	}
	for _, tt := range tests {
		if got := vanishedOf(snap, tt.ch, tt.set).String(); got != tt.want {
			t.Errorf("%+v of %v: %s, want %s", tt.ch, tt.set, got, tt.want)
		}
	}
}
