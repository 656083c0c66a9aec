package postgres

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// TestDeleteAccountUnderWrites deletes an account whose one mailbox is being written to: the row moves to another place
// while the deletion waits for it.
func TestDeleteAccountUnderWrites(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, m := range store.DefaultMailboxes[1:] {
		if err := f.a.Delete(t.Context(), m.Name); err != nil {
			t.Fatal(err)
		}
	}
	f.mail(plain("one", 10))
	tx, err := f.s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `update mailbox_state set modseq = modseq + 1 where mailbox_id = $1`, f.inbox); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- f.s.DeleteAccount(t.Context(), f.a.id) }()
	f.await("the deletion to wait", func() bool {
		return f.number(`select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) > 0
	})
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, table := range append(tableNames(), "accounts") {
		if n := f.number(`select count(*) from ` + table); n != 0 {
			t.Errorf("%d rows are left in %s", n, table)
		}
	}
}

// TestSubscribeWhileDeleted: what sessions still do to an account leaves nothing behind.
func TestSubscribeWhileDeleted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(`update accounts set state = 2`)
	f.exec(`delete from subscriptions`)
	if err := f.a.Subscribe(t.Context(), "late", true); err != nil {
		t.Fatal(err)
	}
	if n := f.number(`select count(*) from subscriptions`); n != 0 {
		t.Errorf("%d subscriptions of an account that is being deleted", n)
	}
}

// TestSharedWhileDeleted: nobody reads the mailboxes of an account that is being deleted, and who is deleted reads none.
func TestSharedWhileDeleted(t *testing.T) {
	t.Parallel()
	for _, gone := range []string{"owner", "reader"} {
		t.Run(gone, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			id, err := f.s.CreateAccount(t.Context(), "reader@example.org", "", 0)
			if err != nil {
				t.Fatal(err)
			}
			reader, err := f.s.Account(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			ch := store.ACLChange{ACLEntry: store.ACLEntry{Identifier: store.Anyone, Rights: store.AllRights}}
			if err := f.a.SetACL(t.Context(), f.inbox, ch); err != nil {
				t.Fatal(err)
			}
			place := store.Place{Account: f.a.id, Mailbox: f.inbox}
			if rights, err := reader.SharedRights(t.Context(), place); err != nil || rights != store.AllRights {
				t.Fatalf("before: %v, %v", rights, err)
			}
			f.exec(`update accounts set state = 2 where account_id = $1`, map[string]store.AccountID{"owner": f.a.id, "reader": id}[gone])
			if rights, err := reader.SharedRights(t.Context(), place); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("SharedRights: %v, %v", rights, err)
			}
			if s, err := reader.Shared(t.Context(), f.a.Address(), store.Inbox); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("Shared: %+v, %v", s, err)
			}
			if list, err := reader.SharedMailboxes(t.Context(), ""); err != nil || len(list) > 0 {
				t.Errorf("SharedMailboxes: %+v, %v", list, err)
			}
		})
	}
}

// TestDeleteAnnotated: what others have noted of the mailboxes of an account goes with it.
func TestDeleteAnnotated(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id, err := f.s.CreateAccount(t.Context(), "guest@example.org", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	guest, err := f.s.Account(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	note := store.Annotation{Entry: "/private/comment", Value: []byte("x")}
	for _, at := range []store.Place{{Account: f.a.id, Mailbox: f.inbox}, {}} {
		if err := guest.SetAnnotations(t.Context(), at, note); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.s.DeleteAccount(t.Context(), f.a.id); err != nil {
		t.Fatal(err)
	}
	left, err := guest.Annotations(t.Context(), store.AnnotationQuery{MaxSize: -1})
	if err != nil || len(left) != 1 || left[0].Box != 0 {
		t.Errorf("%+v, %v", left, err)
	}
}

// TestDeleteAfterTransfer: what has been handed to another account stays readable when the one it came from, and its key, are
// gone.
func TestDeleteAfterTransfer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	octets := "Subject: kept\r\n\r\n" + strings.Repeat("0123456789abcdef\r\n", 20_000)
	f.mail(octets)
	f.mail("Subject: small\r\n\r\nx\r\n")
	id, err := f.s.CreateAccount(t.Context(), "heir@example.org", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	heir, err := f.s.Account(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := heir.Mailbox(t.Context(), store.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.a.Transfer(t.Context(), store.Transfer{
		From: f.inbox, To: store.Place{Account: id, Mailbox: inbox.ID}, UIDs: imap.UIDSet{{Start: 1, Stop: 9}}, Move: true,
	}); err != nil {
		t.Fatal(err)
	}
	if err := f.s.DeleteAccount(t.Context(), f.a.id); err != nil {
		t.Fatal(err)
	}
	_, snap, err := heir.Open(t.Context(), store.Inbox)
	if err != nil || snap.Len() != 2 {
		t.Fatalf("%d messages, %v", snap.Len(), err)
	}
	for m, err := range heir.Messages(t.Context(), snap, imap.UIDSetNum(1, 2), store.WithBody|store.WithPart) {
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(io.NewSectionReader(m.Body, 0, m.Size))
		if err != nil || m.UID == 1 && string(b) != octets {
			t.Errorf("UID %d: %d octets, %v", m.UID, len(b), err)
		}
	}
}
