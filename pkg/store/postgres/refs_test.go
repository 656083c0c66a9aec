package postgres

import (
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// TestCopiesDoNotDeadlock copies and expunges messages in different mailboxes that share their bodies, in different
// orders, all at once: no mailbox lock keeps them apart.
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
		wg.Wait()
	}
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
