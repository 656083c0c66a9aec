package store

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// rowsOf makes n rows with UIDs gap apart.
func rowsOf(n, gap int) []Row {
	rows := make([]Row, n)
	for i := range rows {
		uid := imap.UID(1 + i*gap)
		rows[i] = Row{
			UID: uid, ModSeq: ModSeq(2 + i%7), ID: MessageID(uid) * 3, Received: int64(uid) * 1000,
			Saved: int64(uid)*1000 + 5, Size: int64(100 + i), Header: uint32(50 + i), Padding: uint8(i % 3),
			Flags: FlagSet{System: SystemFlags(i % 32)},
		}
	}
	return rows
}

func snapshotOf(rows []Row) *Snapshot {
	next := imap.UID(1)
	if len(rows) > 0 {
		next = rows[len(rows)-1].UID + 1
	}
	return NewSnapshot(Mailbox{ID: 7, UIDValidity: 9, UIDNext: next, ModSeq: 10}, nil, rows)
}

func rowsIn(s *Snapshot) []Row {
	rows := make([]Row, s.Len())
	for i := range rows {
		rows[i] = s.Row(i)
	}
	return rows
}

func checkRows(t *testing.T, s *Snapshot, want []Row) {
	t.Helper()
	if got := rowsIn(s); !slices.Equal(got, want) {
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("row %d: got %+v, want %+v", i, got[i], want[i])
			}
		}
		t.Fatalf("got %d rows, want %d", len(got), len(want))
	}
}

func TestSnapshotHoldsRows(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, chunkLen - 1, chunkLen, chunkLen + 1, 3*chunkLen + 5} {
		rows := rowsOf(n, 2)
		s := snapshotOf(rows)
		checkRows(t, s, rows)
		if s.Mailbox() != 7 || s.UIDValidity() != 9 || s.ModSeq() != 10 || s.UIDNext() != imap.UID(max(1, 2*n)) {
			t.Fatalf("n=%d: mailbox %d, UIDVALIDITY %d, mod-sequence %d, UIDNEXT %d",
				n, s.Mailbox(), s.UIDValidity(), s.ModSeq(), s.UIDNext())
		}
		for i, r := range rows {
			if j, ok := s.Find(r.UID); !ok || j != i {
				t.Fatalf("Find(%d) = %d, %v", r.UID, j, ok)
			}
			if j, ok := s.Find(r.UID + 1); ok || j != i+1 {
				t.Fatalf("Find(%d) = %d, %v", r.UID+1, j, ok)
			}
			m := s.Message(i)
			if m.UID != r.UID || m.Size != s.Size(i) || m.Received.UnixMilli() != r.Received ||
				m.Saved.UnixMilli() != r.Saved || m.Flags != s.Flags(i) || s.Padding(i) != int(r.Padding) {
				t.Fatalf("Message(%d) = %+v of row %+v", i, m, r)
			}
		}
	}
}

// TestSnapshotVersions makes versions out of any earlier version, in any order, and checks that none of them changes
// another.
func TestSnapshotVersions(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 1))
		rows := rowsOf(r.IntN(3*chunkLen), 1+r.IntN(3))
		versions := []*Snapshot{snapshotOf(rows)}
		models := [][]Row{rows}
		for range 10 {
			i := r.IntN(len(versions))
			d := randomDelta(r, versions[i])
			next := versions[i].Next(d)
			model := applyDelta(models[i], d)
			checkRows(t, next, model)
			checkChanges(t, versions[i], next, models[i], model)
			versions, models = append(versions, next), append(models, model)
		}
		for i, s := range versions {
			checkRows(t, s, models[i])
		}
	}
}

