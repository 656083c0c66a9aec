package postgres

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"postern/pkg/store"
	"postern/pkg/store/postgres/pgtest"
)

// TestIDsAreUnique makes ids from many goroutines, more than a millisecond has room for.
func TestIDsAreUnique(t *testing.T) {
	t.Parallel()
	src := newIDSource(5, 0)
	ids := make([]store.MessageID, 8*5000)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			part := ids[w*5000 : (w+1)*5000]
			for i := range part {
				part[i] = src.next()
			}
			if !slices.IsSorted(part) {
				t.Error("ids of one goroutine are not ascending")
			}
		})
	}
	wg.Wait()
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 8*5000 {
		t.Error("an id came twice")
	}
	if node := ids[0] >> 12 & 0x3ff; node != 5 {
		t.Errorf("node is %d", node)
	}
}

// TestIDsAfterClockWentBack: a process that follows another does not make its ids again.
func TestIDsAfterClockWentBack(t *testing.T) {
	t.Parallel()
	ahead := time.Now().Add(time.Hour).UnixMilli()
	before, after := newIDSource(1, ahead).next(), newIDSource(1, ahead+5).next()
	if after <= before || int64(after)>>22 < ahead {
		t.Errorf("id %d after %d", after, before)
	}
}

// TestNodes gives processes different numbers, takes back those of processes that ended, and those of the dead in time.
func TestNodes(t *testing.T) {
	t.Parallel()
	ctx, url := context.Background(), pgtest.New(t)
	one := reopen(t, url)
	two, err := Open(ctx, Options{URL: url, MasterKey: masterKey})
	if err != nil {
		t.Fatal(err)
	}
	if one.ids.node != 1 || two.ids.node != 2 {
		t.Errorf("nodes %d and %d", one.ids.node, two.ids.node)
	}
	last := two.ids.next()
	two.Close()
	three := reopen(t, url)
	if three.ids.node != 2 || three.ids.next() <= last {
		t.Errorf("node after one has ended: %d", three.ids.node)
	}
	if _, err := one.pool.Exec(ctx, "update nodes set seen_at = now() - interval '1 hour' where node_id = 1"); err != nil {
		t.Fatal(err)
	}
	if four := reopen(t, url); four.ids.node != 1 {
		t.Errorf("node after one has died: %d", four.ids.node)
	}
	if five := reopen(t, url, func(o *Options) { o.Node = 77 }); five.ids.node != 77 {
		t.Errorf("node asked for: %d", five.ids.node)
	}
}

// TestNodeTakenOver: a process that was out of touch, and finds its number taken, goes on with another.
func TestNodeTakenOver(t *testing.T) {
	t.Parallel()
	ctx, url := context.Background(), pgtest.New(t)
	one := reopen(t, url)
	if _, err := one.pool.Exec(ctx, "update nodes set instance = instance + 1, seen_at = now() + interval '1 hour' where node_id = 1"); err != nil {
		t.Fatal(err)
	}
	last := one.ids.next()
	if err := one.showAlive(ctx); err != nil {
		t.Fatal(err)
	}
	if id := one.ids.next(); one.ids.number() != 2 || id <= last || id>>12&0x3ff != 2 {
		t.Errorf("id %d after %d, node %d", id, last, one.ids.number())
	}
	if err := one.showAlive(ctx); err != nil || one.ids.number() != 2 {
		t.Errorf("then node %d, %v", one.ids.number(), err)
	}
}

// TestIDsOfTheDead: a process that follows one that was killed makes later ids, though the clock was set back and the
// last one's were ahead of it.
func TestIDsOfTheDead(t *testing.T) {
	t.Parallel()
	ctx, url := context.Background(), pgtest.New(t)
	fixed := func(o *Options) { o.Node = 9 }
	dead := reopen(t, url, fixed)
	dead.ids.move(9, time.Now().Add(time.Hour).UnixMilli()) // a clock that was fast
	if err := dead.showAlive(ctx); err != nil {
		t.Fatal(err)
	}
	dead.ids.move(9, dead.ids.newest().Add(nodeBeat).UnixMilli()) // what it did after its last beat
	last := dead.ids.next()
	if id := reopen(t, url, fixed).ids.next(); id <= last {
		t.Errorf("id %d after %d", id, last)
	}
	if err := dead.showAlive(ctx); err == nil {
		t.Error("nobody notices that two processes have one number")
	}
}
