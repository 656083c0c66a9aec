package postgres

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// TestVersionSince lets a mailbox go through many versions and checks that the short way from any of them to the last
// one, by the log, says what comparing the two says.
func TestVersionSince(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 2))
		m := &model{rows: randomRows(r, 20, 1), at: 2e6}
		v := &version{snap: m.snapshot()}
		seen := []*store.Snapshot{v.snap}
		for range 1 + r.IntN(10) {
			v = nextVersion(r, m, v)
			seen = append(seen, v.snap)
		}
		for i, have := range seen {
			got, want := v.since(have), v.snap.ChangesFrom(have)
			for j := range got.Removed { // the log knows better when
				if e := &got.Removed[j]; e.ModSeq <= have.ModSeq() || e.ModSeq > v.snap.ModSeq() {
					t.Fatalf("seed %d, version %d: %v removed outside of (%d,%d]", seed, i, e, have.ModSeq(), v.snap.ModSeq())
				}
				got.Removed[j].ModSeq = v.snap.ModSeq()
			}
			if !reflect.DeepEqual(emptyToNil(got), emptyToNil(want)) {
				t.Fatalf("seed %d, version %d of %d:\n got %+v\nwant %+v", seed, i, len(seen), got, want)
			}
		}
	}
}

// nextVersion lets a few commands happen, and a delivery, and makes the version that follows.
func nextVersion(r *rand.Rand, m *model, v *version) *version {
	m.journal = nil
	for range r.IntN(3) {
		m.step(r)
	}
	d := &delta{state: new(state), journal: m.journal}
	if r.IntN(2) == 0 {
		m.at++
		row := store.Row{UID: v.snap.UIDNext(), ModSeq: m.at}
		m.rows = append(m.rows, row)
		d.arrivals = []store.Row{row}
	}
	d.box = store.Mailbox{ID: 1, ModSeq: m.at, UIDNext: v.snap.UIDNext() + imap.UID(len(d.arrivals)), Messages: uint32(len(m.rows))}
	snap, ch, _ := d.apply(v.snap, 0)
	return v.next(snap, d.box, ch)
}

func emptyToNil(ch store.Changes) store.Changes {
	for _, es := range []*[]store.Entry{&ch.Added, &ch.Flagged, &ch.Removed} {
		if len(*es) == 0 {
			*es = nil
		}
	}
	return ch
}

func TestVersionLogIsBounded(t *testing.T) {
	t.Parallel()
	snap := store.NewSnapshot(store.Mailbox{ModSeq: 1, UIDNext: 1}, nil, nil)
	v := &version{snap: snap}
	for range 3 * logChanges {
		v = v.next(snap, store.Mailbox{}, store.Changes{Flagged: make([]store.Entry, logEntries/100)})
	}
	total := 0
	for _, ch := range v.log {
		total += changeCount(ch)
	}
	if len(v.log) != logChanges || total > logEntries {
		t.Errorf("log holds %d changes of %d messages", len(v.log), total)
	}
	v = v.next(snap, store.Mailbox{}, store.Changes{Flagged: make([]store.Entry, logEntries+1)})
	if len(v.log) != 0 {
		t.Errorf("log holds %d changes after one that is too large", len(v.log))
	}
}

// TestVersionSinceIsACopy: sessions may do with their Changes as they like.
func TestVersionSinceIsACopy(t *testing.T) {
	t.Parallel()
	old := store.NewSnapshot(store.Mailbox{ModSeq: 1, UIDNext: 1}, nil, nil)
	row := store.Row{UID: 1, ModSeq: 2}
	now := old.Next(store.Delta{ModSeq: 2, UIDNext: 2, Added: []store.Row{row}})
	v := (&version{snap: old}).next(now, store.Mailbox{}, now.ChangesFrom(old))
	first := v.since(old)
	first.Added[0].UID = 99
	if again := v.since(old); !slices.Equal(again.Added, []store.Entry{{UID: 1, ModSeq: 2}}) {
		t.Errorf("Added = %v", again.Added)
	}
}
