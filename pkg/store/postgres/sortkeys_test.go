package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/prometheus/client_golang/prometheus"

	"postern/pkg/order"
	"postern/pkg/store"
)

func listUIDs(s *store.Snapshot) []imap.UID {
	uids := make([]imap.UID, s.Len())
	for i := range uids {
		uids[i] = s.UID(i)
	}
	return uids
}

// subjects are the base subjects of all messages of INBOX, by way of Keys.
func (f *fixture) subjects(a *account) []string {
	f.Helper()
	s := f.openInbox(a)
	keys, err := a.Keys(f.Context(), s, listUIDs(s))
	if err != nil {
		f.Fatal(err)
	}
	list := make([]string, len(keys))
	for i, k := range keys {
		list[i] = k.Text(order.Subject)
	}
	return list
}

// numbered appends n messages with the subjects "s0", "s1" and so on.
func (f *fixture) numbered(from, n int) []string {
	f.Helper()
	var texts, want []string
	for i := from; i < from+n; i++ {
		texts = append(texts, plain(fmt.Sprintf("Re: s%d", i), 10))
		want = append(want, fmt.Sprintf("S%d", i))
	}
	for part := range slices.Chunk(texts, 500) {
		f.mail(part...)
	}
	return want
}

func counting(r *prometheus.Registry) func(*Options) {
	return func(o *Options) { o.Registerer = r }
}

// TestKeysStored: keys are made once, whoever asks, and read again by other processes.
func TestKeysStored(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	f := newFixture(t, counting(r))
	const n = keysBehind + 300
	want := f.numbered(0, n)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if got := f.subjects(f.a); !slices.Equal(got, want) {
				t.Errorf("subjects %.100q", got)
			}
		})
	}
	wg.Wait()
	if made := value(t, r, "postern_sort_keys_made_total"); made != n {
		t.Errorf("%v keys made, want %d", made, n)
	}
	s := f.openInbox(f.a)
	if ran := f.statements(func(ctx context.Context) {
		if _, err := f.a.Keys(ctx, s, listUIDs(s)); err != nil {
			t.Error(err)
		}
	}); ran != 0 {
		t.Errorf("%d statements for keys in memory", ran)
	}
	f.await("keys to be stored", func() bool { return f.number(`select coalesce(sum(n), 0) from sort_keys`) == n })

	want = append(want, f.numbered(n, 3)...)
	f.expunge(uidRange(5, 5))
	want = slices.Delete(want, 4, 5)
	r2 := prometheus.NewRegistry()
	other := f.on(f.open(counting(r2)))
	if got := f.subjects(other); !slices.Equal(got, want) {
		t.Errorf("elsewhere: subjects %.100q", got)
	}
	if made := value(t, r2, "postern_sort_keys_made_total"); made != 3 {
		t.Errorf("elsewhere: %v keys made, want 3", made)
	}
	if got := f.subjects(f.a); !slices.Equal(got, want) {
		t.Errorf("later: subjects %.100q", got)
	}

	f.exec(`update sort_keys set data = overlay(data placing 'x' from 50)`)
	if got := f.subjects(f.on(f.open())); !slices.Equal(got, want) {
		t.Errorf("with a damaged segment: subjects %.100q", got)
	}
}

