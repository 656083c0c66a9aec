package postgres

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// holdInbox is hold of INBOX's row.
func (f *fixture) holdInbox() (let func()) {
	f.Helper()
	return f.hold(fmt.Sprintf(`select from mailbox_state where mailbox_id = %d for update`, f.inbox))
}

// hold keeps what statements lock, on a connection of its own, until the function it returns is called.
func (f *fixture) hold(statements ...string) (let func()) {
	f.Helper()
	conn, err := pgx.Connect(f.Context(), f.url)
	if err != nil {
		f.Fatal(err)
	}
	tx, err := conn.Begin(f.Context())
	for _, sql := range statements {
		if err == nil {
			_, err = tx.Exec(f.Context(), sql)
		}
	}
	if err != nil {
		f.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(f.Context()); err != nil {
			f.Error(err)
		}
		if err := conn.Close(f.Context()); err != nil {
			f.Error(err)
		}
	}
}

// look asks the database on a connection of its own for one number.
func (f *fixture) look(sql string, args ...any) (n int64) {
	f.Helper()
	conn, err := pgx.Connect(f.Context(), f.url)
	if err != nil {
		f.Fatal(err)
	}
	defer conn.Close(f.Context()) //nolint:errcheck // the answer is there
	if err := conn.QueryRow(f.Context(), sql, args...).Scan(&n); err != nil {
		f.Fatal(err)
	}
	return n
}

const sqlWaiting = `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`

// TestLastWriteOfTheOneThatEnds: a process that is ending makes room at once, and until its last write is done nobody is alone.
func TestLastWriteOfTheOneThatEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t, alone)
	uid := f.mail(plain("one", 10))[0]
	first, a := f.s, f.a
	f.await("to be alone", first.presence.alone)
	let := f.holdInbox()
	written := make(chan error, 1)
	go func() {
		_, err := a.SetFlags(context.Background(), f.inbox, uidRange(1, uid), store.FlagChange{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged}})
		written <- err
	}()
	f.await("the write to wait", func() bool { return f.look(sqlWaiting) > 0 })
	closed := make(chan struct{})
	go func() {
		first.Close()
		close(closed)
	}()
	second := f.open(alone, func(o *Options) { o.patience.evict = time.Hour })
	there := f.on(second)
	f.openInbox(there)
	for range 20 {
		if second.presence.alone() {
			t.Fatal("alone while another process has a write under way")
		}
		if n := f.look(`select count(*) from pg_locks where locktype = 'advisory' and granted and database = (select oid from pg_database where datname = current_database())`); n < 2 {
			t.Fatalf("%d locks: the first has given up its own", n)
		}
	}
	let()
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	snap := f.openInbox(there)
	if i, ok := snap.Find(uid); !ok || snap.Flags(i).System&store.FlagFlagged == 0 {
		t.Error("what the first process wrote last does not show")
	}
	<-closed
	f.await("to be alone", second.presence.alone)
}

// TestEndsInDoubt: a process that does not know how a write of its own ended leaves its row among the nodes.
func TestEndsInDoubt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, alone)
	f.s.doubt(f.a.id, context.Canceled)
	f.s.Close()
	if n := f.look(`select count(*) from nodes where not released`); n != 1 {
		t.Errorf("%d nodes are left, want that of the one in doubt", n)
	}
	second := f.open(alone)
	second.Close()
	if n := f.look(`select count(*) from nodes where not released`); n != 1 {
		t.Errorf("%d nodes are left, want that of the one in doubt", n)
	}
}

// TestNotAloneAfterTheKilled: with a number that was given, the row of one that was killed says nothing any more.
func TestNotAloneAfterTheKilled(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(`insert into nodes (node_id, instance) values (9, 1)`)
	f.s.Close()
	s := f.open(alone, func(o *Options) { o.Node = 9 })
	if s.presence.alone() {
		t.Error("alone beside what the process that had its number has under way")
	}
}

// TestBeginGivenUp: a process that was not let in leaves its number.
func TestBeginGivenUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.s.Close()
	f.forOurselves()
	ctx, cancel := context.WithCancel(t.Context())
	opened := make(chan error, 1)
	go func() {
		_, err := Open(ctx, Options{URL: f.url, MasterKey: bytes.Repeat([]byte{7}, keySize), MaxConns: 8})
		opened <- err
	}()
	f.await("it to wait", func() bool { return f.look(sqlWaiting) > 0 })
	cancel()
	if err := <-opened; err == nil {
		t.Error("it was let in")
	}
	if n := f.look(`select count(*) from nodes where not released`); n != 0 {
		t.Errorf("%d nodes are left", n)
	}
}
