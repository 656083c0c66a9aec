package postgres

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"postern/pkg/store"
)

var stressOps = flag.Int("ops", 3000, "operations of TestStress")

// TestStress has two processes do random things to the mailboxes of one account, with a sweeper at work that believes
// months have passed. Then the counters must be what a count finds, every message must have its octets, and nothing else
// may have any (REQUIREMENTS 36).
func TestStress(t *testing.T) {
	t.Parallel()
	st := newStress(t, *stressOps)
	st.run(st.keepSweeping)
	if n := st.number(`select deadlocks from pg_stat_database where datname = current_database()`); n != 0 {
		t.Errorf("%d deadlocks", n)
	}
}

// TestStressWithLosses does the same while connections are lost in the middle of everything (REQUIREMENTS 8).
func TestStressWithLosses(t *testing.T) {
	t.Parallel()
	st := newStress(t, *stressOps/3)
	killer := st.open()
	st.run(func(ctx context.Context) { killConnections(t, killer, ctx.Done()) })
}

func newStress(t *testing.T, ops int) *stress {
	f := newFixture(t)
	core, logs := observer.New(zap.ErrorLevel)
	st := &stress{fixture: f, ops: int64(ops), logs: logs}
	st.stores = []*account{f.a, f.on(f.open(func(o *Options) { o.Log = zap.New(core) }))}
	for _, name := range []string{store.Inbox, "Archive", "Trash"} {
		st.boxes = append(st.boxes, boxOf(t, f.a, name).ID)
	}
	return st
}

// run does it, while the given trouble goes on, and checks what came of it.
func (st *stress) run(trouble func(context.Context)) {
	st.Helper()
	ctx, cancel := context.WithCancel(st.Context())
	var workers, beside sync.WaitGroup
	beside.Go(func() { trouble(ctx) })
	beside.Go(func() { st.keepRefreshing(ctx) })
	for w := range 6 {
		workers.Go(func() { st.work(uint64(w)) })
	}
	workers.Wait()
	cancel()
	beside.Wait()
	for _, a := range st.stores {
		a.s.pool.Reset() // what was killed at the last moment is not noticed before it is used
	}
	st.check()
	if st.logs.Len() > 0 {
		st.Errorf("%v", st.logs.All())
	}
	st.Logf("%d failed, %d messages are left", st.failed.Load(), st.number(`select count(*) from messages`))
}

type stress struct {
	*fixture
	ops    int64
	logs   *observer.ObservedLogs // of the second store
	stores []*account
	boxes  []store.MailboxID
	begun  atomic.Int64
	failed atomic.Int64
}

func (st *stress) keepSweeping(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			st.sweep(60 * 24 * time.Hour)
		case <-ctx.Done():
			return
		}
	}
}

// keepRefreshing is a session: its picture of a mailbox, mended by each Refresh, must always be what one who opens the
// mailbox at that mod-sequence sees. The store notices itself, and complains, when the two differ.
func (st *stress) keepRefreshing(ctx context.Context) {
	a := st.stores[1]
	var have *store.Snapshot
	for ctx.Err() == nil {
		var err error
		if have == nil {
			_, have, err = a.Open(ctx, store.Inbox)
		} else {
			have, _, err = a.Refresh(ctx, have)
		}
		if err != nil && !errors.Is(err, store.ErrUnavailable) && ctx.Err() == nil {
			st.Errorf("refresh: %v", err)
			return
		}
	}
}

// work does random things, one after another.
func (st *stress) work(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 8))
	for n := st.begun.Add(1); n <= st.ops; n = st.begun.Add(1) {
		switch err := st.step(r, int(n)); {
		case errors.Is(err, store.ErrUnavailable):
			st.failed.Add(1)
		case err != nil:
			st.Errorf("operation %d: %v", n, err)
			return
		}
	}
}

func (st *stress) step(r *rand.Rand, n int) (err error) {
	ctx, a := st.Context(), st.stores[r.IntN(len(st.stores))]
	box, to := st.boxes[r.IntN(len(st.boxes))], st.boxes[r.IntN(len(st.boxes))]
	switch r.IntN(20) {
	case 0, 1, 2, 3, 4, 5:
		_, err = a.Append(ctx, box, st.drafts(r, n)...)
	case 6, 7, 8:
		_, err = a.Copy(ctx, box, to, someUIDs(r, n))
	case 9, 10:
		_, err = a.Move(ctx, box, to, someUIDs(r, n))
	case 11, 12, 13:
		_, err = a.Expunge(ctx, box, someUIDs(r, n), store.Actor{Protocol: "test"})
	case 14:
		err = st.renameInbox(a, n)
	default:
		_, err = a.SetFlags(ctx, box, someUIDs(r, n), store.FlagChange{
			Op: imap.StoreFlagsOp(r.IntN(3)), Flags: []imap.Flag{imap.FlagSeen, imap.FlagDeleted, "$Label"}[r.IntN(3):],
		})
	}
	return err
}

