package postgres

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/pkg/store"
)

// fakeBase is a database of one mailbox for the cache to look at.
type fakeBase struct {
	mu    sync.Mutex
	at    store.ModSeq
	looks int
	gate  chan struct{} // if set, a look waits for it
	err   error
	panic bool // once
}

func (f *fakeBase) commit() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at++
}

func (f *fakeBase) advance(ctx context.Context, e *cached, _ bool) (*version, error) {
	f.mu.Lock()
	f.looks++
	at, gate, err, broken := f.at, f.gate, f.err, f.panic
	f.panic = false
	f.mu.Unlock()
	if broken {
		panic("on purpose")
	}
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	if e.now != nil && e.now.snap.ModSeq() == at {
		return e.now, nil
	}
	return &version{snap: store.NewSnapshot(store.Mailbox{ID: e.key.box, ModSeq: at, UIDNext: 1}, nil, nil)}, nil
}

func newFakeCache(t *testing.T, limit int64) (*cache, *fakeBase) {
	t.Helper()
	m, err := NewMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	c, f := newCache(limit, m), &fakeBase{at: 1}
	c.advance, c.save = f.advance, func(*cached) {}
	return c, f
}

// TestCacheSharesLooks: a thousand sessions that wake together look once or twice, and each sees what was committed
// before it asked.
func TestCacheSharesLooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, f := newFakeCache(t, 1<<20)
		key := boxKey{1, 1}
		f.gate = make(chan struct{})
		var wg sync.WaitGroup
		ask := func(n int, want store.ModSeq) {
			for range n {
				wg.Go(func() {
					v, err := c.refresh(t.Context(), key, nil, false)
					if err != nil || v.snap.ModSeq() < want {
						t.Errorf("got %v, %v; want mod-sequence %d", v, err, want)
					}
				})
			}
		}
		ask(1, 1)
		synctest.Wait() // it looks, and hangs
		f.commit()
		ask(1000, 2) // these may not join it
		synctest.Wait()
		close(f.gate)
		wg.Wait()
		if f.looks != 2 {
			t.Errorf("%d looks at the database, want 2", f.looks)
		}
	})
}

func TestCacheCallerMayLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, f := newFakeCache(t, 1<<20)
		f.gate = make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error)
		go func() {
			_, err := c.refresh(ctx, boxKey{1, 1}, nil, false)
			first <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled caller got %v", err)
		}
		close(f.gate)
		synctest.Wait()
		if c.peek(boxKey{1, 1}) == nil {
			t.Error("what the cancelled caller asked for was thrown away")
		}
	})
}

// TestCacheLookIsTakenOver: who looks for himself may leave too, and those who ask meanwhile are not held up by that.
func TestCacheLookIsTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, f := newFakeCache(t, 1<<20)
		key := boxKey{1, 1}
		if _, err := c.refresh(t.Context(), key, nil, false); err != nil {
			t.Fatal(err)
		}
		f.gate = make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		first, second := make(chan error), make(chan error)
		go func() {
			_, err := c.refresh(ctx, key, nil, false)
			first <- err
		}()
		synctest.Wait()
		f.commit()
		go func() {
			v, err := c.refresh(t.Context(), key, nil, false)
			if err == nil && v.snap.ModSeq() != 2 {
				err = errors.New("it is not what was committed")
			}
			second <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled caller got %v", err)
		}
		close(f.gate)
		if err := <-second; err != nil {
			t.Errorf("the other caller got %v", err)
		}
		if f.looks != 4 { // the first of all, one that was broken off and made again, and one for the second caller
			t.Errorf("%d looks at the database, want 4", f.looks)
		}
	})
}

// TestCacheLookPanics: who looks for himself and panics leaves the mailbox to others.
func TestCacheLookPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, f := newFakeCache(t, 1<<20)
		key := boxKey{1, 1}
		if _, err := c.refresh(t.Context(), key, nil, false); err != nil {
			t.Fatal(err)
		}
		f.panic = true
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			c.refresh(t.Context(), key, nil, false) //nolint:errcheck // it panics
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.refresh(ctx, key, nil, false); err != nil {
			t.Errorf("the next to ask got %v", err)
		}
	})
}

