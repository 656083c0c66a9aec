package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
	"postern/pkg/store/storetest"
)

// alone has a store be alone as soon as it can.
func alone(o *Options) {
	o.Alone = true
	o.patience = patience{try: 10 * time.Millisecond, evict: 100 * time.Millisecond}
}

// TestContractAlone holds a store that answers from memory to the promises of package store.
func TestContractAlone(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		s := openStore(t, alone, func(o *Options) { o.MaxMailboxes = storetest.MaxMailboxes })
		if !s.presence.alone() {
			t.Error("the first on a database is not alone")
		}
		return contractFixture(t, s)
	})
}

// TestAloneAsksNothing: what is in memory is opened and refreshed without a statement, and after a change with as few as before.
func TestAloneAsksNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, alone)
	f.mail(plain("one", 10), plain("two", 10))
	snap := f.openInbox(f.a)
	open := func(want int) func(ctx context.Context) {
		return func(ctx context.Context) {
			box, now, err := f.a.Open(ctx, "inbox")
			if err != nil || now.Len() != want || int(box.Messages) != want || box.ModSeq != now.ModSeq() {
				t.Errorf("%+v, %v", box, err)
			}
		}
	}
	refresh := func(ctx context.Context) {
		var err error
		if snap, _, err = f.a.Refresh(ctx, snap); err != nil {
			t.Error(err)
		}
	}
	costs := func(what string, most int, do func(ctx context.Context)) {
		t.Helper()
		if n := f.statements(do); n > most {
			t.Errorf("%s: %d statements, at most %d", what, n, most)
		}
	}
	costs("opened again", 0, open(2))
	costs("refreshed", 0, refresh)
	f.flag(uidRange(1, 1), imap.StoreFlagsAdd, imap.FlagSeen)
	costs("refreshed after a change", 0, refresh)
	costs("opened after a change", 1, open(2)) // for the counters
	costs("opened once more", 0, open(2))
	f.mail(plain("three", 10))
	costs("opened after a delivery", 7, open(3))
	costs("refreshed then", 0, refresh)
	if snap.Len() != 3 {
		t.Errorf("%d messages", snap.Len())
	}
	if _, err := f.a.Create(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	costs("opened after a change of names", 1, open(3))
	costs("and then", 0, open(3))
}

// sees fails unless a process that has just been asked shows a message.
func (f *fixture) sees(who string, s *Store, uid imap.UID) {
	f.Helper()
	box, snap, err := f.on(s).Open(f.Context(), store.Inbox)
	if err != nil {
		f.Fatal(err)
	}
	if _, ok := snap.Find(uid); !ok || int(box.Messages) != snap.Len() {
		f.Errorf("%s, alone: %v, has %d messages, %d counted, and not UID %d, which was committed before", who, s.presence.alone(), snap.Len(), box.Messages, uid)
	}
}

// TestAloneNoMore: what another process has committed is seen from the moment at which its writer knows, and the first process is
// alone again when the other has gone.
func TestAloneNoMore(t *testing.T) {
	t.Parallel()
	f := newFixture(t, alone)
	snap := f.openInbox(f.a)
	for round := range 12 {
		f.await("to be alone", f.s.presence.alone)
		f.sees("the first", f.s, f.mail(plain("before", 10))[0])
		other := f.open(alone)
		if f.s.presence.alone() || other.presence.alone() {
			t.Fatal("two are alone")
		}
		there := *f
		there.s, there.a = other, f.on(other)
		uid := there.mail(plain("there", 10))[0]
		f.sees("the first", f.s, uid)
		f.sees("the other", other, f.mail(plain("here", 10))[0])
		if round%2 == 0 {
			there.expunge(uidRange(1, uid))
		}
		now, _, err := f.a.Refresh(t.Context(), snap)
		if err != nil || now.Len() != f.openInbox(there.a).Len() {
			t.Fatalf("%d messages, %v", now.Len(), err)
		}
		snap = now
		other.Close()
	}
}

