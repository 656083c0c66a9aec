package postgres

import (
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"

	"postern/migrations"
	"postern/pkg/store"
)

// TestCopiesDoNotDeadlock copies and expunges messages in different mailboxes that share their bodies, in different
// orders, and counts references off, all at once: no mailbox lock keeps them apart.
func TestCopiesDoNotDeadlock(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	archive, sent, trash := boxOf(t, f.a, "Archive").ID, boxOf(t, f.a, "Sent").ID, boxOf(t, f.a, "Trash").ID
	const n = 2000
	for round := range 4 {
		f.fill(n)
		last := boxOf(t, f.a, store.Inbox).UIDNext - 1
		first := last - n + 1
		f.exec(`update messages set blob_id = blob_id + $1 where mailbox_id = $2`, (round+1)*n, f.inbox)
		var odd imap.UIDSet
		for uid := first; uid <= last; uid += 2 {
			odd = append(odd, imap.UIDRange{Start: uid, Stop: uid})
		}
		f.copy(archive, odd)
		f.copy(archive, uidRange(first, last))
		f.copy(sent, uidRange(first+n/2, last))
		f.copy(sent, uidRange(first, first+n/2-1))
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := f.a.Expunge(t.Context(), f.inbox, allUIDs, store.Actor{}); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := f.a.Expunge(t.Context(), archive, allUIDs, store.Actor{}); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := f.a.Copy(t.Context(), sent, trash, allUIDs); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() { f.sweep(2 * DefaultUndelete) })
		wg.Wait()
	}
	f.sweep(2 * DefaultUndelete)
	if n := f.number(`select deadlocks from pg_stat_database where datname = current_database()`); n != 0 {
		t.Errorf("%d deadlocks", n)
	}
	if n := f.number(stressCounts["wrong counts of references"]); n != 0 {
		t.Errorf("%d wrong counts of references", n)
	}
}

// copy copies messages of INBOX.
func (f *fixture) copy(to store.MailboxID, uids imap.UIDSet) {
	f.Helper()
	if _, err := f.a.Copy(f.Context(), f.inbox, to, uids); err != nil {
		f.Fatal(err)
	}
}

// TestReferencesOfOld: what was expunged by a program that counted references off at once can be restored, and goes, like
// everything else.
func TestReferencesOfOld(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	archive := boxOf(t, f.a, "Archive").ID
	f.mail(plain("goes", 10), plain("a copy stays", 10), plain("goes with its copy", 10), plain("stays", 10))
	f.copy(archive, uidRange(2, 3))
	f.expunge(uidRange(1, 3))
	if _, err := f.a.Expunge(t.Context(), archive, uidRange(2, 2), store.Actor{}); err != nil {
		t.Fatal(err)
	}
	f.exec(`
update blob_refs r
set refs = (select count(*) from messages m where m.account_id = r.account_id and m.blob_id = r.blob_id)`)
	f.exec(`
update blob_gc g
set blobs = array(select b from unnest(blobs) b where not exists (select from messages m where m.blob_id = b))`)
	f.exec(`delete from blob_gc where blobs = '{}'`)
	up, err := migrations.FS.ReadFile("0017_references.sql")
	if err != nil {
		t.Fatal(err)
	}
	f.exec(string(up), pgx.QueryExecModeSimpleProtocol)

	list, err := f.s.ListExpunged(t.Context(), f.a.id, "", time.Now().Add(-time.Hour))
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	f.sweep(DefaultUndelete - time.Hour)
	if n := f.bodies(); n != 4 {
		t.Errorf("%d bodies while they can be restored, want 4", n)
	}
	f.undelete(t, list[0], "", 3)
	f.sweep(DefaultUndelete + time.Hour)
	for what, sql := range stressCounts {
		if n := f.number(sql); n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
}