func TestCacheEvicts(t *testing.T) {
	t.Parallel()
	c, _ := newFakeCache(t, 0)
	for _, box := range []store.MailboxID{1, 2, 3} {
		if _, err := c.refresh(t.Context(), boxKey{1, box}, nil, false); err != nil {
			t.Fatal(err)
		}
	}
	one := c.bytes
	if len(c.boxes) != 1 || c.peek(boxKey{1, 3}) == nil {
		t.Fatalf("%d mailboxes are kept without a budget, want the last one", len(c.boxes))
	}
	c.limit = 2 * one
	for _, box := range []store.MailboxID{4, 3, 5} { // 3 is used again, so 4 goes
		if _, err := c.refresh(t.Context(), boxKey{1, box}, nil, false); err != nil {
			t.Fatal(err)
		}
	}
	if c.peek(boxKey{1, 4}) != nil || c.peek(boxKey{1, 3}) == nil || c.peek(boxKey{1, 5}) == nil {
		t.Error("not the mailbox used longest ago was dropped")
	}
	if c.bytes != 2*one || c.order.Len() != 2 {
		t.Errorf("%d octets and %d places for 2 mailboxes of %d", c.bytes, c.order.Len(), one)
	}
}

// TestCacheTakesBackEvicted: a session's own snapshot is as good as what was dropped.
func TestCacheTakesBackEvicted(t *testing.T) {
	t.Parallel()
	c, _ := newFakeCache(t, 0)
	key := boxKey{1, 1}
	v, err := c.refresh(t.Context(), key, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.refresh(t.Context(), boxKey{1, 2}, nil, false); err != nil {
		t.Fatal(err)
	}
	again, err := c.refresh(t.Context(), key, v.snap, false)
	if err != nil || again.snap != v.snap {
		t.Errorf("the snapshot was read again (%v)", err)
	}
}

func TestCacheForgetsDeletedMailbox(t *testing.T) {
	t.Parallel()
	c, f := newFakeCache(t, 1<<20)
	key := boxKey{1, 1}
	if _, err := c.refresh(t.Context(), key, nil, false); err != nil {
		t.Fatal(err)
	}
	f.err = store.ErrUnavailable
	if _, err := c.refresh(t.Context(), key, nil, false); !errors.Is(err, store.ErrUnavailable) || c.peek(key) == nil {
		t.Errorf("with the database away: %v, and the mailbox must stay", err)
	}
	f.err = store.ErrNotFound
	if _, err := c.refresh(t.Context(), key, nil, false); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a deleted mailbox gave %v", err)
	}
	if len(c.boxes) != 0 || c.order.Len() != 0 || c.bytes != 0 {
		t.Errorf("a deleted mailbox stays: %d, %d, %d octets", len(c.boxes), c.order.Len(), c.bytes)
	}
}

// TestCacheKnown: what is in memory is enough for the caller until there is something that it may not have.
func TestCacheKnown(t *testing.T) {
	t.Parallel()
	c, db := newFakeCache(t, 1<<20)
	key := boxKey{1, 1}
	db.at = 5
	refresh := func() {
		if _, err := c.refresh(t.Context(), key, nil, false); err != nil {
			t.Fatal(err)
		}
	}
	known := func(what string, at store.ModSeq, want bool) {
		t.Helper()
		if got := c.known(key, at) != nil; got != want {
			t.Errorf("%s: known up to %d: %v, want %v", what, at, got, want)
		}
	}
	known("never opened", 1, false)
	refresh()
	known("opened", 5, true)
	known("from the future", 6, false)
	c.outdate(key)
	known("changed here", 5, false)
	refresh()
	known("read again", 5, true)
	c.hear(key)
	known("changed elsewhere", 5, false)
	refresh()
	c.hearAll()
	known("changed somewhere", 5, false)
	refresh()
	e, f := c.step(key, 5)
	known("while it changes", 5, false)
	if other, _ := c.step(key, 5); other != nil {
		t.Error("two change it at once")
	}
	c.arrive(e, f, e.now, nil)
	known("afterwards", 5, true)
	if e, _ := c.step(key, 4); e != nil {
		t.Error("a change of another version")
	}
}
