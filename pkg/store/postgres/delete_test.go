package postgres

import (
	"testing"

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
