package imap

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/emersion/go-imap/v2"
)

func TestPartialPlaces(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		p        partial
		n        int
		from, to int
	}{
		{partial{a: 1, b: 2}, 5, 0, 2},
		{partial{a: 4, b: 2}, 5, 1, 4},
		{partial{a: 4, b: 9}, 5, 3, 5},
		{partial{a: 6, b: 9}, 5, 5, 5},
		{partial{a: 1, b: math.MaxUint32}, 0, 0, 0},
		{partial{a: 1, b: 2, fromEnd: true}, 5, 3, 5},
		{partial{a: 9, b: 4, fromEnd: true}, 5, 0, 2},
		{partial{a: 9, b: 6, fromEnd: true}, 5, 0, 0},
		{partial{a: 1, b: math.MaxUint32, fromEnd: true}, 5, 0, 5},
	} {
		if from, to := tt.p.places(tt.n); from != tt.from || to != tt.to {
			t.Errorf("%v of %d: [%d,%d), want [%d,%d)", &tt.p, tt.n, from, to, tt.from, tt.to)
		}
	}
}

// FuzzPartial takes the same part of a set and of the list of its members.
func FuzzPartial(f *testing.F) {
	f.Add(uint32(1), uint32(3), false, uint64(0b1101101))
	f.Add(uint32(5), uint32(2), true, uint64(math.MaxUint64))
	f.Fuzz(func(t *testing.T, a, b uint32, fromEnd bool, bits uint64) {
		p := &partial{a: max(a, 1), b: max(b, 1), fromEnd: fromEnd}
		var set imap.UIDSet
		var list []imap.UID
		for i := range imap.UID(64) {
			if bits>>i&1 != 0 {
				set.AddNum(i + 1)
				list = append(list, i+1)
			}
		}
		from, to := p.places(len(list))
		if from < 0 || to < from || to > len(list) {
			t.Fatalf("%v of %d: [%d,%d)", p, len(list), from, to)
		}
		got, _ := p.of(set).Nums()
		if !slices.Equal(got, list[from:to]) {
			t.Fatalf("%v of %v: %v, want %v", p, set, got, list[from:to])
		}
		if q := parsePlaces(decoderOf(p.String())); fmt.Sprint(q) != fmt.Sprint(p) {
			t.Fatalf("%v became %v", p, q)
		}
	})
}
