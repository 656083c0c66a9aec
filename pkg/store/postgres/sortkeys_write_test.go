package postgres

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
)

// TestKeysBehindDelivery: of a mailbox that has been indexed nobody makes keys while a session waits.
func TestKeysBehindDelivery(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	f := newFixture(t, small, counting(r))
	want := f.numbered(0, 60)
	f.index(f.inbox)
	if got := f.number(`select sum(n) from sort_keys`); got != 60 {
		t.Errorf("%d keys stored, want 60", got)
	}
	asked := func(what string, statements int) {
		t.Helper()
		s := f.openInbox(f.a)
		if ran := f.statements(func(ctx context.Context) {
			if _, err := f.a.Keys(ctx, s, listUIDs(s)); err != nil {
				t.Error(err)
			}
		}); ran != statements {
			t.Errorf("%s: %d statements, want %d", what, ran, statements)
		}
		if got := f.subjects(f.a); !slices.Equal(got, want) {
			t.Errorf("%s: subjects %.100q", what, got)
		}
	}
	asked("the first time", 1)
	asked("again", 0)
	want = append(want, f.numbered(60, 20)...)
	f.index(f.inbox)
	f.expunge(uidRange(5, 5))
	want = slices.Delete(want, 4, 5)
	asked("of new mail", 1)
	f.exec(`delete from fts_seg`)
	f.index(f.inbox)
	asked("when the index was made anew", 0)
	if made := value(t, r, "postern_sort_keys_made_total"); made != 0 {
		t.Errorf("%v keys made while somebody waited", made)
	}
}

// TestKeysOfBoth: what sessions and the indexer make of the same messages, whoever is first, is stored once.
func TestKeysOfBoth(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small)
	key := boxKey{f.a.id, f.inbox}
	want := f.numbered(0, 30)
	_ = f.subjects(f.a)
	s := f.openInbox(f.a)
	held := f.s.sortKeys.entry(key).held()
	if err := f.s.storeKeys(t.Context(), keyJob{key, held, listUIDs(s)[10:20]}); err != nil {
		t.Fatal(err)
	}
	f.index(f.inbox)
	if err := f.s.storeKeys(t.Context(), keyJob{key, held, append(listUIDs(s), 999)}); err != nil {
		t.Fatal(err)
	}
	if n := f.number(`select sum(n) from sort_keys`); n != 30 {
		t.Errorf("%d keys stored, want 30", n)
	}
	if got := f.subjects(f.on(f.open(small))); !slices.Equal(got, want) {
		t.Errorf("elsewhere: subjects %.100q", got)
	}
}

func (f *fixture) addKeys(rows []keyRow) {
	f.Helper()
	dk, err := f.s.key(f.Context(), f.a.id)
	if err != nil {
		f.Error(err)
		return
	}
	if err := f.s.transact(f.Context(), func(tx pgx.Tx) error {
		return (&keyWriter{s: f.s, tx: tx, key: boxKey{f.a.id, f.inbox}, dk: dk}).add(f.Context(), rows)
	}); err != nil {
		f.Error(err)
	}
}

// storedRows are all keys that are stored of INBOX.
func (f *fixture) storedRows() []keyRow {
	f.Helper()
	segments, err := f.s.loadKeys(f.Context(), boxKey{f.a.id, f.inbox}, uidSpan{1, maxUID})
	if err != nil {
		f.Fatal(err)
	}
	if len(segments) > 0 && !ascending(segments) {
		f.Fatal("segments overlap")
	}
	return mergeRows(segments, nil)
}

// TestAddKeys holds what is stored to a map.
func TestAddKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small)
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 3))
		f.exec(`truncate sort_keys`)
		want := make(map[imap.UID]keyRow)
		for range 10 {
			set := make(map[imap.UID]keyRow)
			from := imap.UID(1 + r.IntN(200))
			for range r.IntN(20) {
				uid := from + imap.UID(r.IntN(30))
				set[uid] = someRow(r, uid)
				if old, ok := want[uid]; ok && r.IntN(3) > 0 {
					set[uid] = old
				}
			}
			maps.Copy(want, set)
			f.addKeys(byUID(set))
		}
		if got := f.storedRows(); fmt.Sprint(got) != fmt.Sprint(byUID(want)) {
			t.Fatalf("seed %d: stored\n%v, want\n%v", seed, got, byUID(want))
		}
	}
}