// TestAloneInTurns has processes begin, write, read and end without pause, all at once.
func TestAloneInTurns(t *testing.T) {
	t.Parallel()
	f := newFixture(t, alone)
	newest := make(chan imap.UID, 1) // that its writer knows of
	newest <- f.mail(plain("first", 10))[0]
	done := make(chan struct{})
	for range 3 {
		go func() {
			defer func() { done <- struct{}{} }()
			for range 8 {
				s := f.open(alone)
				there := *f
				there.s, there.a = s, f.on(s)
				for range rand.IntN(4) {
					uid := <-newest
					newest <- uid
					there.sees("a process", s, uid)
					written := there.mail(plain("more", 10))[0]
					newest <- max(<-newest, written)
				}
				s.Close()
			}
		}()
	}
	for left := 3; left > 0; {
		select {
		case <-done:
			left--
		case uid := <-newest:
			newest <- uid
			f.sees("the one that stays", f.s, uid)
		}
	}
}

// forOurselves holds the database as a process does that is alone, on a connection that answers nobody. It waits for the lock of
// a process that has just ended: its server hears of that a moment later.
func (f *fixture) forOurselves() *pgx.Conn {
	f.Helper()
	conn, err := pgx.Connect(f.Context(), f.url)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { conn.Close(context.Background()) }) //nolint:errcheck // it may be cut off
	if _, err := conn.Exec(f.Context(), `select pg_advisory_lock($1)`, presenceLock); err != nil {
		f.Fatal(err)
	}
	return conn
}

// TestRoomIsTaken: a process that holds the database for itself and does not answer loses its connection.
func TestRoomIsTaken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.s.Close()
	conn := f.forOurselves()
	s := f.open(alone)
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("it has kept its connection")
	}
	f.s = s
	f.await("to be alone", s.presence.alone)
}

// TestNotAloneBesideTheKilled: what a process had under way when it was killed may be committed yet.
func TestNotAloneBesideTheKilled(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(`insert into nodes (node_id, instance) values (77, 1)`)
	s := f.open(alone)
	f.s.Close()
	conn, err := pgx.Connect(t.Context(), f.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // the database is dropped
	for range 3 {
		if err := s.tryAlone(t.Context(), conn); err != nil || s.presence.alone() {
			t.Fatalf("alone beside another node, %v", err)
		}
	}
	f.s = s
	f.exec(`update nodes set seen_at = now() - interval '11 min' where node_id = 77`)
	f.await("to be alone", s.presence.alone)
}

// TestAloneUntilTheConnectionIsLost: with it goes the lock.
func TestAloneUntilTheConnectionIsLost(t *testing.T) {
	t.Parallel()
	f := newFixture(t, alone)
	f.mail(plain("one", 10))
	f.openInbox(f.a)
	w := f.s.Watch(f.a.id)
	defer w.Close()
	f.exec(`select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and mode = 'ExclusiveLock' and
  database = (select oid from pg_database where datname = current_database())`)
	f.woken(w) // it listens anew
	f.await("to be alone again", f.s.presence.alone)
	if n := f.statements(func(ctx context.Context) {
		if _, _, err := f.a.Open(ctx, store.Inbox); err != nil {
			t.Error(err)
		}
	}); n == 0 {
		t.Error("what others may have done in between is not looked for")
	}
}

// TestDoubt: after a write of which nobody knows how it ended, memory is not enough, and once more when nothing can come any more.
func TestDoubt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, alone)
	f.openInbox(f.a)
	opens := func(what string, want int) {
		t.Helper()
		n := f.statements(func(ctx context.Context) {
			if _, _, err := f.a.Open(ctx, store.Inbox); err != nil {
				t.Error(err)
			}
		})
		if n != want {
			t.Errorf("%s: %d statements, want %d", what, n, want)
		}
	}
	opens("before", 0)
	f.s.doubt(f.a.id, failed("x", store.ErrOverQuota))
	f.s.doubt(f.a.id, nil)
	opens("refused", 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.a.SetFlags(ctx, f.inbox, uidRange(1, 1), store.FlagChange{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen}}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	opens("given up", 1)
	opens("given up, again", 1)
	f.s.cache.mu.Lock()
	f.s.cache.news.doubt[stripeOf(f.a.id)] = time.Now()
	f.s.cache.mu.Unlock()
	opens("a while later", 1)
	opens("and then", 0)
}
