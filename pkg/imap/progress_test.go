package imap

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// slowStore is a store whose Search is half way for as long as it is told to be.
type slowStore struct {
	store.Store
	takes time.Duration
	ended chan error // of Search
}

type slowAccount struct {
	store.Account
	s *slowStore
}

func (s *slowStore) Account(ctx context.Context, id store.AccountID) (store.Account, error) {
	a, err := s.Store.Account(ctx, id)
	return &slowAccount{a, s}, err
}

func (a *slowAccount) Search(ctx context.Context, have *store.Snapshot, c *store.Criteria) ([]imap.UID, error) {
	store.Progress(ctx, 5, 10)
	select {
	case <-time.After(a.s.takes):
		return a.Account.Search(ctx, have, c)
	case <-ctx.Done():
		a.s.ended <- ctx.Err()
		return nil, ctx.Err()
	}
}

func newSlowBench(t *testing.T, takes time.Duration) (*bench, *slowStore, *pipe) {
	b := newBench(t)
	slow := &slowStore{Store: b.store, takes: takes, ended: make(chan error, 1)}
	b.server.Accounts = slow
	b.start()
	p := b.dial(t, "a")
	p.do(t, "b SELECT INBOX")
	return b, slow, p
}

// TestProgress: every ten seconds a client hears how far its command is (RFC 9585 §4), and what it sends meanwhile waits.
func TestProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, _, p := newSlowBench(t, 35*time.Second)
		p.say(t, "c SEARCH ALL")
		p.say(t, "d NOOP")
		heard := strings.Join(p.until(t, "c "), "\n")
		if n := strings.Count(heard, `* OK [INPROGRESS ("c" 5 10)] `); n != 3 {
			t.Errorf("heard %q", heard)
		}
		p.until(t, "d OK")
		p.do(t, "e LOGOUT")
		if err := b.stop(t, time.Minute); err != nil {
			t.Error(err)
		}
	})
}

// TestNoProgress: a command that is soon done is done without a word, however old its session.
func TestNoProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, _, p := newSlowBench(t, 9*time.Second)
		for _, tag := range []string{"c", "d", "e"} {
			if heard := p.do(t, tag+" SEARCH ALL"); len(heard) != 1 {
				t.Errorf("heard %q", heard)
			}
		}
		p.do(t, "f LOGOUT")
		if err := b.stop(t, time.Minute); err != nil {
			t.Error(err)
		}
	})
}

// TestDroppedConnectionCancels: nobody searches for a client that has gone.
func TestDroppedConnectionCancels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, slow, p := newSlowBench(t, time.Hour)
		p.say(t, "c SEARCH ALL")
		began := time.Now()
		synctest.Wait()
		p.Close()
		if err := <-slow.ended; err == nil || time.Since(began) > 2*time.Second {
			t.Errorf("ended with %v after %v", err, time.Since(began))
		}
		if err := b.stop(t, time.Minute); err != nil {
			t.Error(err)
		}
	})
}

// TestShutdownWaitsForCommand: a command under a vigil is finished before its session ends.
func TestShutdownWaitsForCommand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, _, p := newSlowBench(t, 5*time.Second)
		p.say(t, "c SEARCH ALL")
		synctest.Wait()
		if err := b.stop(t, time.Minute); err != nil {
			t.Error(err)
		}
		p.until(t, "c OK")
		p.until(t, "* BYE")
	})
}

// watchedContext counts the contexts that still depend on it.
type watchedContext struct {
	context.Context //nolint:containedctx // it is one
	children        int
}

func (w *watchedContext) Done() <-chan struct{} { return make(chan struct{}) }

// AfterFunc is what package context calls for a context made from this one, and its result when that has ended.
func (w *watchedContext) AfterFunc(func()) (stop func() bool) {
	w.children++
	return func() bool {
		w.children--
		return true
	}
}

// TestVigilLeavesNothing: a session may last for weeks, and with it what a command would leave behind.
func TestVigilLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, fl := range []flags{slow, slow | streams} {
		ctx := &watchedContext{Context: t.Context()}
		c := &conn{srv: &Server{}}
		_, end := c.watchOver(ctx, fl)
		if err := end(); err != nil {
			t.Error(err)
		}
		if ctx.children != 0 {
			t.Errorf("flags %b: %d contexts left", fl, ctx.children)
		}
	}
}