func byUID(set map[imap.UID]keyRow) []keyRow {
	return slices.SortedFunc(maps.Values(set), func(a, b keyRow) int { return cmp.Compare(a.uid, b.uid) })
}

// TestAddFewKeys: keys that come by few, as those of new mail do, become segments of many.
func TestAddFewKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small)
	r := rand.New(rand.NewPCG(1, 5))
	for uid := imap.UID(1); uid <= 40; uid++ {
		f.addKeys([]keyRow{someRow(r, uid)})
	}
	if n, few := f.number(`select count(*) from sort_keys`), f.number(`select count(*) from sort_keys where n < 12`); n != 7 || few != 4 {
		t.Errorf("%d segments, %d of them of few, want 7 and 4", n, few)
	}
	if got := f.storedRows(); len(got) != 40 {
		t.Errorf("%d keys stored, want 40", len(got))
	}
}

// TestAddKeysTogether: nothing is lost when several write at once.
func TestAddKeysTogether(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small)
	var wg sync.WaitGroup
	for part := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(part), 6))
			for at := range 10 {
				var rows []keyRow
				for uid := 1 + at*20 + part; uid <= (at+1)*20; uid += 4 {
					rows = append(rows, someRow(r, imap.UID(uid)))
				}
				f.addKeys(rows)
			}
		})
	}
	wg.Wait()
	if got := f.storedRows(); len(got) != 200 {
		t.Errorf("%d keys stored, want 200", len(got))
	}
}

// TestPruneKeys: keys of messages that are gone do not pile up.
func TestPruneKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small)
	f.numbered(0, 10)
	r := rand.New(rand.NewPCG(1, 4))
	var rows []keyRow
	for uid := imap.UID(5); uid < segmentRows+100; uid++ {
		rows = append(rows, someRow(r, uid))
	}
	f.addKeys(rows)
	f.addKeys([]keyRow{someRow(r, 3)})
	if got := f.storedRows(); len(got) != 7 || got[0].uid != 3 || got[6].uid != 10 {
		t.Errorf("%d keys stored", len(got))
	}
}

// TestPruneInPieces: what is left of several segments is kept, and becomes few.
func TestPruneInPieces(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small)
	const piece, pieces = 500, 10
	f.numbered(0, pieces)
	f.exec(`update messages set uid = uid * $1`, piece)
	f.exec(`update mailbox_state set n_msgs = 100000`)
	r := rand.New(rand.NewPCG(1, 9))
	want := make(map[imap.UID]keyRow)
	for i := range pieces {
		var rows []keyRow
		for uid := imap.UID(i*piece + 5); uid < imap.UID((i+1)*piece+5); uid++ {
			rows = append(rows, someRow(r, uid))
		}
		f.addKeys(rows)
		living := rows[piece-5]
		want[living.uid] = living
	}
	if n := f.number(`select count(*) from sort_keys`); n != pieces {
		t.Fatalf("%d segments to begin with, want %d", n, pieces)
	}
	f.exec(`update mailbox_state set n_msgs = $1`, pieces)
	want[3] = someRow(r, 3)
	f.addKeys([]keyRow{want[3]})
	if got := f.storedRows(); fmt.Sprint(got) != fmt.Sprint(byUID(want)) {
		t.Errorf("stored\n%v, want\n%v", got, byUID(want))
	}
	if n := f.number(`select count(*) from sort_keys`); n != 2 {
		t.Errorf("%d segments are left, want 2", n)
	}
}

// TestStoreKeysInPieces: the keys that a session has made are stored a segment at a time, those that are asked for.
func TestStoreKeysInPieces(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small)
	r := rand.New(rand.NewPCG(1, 10))
	var rows, want []keyRow
	var uids []imap.UID
	for uid := imap.UID(1); uid <= 2*segmentRows+100; uid++ {
		row := someRow(r, uid)
		rows = append(rows, row)
		if uid%3 == 0 {
			want, uids = append(want, row), append(uids, uid)
		}
	}
	slices.Reverse(uids)
	if err := f.s.storeKeys(t.Context(), keyJob{boxKey{f.a.id, f.inbox}, appendSegments(nil, rows), uids}); err != nil {
		t.Fatal(err)
	}
	if got := f.storedRows(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%d keys stored, want %d", len(got), len(want))
	}
	if ran := f.number(`select count(distinct xmin::text) from sort_keys`); ran != 3 {
		t.Errorf("stored in %d transactions, want 3", ran)
	}
}