func randomDelta(r *rand.Rand, s *Snapshot) Delta {
	at := s.ModSeq() + 1
	d := Delta{ModSeq: at}
	last := s.UIDNext() - 1
	if n := s.Len(); n > 0 && r.IntN(3) == 0 {
		for range r.IntN(4) {
			d.Removed = append(d.Removed, s.UID(r.IntN(n)))
		}
		slices.Sort(d.Removed)
		d.Removed = slices.Compact(d.Removed)
	}
	if r.IntN(2) == 0 {
		for range r.IntN(10) {
			last += imap.UID(1 + r.IntN(3))
			d.Added = append(d.Added, Row{UID: last, ModSeq: at, Thread: r.Int64N(2), ID: 5})
		}
	}
	if r.IntN(2) == 0 {
		for range r.IntN(5) {
			uid := imap.UID(1 + r.IntN(int(last)+2))
			flags := FlagSet{System: SystemFlags(r.IntN(32)), Keywords: r.Uint64N(3)}
			d.Flagged = append(d.Flagged, Entry{UID: uid, ModSeq: at, Flags: flags})
		}
		slices.SortFunc(d.Flagged, func(a, b Entry) int { return int(a.UID) - int(b.UID) })
		d.Flagged = slices.CompactFunc(d.Flagged, func(a, b Entry) bool { return a.UID == b.UID })
	}
	return d
}

// applyDelta is what Next should do.
func applyDelta(rows []Row, d Delta) []Row {
	var next []Row
	for _, r := range append(slices.Clone(rows), d.Added...) {
		if slices.Contains(d.Removed, r.UID) {
			continue
		}
		for _, e := range d.Flagged {
			if e.UID == r.UID {
				r.Flags, r.ModSeq = e.Flags, e.ModSeq
			}
		}
		next = append(next, r)
	}
	return next
}

// checkChanges checks ChangesFrom against the rows of both versions.
func checkChanges(t *testing.T, old, s *Snapshot, had, has []Row) {
	t.Helper()
	want := Changes{Since: old.ModSeq(), Until: s.ModSeq(), Complete: true}
	before := map[imap.UID]Row{}
	for _, r := range had {
		before[r.UID] = r
	}
	for _, r := range has {
		e := Entry{UID: r.UID, ModSeq: r.ModSeq, Flags: r.Flags}
		switch _, known := before[r.UID]; {
		case !known:
			want.Added = append(want.Added, e)
		case r.ModSeq > old.ModSeq():
			want.Flagged = append(want.Flagged, e)
		}
		delete(before, r.UID)
	}
	got := s.ChangesFrom(old)
	if !slices.Equal(got.Added, want.Added) || !slices.Equal(got.Flagged, want.Flagged) || got.Since != want.Since || got.Until != want.Until || !got.Complete {
		t.Fatalf("ChangesFrom: got %+v, want %+v", got, want)
	}
	if len(got.Removed) != len(before) {
		t.Fatalf("ChangesFrom: %d removed, want %d", len(got.Removed), len(before))
	}
	for _, e := range got.Removed {
		if _, gone := before[e.UID]; !gone || e.ModSeq != s.ModSeq() {
			t.Fatalf("ChangesFrom: %+v in Removed", e)
		}
	}
}

func TestSnapshotRemoveAtChunkEnds(t *testing.T) {
	t.Parallel()
	rows := rowsOf(3*chunkLen, 1)
	s := snapshotOf(rows)
	for _, i := range []int{0, 1, chunkLen - 1, chunkLen, 2*chunkLen - 1, 2 * chunkLen, 3*chunkLen - 1} {
		d := Delta{ModSeq: 11, Removed: []imap.UID{rows[i].UID}, Added: []Row{{UID: 99_999, ModSeq: 11}}}
		next := s.Next(d)
		checkRows(t, next, applyDelta(rows, d))
		checkChanges(t, s, next, rows, applyDelta(rows, d))
	}
	checkRows(t, s, rows)
}

func TestSnapshotNextSkipsWhatItKnows(t *testing.T) {
	t.Parallel()
	s := snapshotOf(rowsOf(3, 1))
	n := s.Next(Delta{ModSeq: 11, Added: rowsOf(5, 1), Removed: []imap.UID{9}, Flagged: []Entry{{UID: 77}}})
	checkRows(t, n, rowsOf(5, 1))
	if n.UIDNext() != 6 || n.ModSeq() != 11 {
		t.Errorf("UIDNEXT %d, mod-sequence %d", n.UIDNext(), n.ModSeq())
	}
	if again := n.Next(Delta{ModSeq: 5}); again.ModSeq() != 11 {
		t.Errorf("the mod-sequence fell to %d", again.ModSeq())
	}
}

