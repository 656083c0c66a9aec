package postgres

import (
	"errors"
	"testing"
	"time"

	"postern/pkg/store"
)

func (f *fixture) sweep(after time.Duration) {
	f.Helper()
	if err := f.s.Sweep(f.Context(), time.Now().Add(after)); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) bodies() int64 { return f.number(`select count(*) from bodies where part = 0`) }

func TestSweepBodies(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	sent, err := f.a.Mailbox(t.Context(), "Sent")
	if err != nil {
		t.Fatal(err)
	}
	f.mail(plain("goes", 10), plain("is copied", 10), plain("stays", 10))
	snap := f.openInbox(f.a)
	if _, err := f.a.Copy(t.Context(), f.inbox, sent.ID, uidRange(2, 2)); err != nil {
		t.Fatal(err)
	}
	f.expunge(uidRange(1, 2))
	f.sweep(DefaultUndelete - time.Hour)
	if n := f.bodies(); n != 3 || f.number(`select count(*) from expunged`) != 1 {
		t.Errorf("%d bodies within the undelete period, want 3", n)
	}
	for m, err := range f.a.Messages(t.Context(), snap, uidRange(1, 1), store.WithBody) { // RFC 2180 §4.1
		if err != nil || m.UID != 1 {
			t.Errorf("an expunged message cannot be read through the older snapshot: %v", err)
		}
	}
	f.sweep(DefaultUndelete + time.Hour)
	if n := f.bodies(); n != 2 {
		t.Errorf("%d bodies after the undelete period, want 2", n)
	}
	if n := f.number(`select (select count(*) from blob_gc) + (select count(*) from expunged)`); n != 0 {
		t.Errorf("%d records of it are left", n)
	}
	if _, err := f.a.Expunge(t.Context(), sent.ID, allUIDs, store.Actor{}); err != nil {
		t.Fatal(err)
	}
	f.sweep(DefaultUndelete + time.Hour)
	if n := f.bodies(); n != 1 || f.number(`select count(*) from blob_refs`) != 0 {
		t.Errorf("%d bodies after the last copy has gone, want 1", n)
	}
}

func TestSweepWithoutUndelete(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *Options) { o.Undelete = -1 })
	f.mail(plain("goes", 10))
	f.expunge(allUIDs)
	f.sweep(bodyGrace - time.Minute)
	if f.bodies() != 1 {
		t.Error("the body went before its time")
	}
	f.sweep(bodyGrace + time.Minute)
	if f.bodies() != 0 {
		t.Error("the body is still there")
	}
}

// TestSweepSparesReferenced: a body that is referenced again stays, even if it is in the queue.
func TestSweepSparesReferenced(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mail(plain("restored", 10))
	f.expunge(allUIDs)
	f.exec(`insert into blob_refs (account_id, blob_id, refs) select account_id, blob_id, 2 from bodies`)
	f.sweep(DefaultUndelete + time.Hour)
	if f.bodies() != 1 {
		t.Error("it was deleted")
	}
}

func TestSweepJournal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mail(plain("1", 10), plain("2", 10))
	snap := f.openInbox(f.a)
	f.expunge(uidRange(2, 2))
	f.exec(`
insert into journal (account_id, mailbox_id, modseq, kind, flags, uids)
select $1, $2, s.modseq + i, 1, i % 2, '{[1,2)}'
from mailbox_state s, generate_series(1, 6000) i
where s.account_id = $1 and s.mailbox_id = $2`, f.a.id, f.inbox)
	f.exec(`update mailbox_state set modseq = modseq + 6000 where mailbox_id = $1`, f.inbox)
	rows := func() int64 { return f.number(`select count(*) from journal`) }
	f.sweep(0)
	if n := rows(); n != 6001 {
		t.Errorf("%d rows, want all 6001 that are young", n)
	}
	f.sweep(journalKept + time.Hour)
	if n := rows(); n != journalLeast {
		t.Errorf("%d rows, want the last %d", n, journalLeast)
	}
	from := f.number(`select journal_from from mailbox_state where mailbox_id = $1`, f.inbox)
	if oldest := f.number(`select min(modseq) from journal`); from != oldest-1 {
		t.Errorf("the journal is said to be complete above %d, its oldest row is %d", from, oldest)
	}
	now, ch, err := f.a.Refresh(t.Context(), snap)
	if err != nil || len(ch.Removed) != 1 || !ch.Complete {
		t.Errorf("%+v, %v", ch, err)
	}
	if old, err := f.a.Since(t.Context(), now, 1); err != nil || old.Complete {
		t.Errorf("Since: complete %v, %v", old.Complete, err)
	}
}

func TestSweepDeliveriesAndAccounts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(`insert into deliveries (account_id, key, at) values ($1, 'old', now() - interval '25 h'), ($1, 'new', now())`, f.a.id)
	f.mail(plain("1", 10))
	f.sweep(0)
	if n := f.number(`select count(*) from deliveries`); n != 1 {
		t.Errorf("%d records of deliveries, want 1", n)
	}
	f.exec(`update accounts set state = 2`)
	f.sweep(0)
	for _, table := range []string{"accounts", "mailboxes", "mailbox_state", "messages", "bodies", "deliveries", "subscriptions"} {
		if n := f.number(`select count(*) from ` + table); n != 0 {
			t.Errorf("%d rows of %s are left of a deleted account", n, table)
		}
	}
}

// TestSweepOnce: while one process sweeps another does not.
func TestSweepOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other := f.open()
	conn, err := other.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), `select pg_advisory_lock($1)`, sweepLock); err != nil {
		t.Fatal(err)
	}
	f.exec(`insert into deliveries (account_id, key, at) values ($1, 'old', now() - interval '25 h')`, f.a.id)
	f.sweep(0)
	if n := f.number(`select count(*) from deliveries`); n != 1 {
		t.Error("two sweep at once")
	}
	if _, err := conn.Exec(t.Context(), `select pg_advisory_unlock($1)`, sweepLock); err != nil {
		t.Fatal(err)
	}
	f.sweep(0)
	if n := f.number(`select count(*) from deliveries`); n != 0 {
		t.Error("and then nobody does")
	}
	if n := f.number(`select count(*) from pg_locks where locktype = 'advisory' and mode = 'ExclusiveLock' and database = (select oid from pg_database where datname = current_database())`); n != 0 {
		t.Errorf("%d locks are left", n)
	}
}

// TestSweptBeforeItsMessage stores large bodies, sweeps them as if their deliveries had taken more than a day, and lets
// the messages come, alone and with another: one without its body must not become visible, and the others must.
func TestSweptBeforeItsMessage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, drafts := range [][]*store.Draft{
		{draftOf(t, letter("late", 700<<10))},
		{draftOf(t, letter("late", 700<<10)), draftOf(t, letter("small", 10))},
	} {
		d := prepared(t.Context(), t, f.a, f.inbox, drafts...)
		f.sweep(orphanGrace + time.Hour)
		err := f.s.storeBatch(t.Context(), f.s.pool, []*delivery{d})
		if !isRefused(err) || !errors.Is(failed("", err), store.ErrUnavailable) {
			t.Errorf("%d messages: %v", len(drafts), err)
		}
		if n := f.number(`select count(*) from messages`); n != 0 {
			t.Errorf("%d messages are there", n)
		}
	}
	f.mail(letter("in time", 700<<10))
	if err := octetsReadable(t, f.a); err != nil {
		t.Error(err)
	}
}
