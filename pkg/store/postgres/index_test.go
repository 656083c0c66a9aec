package postgres

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// packed is a mailbox_index in memory.
type packed map[int]struct {
	segment
	data []byte
}

// carry does what run does.
func (x packed) carry(p *packPlan, snap *store.Snapshot) {
	for seg, g := range x {
		if slices.Contains(p.keep, seg) {
			g.asOf = snap.ModSeq()
			x[seg] = g
		}
		if seg >= p.count {
			delete(x, seg)
		}
	}
	for _, w := range p.write {
		var rows []store.Row
		for i := w.from; i < w.to; i++ {
			rows = append(rows, snap.Row(i))
		}
		x[w.seg] = struct {
			segment
			data []byte
		}{w.segment, packRows(rows)}
	}
}

func (x packed) segments() []segment {
	var all []segment
	for i := range len(x) {
		all = append(all, x[i].segment)
	}
	return all
}

func (x packed) read(t *testing.T) (rows []store.Row, hi int64) {
	t.Helper()
	all := store.NewColumns(0)
	for i := range len(x) {
		g := x[i]
		if g.seg != i || g.lo != hi+1 {
			t.Fatalf("segment %d is number %d from %d on, after %d", i, g.seg, g.lo, hi)
		}
		if err := g.unpack(all, hi+1, g.data); err != nil {
			t.Fatal(err)
		}
		hi = g.hi
	}
	return rowsOf(all), hi
}

// TestPlanSegments keeps the index of a mailbox that grows, changes and shrinks, and reads it back each time.
func TestPlanSegments(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 0))
	rows := randomRows(r, 5*segmentRows+100, 1)
	snap := store.NewSnapshot(store.Mailbox{ModSeq: 2e6, UIDNext: rows[len(rows)-1].UID + 1}, nil, rows)
	x := packed{}
	for step := range 8 {
		plan := planSegments(snap, x.segments())
		if step > 0 && step < 6 && len(plan.keep) == 0 {
			t.Errorf("step %d writes everything anew", step)
		}
		x.carry(plan, snap)
		got, hi := x.read(t)
		if hi != int64(snap.UIDNext())-1 || !sameRows(got, snap) {
			t.Fatalf("step %d: the index is not the mailbox", step)
		}
		snap = disturb(r, snap, step)
	}
}

func sameRows(rows []store.Row, snap *store.Snapshot) bool {
	if len(rows) != snap.Len() {
		return false
	}
	for i := range rows {
		if rows[i] != snap.Row(i) {
			return false
		}
	}
	return true
}

// disturb delivers, changes flags and expunges, in the last step most of it.
func disturb(r *rand.Rand, snap *store.Snapshot, step int) *store.Snapshot {
	at := snap.ModSeq() + 1
	d := store.Delta{ModSeq: at, Added: randomRows(r, r.IntN(2*segmentRows), snap.UIDNext()+imap.UID(r.IntN(3)))}
	for i := range d.Added {
		d.Added[i].ModSeq = at
		d.UIDNext = d.Added[i].UID + 1
	}
	from := r.IntN(snap.Len() / 2)
	for i := from; i < from+segmentRows/2; i += 1 + r.IntN(20) {
		e := snap.Entry(i)
		d.Flagged = append(d.Flagged, store.Entry{UID: e.UID, ModSeq: at, Flags: store.FlagSet{System: store.FlagSeen}})
	}
	gone := 1 + r.IntN(50)
	if step == 6 {
		from, gone = 0, snap.Len()-10
	}
	for i := from; i < from+gone; i++ {
		d.Removed = append(d.Removed, snap.UID(i))
	}
	return snap.Next(d)
}

func TestPlanSegmentsYieldsToNewer(t *testing.T) {
	t.Parallel()
	snap := store.NewSnapshot(store.Mailbox{ModSeq: 5, UIDNext: 1}, nil, nil)
	if planSegments(snap, []segment{{asOf: 6}}) != nil {
		t.Error("an older snapshot would replace a newer index")
	}
	if p := planSegments(snap, nil); p == nil || p.count != 1 {
		t.Errorf("plan for an empty mailbox: %+v", p)
	}
}