// TestSnapshotConcurrent lets several goroutines make versions of the same Snapshot while others read it. It is for the
// race detector.
func TestSnapshotConcurrent(t *testing.T) {
	t.Parallel()
	s := snapshotOf(rowsOf(chunkLen+10, 1))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			mine := s
			for k := range 200 {
				uid := mine.UIDNext()
				row := Row{UID: uid, ModSeq: ModSeq(1000 + k), ID: MessageID(g)}
				mine = mine.Next(Delta{
					ModSeq: mine.ModSeq() + 1, Added: []Row{row},
					Flagged: []Entry{{UID: imap.UID(1 + k), Flags: FlagSet{Keywords: 1}}},
				})
				if got := mine.Row(mine.Len() - 1); got != row {
					t.Errorf("goroutine %d: row %+v, want %+v", g, got, row)
					return
				}
				if s.Len() != chunkLen+10 || s.Flags(k).Keywords != 0 {
					t.Errorf("goroutine %d: the first version has changed", g)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestSnapshotSince(t *testing.T) {
	t.Parallel()
	rows := rowsOf(2*chunkLen, 1)
	s := snapshotOf(rows)
	for at := range ModSeq(12) {
		ch := s.Since(at)
		want := 0
		for _, r := range rows {
			if r.ModSeq > at && at < s.ModSeq() {
				want++
			}
		}
		if len(ch.Flagged) != want || ch.Since != at || ch.Until != max(at, s.ModSeq()) {
			t.Errorf("Since(%d): %d changes in (%d, %d], want %d", at, len(ch.Flagged), ch.Since, ch.Until, want)
		}
	}
}

func TestSnapshotIndices(t *testing.T) {
	t.Parallel()
	s := snapshotOf(rowsOf(10, 2)) // 1, 3, … 19
	for _, test := range []struct {
		uids string
		set  imap.UIDSet
		want [][2]int
	}{
		{"nothing", nil, nil},
		{"all", imap.UIDSet{{Start: 1, Stop: 100}}, [][2]int{{0, 10}}},
		{"one", imap.UIDSet{{Start: 3, Stop: 3}}, [][2]int{{1, 2}}},
		{"a hole", imap.UIDSet{{Start: 4, Stop: 4}}, nil},
		{"touching", imap.UIDSet{{Start: 1, Stop: 3}, {Start: 5, Stop: 5}}, [][2]int{{0, 3}}},
		{"out of order", imap.UIDSet{{Start: 19, Stop: 17}, {Start: 2, Stop: 5}, {Start: 3, Stop: 3}}, [][2]int{{1, 3}, {8, 10}}},
		{"star is nobody", imap.UIDSet{{Start: 0, Stop: 0}, {Start: 5, Stop: 0}}, nil},
		{"above", imap.UIDSet{{Start: 20, Stop: 4294967295}}, nil},
	} {
		if got := s.Indices(test.set); !slices.Equal(got, test.want) {
			t.Errorf("%s: Indices(%v) = %v, want %v", test.uids, test.set, got, test.want)
		}
	}
}

func TestSnapshotBytes(t *testing.T) {
	t.Parallel()
	s := snapshotOf(rowsOf(100_000, 1))
	if per := s.Bytes() / 100_000; per < 40 || per > 52 {
		t.Errorf("%d octets a message", per)
	}
}

func BenchmarkSnapshotNext(b *testing.B) {
	big := snapshotOf(rowsOf(1_000_000, 1))
	b.Run("flag", func(b *testing.B) {
		s := big
		for i := range b.N {
			s = s.Next(Delta{ModSeq: s.ModSeq() + 1, Flagged: []Entry{{UID: imap.UID(1 + i%1_000_000), ModSeq: s.ModSeq() + 1}}})
		}
	})
	b.Run("append", func(b *testing.B) {
		s := big
		for range b.N {
			s = s.Next(Delta{ModSeq: s.ModSeq() + 1, Added: []Row{{UID: s.UIDNext(), ModSeq: s.ModSeq() + 1}}})
		}
	})
	b.Run("remove", func(b *testing.B) {
		s := big
		for i := range b.N {
			s = s.Next(Delta{ModSeq: s.ModSeq() + 1, Removed: []imap.UID{imap.UID(1 + i)}})
		}
	})
	b.Run("changes", func(b *testing.B) {
		next := big.Next(Delta{ModSeq: 11, Flagged: []Entry{{UID: 500_000, ModSeq: 11}}})
		for range b.N {
			if ch := next.ChangesFrom(big); len(ch.Flagged) != 1 {
				b.Fatal(ch)
			}
		}
	})
}
