package postgres

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// multirange writes int8ranges in PostgreSQL's binary format.
func multirange(bounds byte, ranges ...[2]int64) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(ranges)))
	for _, r := range ranges {
		b = binary.BigEndian.AppendUint32(b, 25)
		b = append(b, bounds)
		for _, v := range r {
			b = binary.BigEndian.AppendUint32(b, 8)
			b = binary.BigEndian.AppendUint64(b, uint64(v))
		}
	}
	return b
}

func TestDecodeMultirange(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		src  []byte
		want imap.UIDSet // nil: refused
	}{
		"none":           {multirange(rangeLowerIn), imap.UIDSet{}},
		"one":            {multirange(rangeLowerIn, [2]int64{5, 6}), imap.UIDSet{{Start: 5, Stop: 5}}},
		"two":            {multirange(rangeLowerIn, [2]int64{1, 4}, [2]int64{9, 11}), imap.UIDSet{{Start: 1, Stop: 3}, {Start: 9, Stop: 10}}},
		"both inclusive": {multirange(rangeLowerIn|rangeUpperIn, [2]int64{1, 4}), imap.UIDSet{{Start: 1, Stop: 4}}},
		"both exclusive": {multirange(0, [2]int64{1, 4}), imap.UIDSet{{Start: 2, Stop: 3}}},
		"greatest UID":   {multirange(rangeLowerIn, [2]int64{1<<32 - 1, 1 << 32}), imap.UIDSet{{Start: 1<<32 - 1, Stop: 1<<32 - 1}}},
		"empty range":    {[]byte{0, 0, 0, 1, 0, 0, 0, 1, rangeEmpty}, imap.UIDSet{}},
		"too great":      {multirange(rangeLowerIn, [2]int64{1, 1<<32 + 1}), nil},
		"zero":           {multirange(rangeLowerIn, [2]int64{0, 1}), nil},
		"unbounded":      {multirange(rangeLowerIn|16, [2]int64{1, 2}), nil},
		"cut":            {multirange(rangeLowerIn, [2]int64{1, 4})[:20], nil},
		"short":          {[]byte{0, 0}, nil},
		"huge count":     {[]byte{0xff, 0xff, 0xff, 0xff, 0, 0}, nil},
	} {
		got, err := decodeMultirange(tc.src)
		if (err != nil) != (tc.want == nil) || !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, tc.want)
		}
	}
}

func FuzzDecodeMultirange(f *testing.F) {
	f.Add(multirange(rangeLowerIn, [2]int64{1, 4}, [2]int64{9, 11}))
	f.Fuzz(func(t *testing.T, src []byte) {
		set, err := decodeMultirange(src)
		for _, r := range set {
			if err == nil && (r.Start == 0 || r.Stop < r.Start) {
				t.Errorf("%v from %x", set, src)
			}
		}
	})
}

// model is a mailbox that knows of each message what happened to it.
type model struct {
	rows    []store.Row
	at      store.ModSeq
	journal []journalEntry
	removed []store.Entry
}

func (m *model) snapshot() *store.Snapshot {
	next := imap.UID(1)
	if n := len(m.rows); n > 0 {
		next = m.rows[n-1].UID + 1
	}
	return store.NewSnapshot(store.Mailbox{ID: 1, UIDValidity: 1, UIDNext: next, ModSeq: m.at}, nil, m.rows)
}

// step lets one command happen to some messages, and writes its journal row.
func (m *model) step(r *rand.Rand) {
	e := journalEntry{at: m.at + 1, kind: int16(r.IntN(4) + 1)}
	e.flags = store.FlagSet{System: store.SystemFlags(r.IntN(32)), Keywords: uint64(r.IntN(4))}
	var kept []store.Row
	for _, row := range m.rows {
		if r.IntN(4) != 0 {
			kept = append(kept, row)
			continue
		}
		e.uids.AddNum(row.UID)
		if e.kind == journalExpunge {
			m.removed = append(m.removed, store.Entry{UID: row.UID, ModSeq: e.at})
			continue
		}
		row.ModSeq, row.Flags = e.at, e.apply(row.Flags)
		kept = append(kept, row)
	}
	if len(e.uids) > 0 {
		m.rows, m.at = kept, e.at
		m.journal = append(m.journal, e)
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		m := &model{rows: randomRows(r, r.IntN(40), 1), at: 2e6}
		base := m.snapshot()
		for range r.IntN(12) {
			m.step(r)
		}
		flagged, removed := replay(base, m.journal)
		got := base.Next(deltaOf(m.at, flagged, removed))
		if want := m.snapshot(); !sameMessages(got, want) {
			t.Fatalf("seed %d: not the mailbox", seed)
		}
		slices.SortFunc(m.removed, func(a, b store.Entry) int { return int(a.UID) - int(b.UID) })
		if !slices.Equal(removed, m.removed) {
			t.Fatalf("seed %d: removed %v, want %v", seed, removed, m.removed)
		}
	}
}

// TestReplayAgain replays rows that a snapshot has seen, as happens when segments of different age make it up.
func TestReplayAgain(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := &model{rows: randomRows(r, 30, 1), at: 2e6}
		for range 4 {
			m.step(r)
		}
		base := m.snapshot()
		for range 4 {
			m.step(r)
		}
		flagged, removed := replay(base, m.journal)
		if got, want := base.Next(deltaOf(m.at, flagged, removed)), m.snapshot(); !sameMessages(got, want) {
			t.Fatalf("seed %d: not the mailbox", seed)
		}
	}
}

func deltaOf(at store.ModSeq, flagged, removed []store.Entry) store.Delta {
	d := store.Delta{ModSeq: at, Flagged: flagged}
	for _, e := range removed {
		d.Removed = append(d.Removed, e.UID)
	}
	return d
}

func sameMessages(a, b *store.Snapshot) bool {
	if a.Len() != b.Len() || a.ModSeq() != b.ModSeq() {
		return false
	}
	for i := range a.Len() {
		if a.Row(i) != b.Row(i) {
			return false
		}
	}
	return true
}