// renameInbox empties INBOX into a new mailbox, and deletes that. Another may be at it.
func (st *stress) renameInbox(a *account, n int) error {
	name := fmt.Sprintf("old %d", n)
	if err := a.Rename(st.Context(), store.Inbox, name); err != nil {
		return err
	}
	return a.Delete(st.Context(), name)
}

func (st *stress) drafts(r *rand.Rand, n int) []*store.Draft {
	drafts := make([]*store.Draft, 1+r.IntN(3)*r.IntN(2))
	for i := range drafts {
		drafts[i] = st.draft(r, n)
	}
	return drafts
}

func (st *stress) draft(r *rand.Rand, n int) *store.Draft {
	octets := 100
	switch r.IntN(40) {
	case 0:
		octets = 300 << 10
	case 1, 2:
		octets = 80 << 10
	}
	noise := make([]byte, octets)
	for i := range noise {
		noise[i] = "abcdefghijklmnopqrstuvwxyz0123456789+/\r\n"[r.IntN(40)]
	}
	d := draftOf(st, fmt.Sprintf("Subject: %d\r\n\r\n%s", n, noise))
	if r.IntN(3) == 0 {
		d.DeliveryKey = fmt.Append(nil, r.IntN(1000))
	}
	if r.IntN(4) == 0 {
		d.Flags = []imap.Flag{"$Label", imap.FlagSeen}
	}
	return d
}

// someUIDs is a few ranges among those that may be there; sometimes all.
func someUIDs(r *rand.Rand, n int) imap.UIDSet {
	if r.IntN(60) == 0 {
		return allUIDs
	}
	var set imap.UIDSet
	for range 1 + r.IntN(3) {
		lo := imap.UID(1 + r.IntN(n+1))
		set = append(set, imap.UIDRange{Start: lo, Stop: lo + imap.UID(r.IntN(20))})
	}
	return set
}

// The questions whose answer must be 0.
var stressCounts = map[string]string{
	"mailboxes with wrong counters": `
select count(*)
from mailbox_state s
where (n_msgs, n_unseen, n_deleted, bytes) <> (
  select count(*)::int, (count(*) filter (where flags & 1 = 0))::int, (count(*) filter (where flags & 8 <> 0))::int,
    coalesce(sum(size), 0)::bigint
  from messages m
  where m.account_id = s.account_id and m.mailbox_id = s.mailbox_id)`,
	"mailboxes with a wrong UIDNEXT or mod-sequence": `
select count(*)
from mailbox_state s
join messages m using (account_id, mailbox_id)
where m.uid >= s.uidnext or m.modseq > s.modseq`,
	"messages of no mailbox": `
select count(*)
from messages m
where not exists (select from mailbox_state s where s.account_id = m.account_id and s.mailbox_id = m.mailbox_id)`,
	"messages without a body": `
select count(*)
from messages m
where not exists (select from bodies b where b.account_id = m.account_id and b.blob_id = m.blob_id and b.part = 0)`,
	"bodies of no message": `
select count(*)
from bodies b
where not exists (select from messages m where m.account_id = b.account_id and m.blob_id = b.blob_id)`,
	"wrong counts of references": `
select count(*)
from (select account_id, blob_id, count(*) as n from messages group by account_id, blob_id) m
full join blob_refs r using (account_id, blob_id)
where coalesce(r.refs, 1) <> coalesce(m.n, 0)`,
	"rows that wait for the sweeper": `
select (select count(*) from blob_gc) + (select count(*) from expunged)`,
}

func (st *stress) check() {
	st.Helper()
	st.sweep(60 * 24 * time.Hour)
	for what, sql := range stressCounts {
		if n := st.number(sql); n != 0 {
			st.Errorf("%d %s", n, what)
		}
	}
	for _, a := range st.stores {
		if err := octetsReadable(st, a); err != nil {
			st.Error(err)
		}
	}
}

// octetsReadable reads all mail of an account as sessions do.
func octetsReadable(t testing.TB, a *account) error {
	t.Helper()
	boxes, err := a.Mailboxes(t.Context())
	if err != nil {
		return err
	}
	for _, box := range boxes {
		_, snap, err := a.Open(t.Context(), box.Name)
		if err != nil {
			return err
		}
		if snap.Len() != int(box.Messages) {
			return fmt.Errorf("%s: %d messages in the snapshot, %d counted", box.Name, snap.Len(), box.Messages)
		}
		for m, err := range a.Messages(t.Context(), snap, allUIDs, store.WithPart|store.WithBody) {
			if err != nil {
				return err
			}
			octets, err := io.ReadAll(io.NewSectionReader(m.Body, 0, m.Size))
			if err != nil || int64(len(octets)) != m.Size || !bytes.HasPrefix(octets, []byte("Subject: ")) {
				return fmt.Errorf("%s, UID %d: %d octets, %w", box.Name, m.UID, len(octets), err)
			}
		}
	}
	return nil
}
