package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// TestLateCommit: a write whose connection is cut while PostgreSQL waits is committed later. A process that is alone by then shows it.
func TestLateCommit(t *testing.T) {
	t.Parallel()
	seen := store.FlagChange{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen}}
	for name, write := range map[string]func(ctx context.Context, a *account, box store.MailboxID) error{
		"flags": func(ctx context.Context, a *account, box store.MailboxID) error {
			_, err := a.SetFlags(ctx, box, uidRange(1, 1), seen)
			return err
		},
		"expunge": func(ctx context.Context, a *account, box store.MailboxID) error {
			_, err := a.Expunge(ctx, box, uidRange(1, 1), store.Actor{})
			return err
		},
		"subscribe": func(ctx context.Context, a *account, _ store.MailboxID) error { return a.Subscribe(ctx, "INBOX", true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.mail(plain("one", 10))
			if err := f.a.Subscribe(t.Context(), "INBOX", false); err != nil {
				t.Fatal(err)
			}
			f.s.Close()
			line := newLine(t, f.url)
			line.heedless.Store(true)
			f.s = f.open(alone, func(o *Options) { o.URL = line.url })
			f.a = f.on(f.s)
			f.await("to be alone", f.s.presence.alone)
			let := f.holdAll()
			done := make(chan error, 1)
			go func() { done <- write(context.Background(), f.a, f.inbox) }()
			f.await("the write to wait", func() bool { return f.look(sqlWaiting) > 0 })
			line.cut()
			if err := <-done; err == nil {
				t.Fatal("the write has not noticed")
			}
			line.mend()
			f.await("to be alone again", f.s.presence.alone)
			for range 2 {
				f.await("the mailbox", func() bool {
					_, _, err := f.a.Open(t.Context(), store.Inbox)
					return err == nil
				})
			}
			before := f.truth()
			let()
			f.await("the write", func() bool { return f.look(sqlWaiting) == 0 && f.truth() != before })
			f.shows()
		})
	}
}

// noCancel is a connection on which nobody is asked to give up a statement.
type noCancel struct{ net.Conn }

func (c noCancel) Write(b []byte) (int, error) {
	if len(b) == 16 && binary.BigEndian.Uint32(b[4:]) == 80877102 {
		return len(b), c.Close()
	}
	return c.Conn.Write(b)
}

// holdAll is hold of all that is written to in the account.
func (f *fixture) holdAll() (let func()) {
	f.Helper()
	return f.hold(`select from mailbox_state for update`, `select from accounts for update`)
}

// truth is what the database says of INBOX.
type truth struct {
	modSeq                    int64
	messages, unseen, deleted int64
	subscribed, gone          bool
}

func (f *fixture) truth() (x truth) {
	f.Helper()
	conn, err := pgx.Connect(f.Context(), f.url)
	if err != nil {
		f.Fatal(err)
	}
	defer conn.Close(f.Context()) //nolint:errcheck // the answer is there
	if err := conn.QueryRow(f.Context(), `
select s.modseq, s.n_msgs, s.n_unseen, s.n_deleted, exists (select from subscriptions u where u.account_id = s.account_id and u.name = 'INBOX'),
  (select state = 2 from accounts a where a.account_id = s.account_id)
from mailbox_state s
where mailbox_id = $1`, f.inbox).Scan(&x.modSeq, &x.messages, &x.unseen, &x.deleted, &x.subscribed, &x.gone); err != nil {
		f.Fatal(err)
	}
	return x
}

// shows fails unless INBOX is shown as it is.
func (f *fixture) shows() {
	f.Helper()
	want := f.truth()
	var box store.Mailbox
	var snap *store.Snapshot
	f.await("the mailbox", func() (ok bool) {
		var err error
		box, snap, err = f.a.Open(f.Context(), store.Inbox)
		return err == nil
	})
	got := truth{int64(box.ModSeq), int64(box.Messages), int64(box.Unseen), int64(box.Deleted), box.Subscribed, want.gone}
	if got != want || int64(snap.ModSeq()) != want.modSeq {
		f.Errorf("shown: %+v, is: %+v", got, want)
	}
}

// TestDeletionBroken: of an account whose deletion was broken off nothing is shown that has gone.
func TestDeletionBroken(t *testing.T) {
	t.Parallel()
	f := newFixture(t, alone)
	f.mail(plain("one", 10))
	conn, err := pgx.Connect(t.Context(), f.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // the database is dropped
	if _, err := conn.Exec(t.Context(), `begin; select from messages for update`); err != nil {
		t.Fatal(err)
	}
	let := f.holdInbox()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.s.DeleteAccount(ctx, f.a.id) }()
	f.await("the deletion to wait for the mailbox", func() bool { return f.look(sqlWaiting) > 0 })
	f.await("to be alone", f.s.presence.alone)
	for range 2 {
		f.openInbox(f.a)
	}
	let()
	f.await("the deletion to wait for its messages", func() bool {
		return f.look(`select count(*) from mailboxes`) == 0 && f.look(sqlWaiting) > 0
	})
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, _, err := f.a.Open(t.Context(), store.Inbox); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("INBOX of an account that is going: %v", err)
	}
}

// TestBrokenStep: a change that is committed shows, though the version that was to be made of it could not be.
func TestBrokenStep(t *testing.T) {
	t.Parallel()
	f := newFixture(t, alone)
	f.mail(plain("one", 10))
	f.await("to be alone", f.s.presence.alone)
	for range 2 {
		f.openInbox(f.a)
	}
	key := boxKey{f.a.id, f.inbox}
	at := store.ModSeq(f.truth().modSeq)
	broken := store.NewSnapshotOf(store.Mailbox{ID: f.inbox, ModSeq: at, UIDNext: 2}, nil, &store.Columns{ // which are not as long as they must be
		UID: []imap.UID{1}, ID: []store.MessageID{}, System: make([]store.SystemFlags, 1), ModSeq: make([]store.ModSeq, 1), Keywords: make([]uint64, 1),
	})
	f.s.cache.mu.Lock()
	f.s.cache.boxes[key].now.snap = broken
	f.s.cache.mu.Unlock()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("nothing has broken")
			}
		}()
		f.expunge(uidRange(1, 1))
	}()
	if v := f.s.cache.sure(key, 0); v != nil {
		t.Errorf("what is in memory is believed, at %d, and the mailbox is at %d", v.snap.ModSeq(), f.truth().modSeq)
	}
}

// TestBrokenWrite: of a write that panics nobody knows how it ended.
func TestBrokenWrite(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	broken := func(pgx.Tx, []*lockedBox) error { panic("on purpose") }
	func() {
		defer func() { _ = recover() }()
		t.Error(f.a.write(t.Context(), "break", []store.MailboxID{f.inbox}, broken))
	}()
	if !f.s.cache.doubts() {
		t.Error("there is no doubt about it")
	}
}