// TestKeysForgotten: keys go with their mailbox, and leave memory when there is no room.
func TestKeysForgotten(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *Options) { o.CacheBytes = 1600 * keysShare })
	want := f.numbered(0, 5)
	archive := boxOf(t, f.a, "Archive")
	if _, err := f.a.Copy(t.Context(), f.inbox, archive.ID, allUIDs); err != nil {
		t.Fatal(err)
	}
	if got := f.subjects(f.a); !slices.Equal(got, want) {
		t.Errorf("subjects %q", got)
	}
	_, s, err := f.a.Open(t.Context(), "Archive")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.a.Keys(t.Context(), s, listUIDs(s)); err != nil {
		t.Fatal(err)
	}
	if c := f.s.sortKeys; len(c.boxes) != 1 || c.order.Len() != 1 || c.boxes[boxKey{f.a.id, archive.ID}] == nil {
		t.Errorf("%d mailboxes in memory", len(c.boxes))
	}
	if c := f.s.sortKeys; c.bytes <= 800 || c.bytes > 1600 {
		t.Errorf("%d octets in memory", c.bytes)
	}
	segments := f.s.sortKeys.entry(boxKey{f.a.id, archive.ID}).held()
	job := keyJob{boxKey{f.a.id, archive.ID}, segments, listUIDs(s)}
	if err := f.s.storeKeys(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if n := f.number(`select count(*) from sort_keys`); n != 1 {
		t.Errorf("%d segments stored", n)
	}
	if err := f.a.Delete(t.Context(), "Archive"); err != nil {
		t.Fatal(err)
	}
	if err := f.s.storeKeys(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if n := f.number(`select count(*) from sort_keys`); n != 0 {
		t.Errorf("%d segments of a mailbox that was deleted", n)
	}
}

// TestKeysInterrupted: who gives up waits no longer, and what was made is kept.
func TestKeysInterrupted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	want := f.numbered(0, 20)
	s := f.openInbox(f.a)
	e := f.s.sortKeys.entry(boxKey{f.a.id, f.inbox})
	if err := e.acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.a.Keys(ctx, s, listUIDs(s)); !errors.Is(err, context.Canceled) {
		t.Errorf("gave up with %v", err)
	}
	k := &keyMaker{a: f.a, e: e, have: s}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	ctx = store.WithProgress(ctx, func(done, _ int) {
		if done == 3 {
			cancel()
		}
	})
	_ = k.make(ctx, listUIDs(s)) // it may have had all of them in hand
	if len(e.held()) == 0 {
		t.Error("nothing was kept")
	}
	e.release()
	if got := f.subjects(f.a); !slices.Equal(got, want) {
		t.Errorf("subjects %q", got)
	}
}

func someRow(r *rand.Rand, uid imap.UID) keyRow {
	f := order.Fields{Sent: r.Int64(), ID: r.Uint64()}
	f.Text[order.Subject] = fmt.Sprint(uid)
	return keyRow{uid, store.MessageID(r.Int64N(1 << 50)), f}
}

func ascending(segments []*keySegment) bool {
	return slices.IsSortedFunc(segments, func(a, b *keySegment) int { return cmp.Compare(a.lo(), b.lo()) }) &&
		!slices.ContainsFunc(segments[1:], func(g *keySegment) bool {
			at := slices.Index(segments, g)
			return segments[at-1].hi() >= g.lo()
		})
}

// TestMergeKeys holds segments to a map.
func TestMergeKeys(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 9))
		want := make(map[imap.UID]keyRow)
		var segments []*keySegment
		for range 1 + r.IntN(12) {
			set := make(map[imap.UID]keyRow)
			from := imap.UID(1 + r.IntN(20_000))
			for range 1 + r.IntN(300)*r.IntN(4) {
				uid := from + imap.UID(r.IntN(1+r.IntN(5000)))
				set[uid] = someRow(r, uid)
			}
			var rows []keyRow
			for _, uid := range slices.Sorted(maps.Keys(set)) {
				rows = append(rows, set[uid])
			}
			segments = mergeKeys(segments, rows)
			maps.Copy(want, set)
			if countKeys(segments) != len(want) {
				t.Fatalf("seed %d: %d keys, want %d", seed, countKeys(segments), len(want))
			}
		}
		if !ascending(segments) {
			t.Fatalf("seed %d: segments overlap", seed)
		}
		for _, g := range segments {
			for _, row := range g.rows() {
				if !reflect.DeepEqual(row, want[row.uid]) {
					t.Fatalf("seed %d: %v, want %v", seed, row, want[row.uid])
				}
			}
		}
	}
}

func TestPackKeys(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	var rows []keyRow
	for uid := imap.UID(1); uid < 1000; uid += imap.UID(1 + r.IntN(3)) {
		rows = append(rows, someRow(r, uid))
	}
	g := newKeySegment(append(rows, someRow(r, 1<<32-1)))
	raw, err := g.pack()
	if err != nil {
		t.Fatal(err)
	}
	again, err := unpackKeys(raw)
	if err != nil || fmt.Sprint(again.rows()) != fmt.Sprint(g.rows()) {
		t.Errorf("unpacked otherwise: %v", err)
	}
	for _, bad := range [][]byte{nil, {keysVersion}, {9, 1}, raw[:len(raw)-1], append(slices.Clone(raw), 0)} {
		if _, err := unpackKeys(bad); err == nil {
			t.Errorf("%.20x unpacked", bad)
		}
	}
}

func FuzzUnpackKeys(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 3))
	raw, err := newKeySegment([]keyRow{someRow(r, 3), someRow(r, 7)}).pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(_ *testing.T, raw []byte) {
		if g, err := unpackKeys(raw); err == nil {
			g.rows()
		}
	})
}
