package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"postern/pkg/store"
)

// lockedBox is a mailbox as its locked row says. A step that changes the mailbox gives what it changes the mod-sequence
// next() and sets changed; if it knows what that does to each message, it says so in did.
type lockedBox struct {
	id          store.MailboxID
	uidValidity uint32
	uidNext     imap.UID
	modSeq      store.ModSeq
	changed     bool
	did         *store.Changes // Flagged or Removed; nil: whoever wants to know must read it
}

func (b *lockedBox) next() store.ModSeq { return b.modSeq + 1 }

// now is the mailbox's mod-sequence after the transaction.
func (b *lockedBox) now() store.ModSeq {
	if b.changed {
		return b.next()
	}
	return b.modSeq
}

// errPanic is what a transaction has ended with that has not ended.
var errPanic = errors.New("the transaction has panicked")

// write is writePiped for steps that need to know the mailboxes first.
func (a *account) write(ctx context.Context, op string, boxes []store.MailboxID, steps func(tx pgx.Tx, at []*lockedBox) error) error {
	return a.writePiped(ctx, op, boxes, func(p *pipe, at []*lockedBox) error {
		tx, err := p.flush(ctx)
		if err != nil {
			return err
		}
		return steps(tx, at)
	})
}

// writePiped runs steps in a transaction that holds the rows of the given mailboxes (rule 5), commits, and publishes the
// mailboxes that steps marked as changed (rule 6). It is the only function that begins a transaction on mail other than
// a delivery's pipeline. A transaction that loses against another is run again, once; steps must allow for it. at
// corresponds to boxes, and is filled in before what steps queue is answered; a mailbox that is not there is
// store.ErrNotFound, and nothing else may happen then.
func (a *account) writePiped(ctx context.Context, op string, boxes []store.MailboxID, steps func(p *pipe, at []*lockedBox) error) error {
	var at []*lockedBox
	err := errPanic
	defer func() { a.s.doubt(a.id, err) }()
	err = a.s.pipeline(ctx, func(p *pipe) error {
		at = a.queueLock(&p.batch, boxes)
		return steps(p, at)
	})
	if err != nil {
		return failed(op, err)
	}
	var changed []store.MailboxID
	for _, box := range at {
		if box.changed && !slices.Contains(changed, box.id) {
			changed = append(changed, box.id)
			a.s.committed(boxKey{a.id, box.id}, box)
		}
	}
	if len(changed) > 0 {
		a.s.announce(a.id, changed...)
	}
	return nil
}

// writeTree runs steps in a transaction that holds the account's row, which is the lock of the tree of mailboxes, and
// publishes.
func (a *account) writeTree(ctx context.Context, op string, steps func(tx pgx.Tx) error) error {
	err := errPanic
	defer func() { a.s.doubt(a.id, err) }()
	err = a.s.transact(ctx, func(tx pgx.Tx) error {
		if err := a.lockTree(ctx, tx); err != nil {
			return err
		}
		return steps(tx)
	})
	if err != nil {
		return failed(op, err)
	}
	a.s.published(a.id)
	return nil
}

// transact runs steps in a transaction, and again once if it loses against another.
func (s *Store) transact(ctx context.Context, steps func(tx pgx.Tx) error) error {
	return retry(func() error { return pgx.BeginFunc(ctx, s.pool, steps) })
}

// exec runs a statement that is a transaction of its own, and again once if it loses against another.
func (s *Store) exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	err = retry(func() error {
		tag, err = s.pool.Exec(ctx, sql, args...)
		return err
	})
	return tag, err
}

const sqlLockTree = `
select account_id
from accounts
where account_id = $1 and state < 2
for update`

func (a *account) lockTree(ctx context.Context, tx pgx.Tx) error {
	var id store.AccountID
	return tx.QueryRow(ctx, sqlLockTree, a.id).Scan(&id)
}

// UIDVALIDITY never changes in a mailbox's life, so it may be read beside the lock. Nothing else may: a row of mailboxes
// would be the one from before the wait for the lock.
const sqlLock = `
select s.mailbox_id, m.uidvalidity, s.uidnext, s.modseq
from mailbox_state s
join mailboxes m using (account_id, mailbox_id)
where s.account_id = $1 and s.mailbox_id = any($2)
order by s.mailbox_id
for update of s`

// queueLock queues the lock of mailboxes as the first thing to do.
func (a *account) queueLock(b *pgx.Batch, boxes []store.MailboxID) []*lockedBox {
	ids, at := make([]int64, len(boxes)), make([]*lockedBox, len(boxes))
	for i, box := range boxes {
		ids[i] = int64(box)
		at[i] = &lockedBox{id: box}
		if j := slices.Index(boxes, box); j < i {
			at[i] = at[j]
		}
	}
	b.Queue(sqlLock, a.id, ids).Query(func(rows pgx.Rows) error {
		var found lockedBox
		locked := make(map[store.MailboxID]bool, len(boxes))
		_, err := pgx.ForEachRow(rows, []any{&found.id, &found.uidValidity, &found.uidNext, &found.modSeq}, func() error {
			*at[slices.Index(boxes, found.id)] = found
			locked[found.id] = true
			return nil
		})
		for _, box := range boxes {
			if err == nil && !locked[box] {
				err = fmt.Errorf("mailbox %d: %w", box, store.ErrNotFound)
			}
		}
		return err
	})
	return at
}

func (a *account) lock(ctx context.Context, tx pgx.Tx, boxes []store.MailboxID) ([]*lockedBox, error) {
	var b pgx.Batch
	at := a.queueLock(&b, boxes)
	return at, tx.SendBatch(ctx, &b).Close()
}

// uidSQL is a statement on a set of UIDs in its two forms: on one range, and on several.
type uidSQL struct{ one, many string }

// Several ranges become the list of the places of their messages: one probe of the index a range, whatever the planner
// believes. Tried, and slow with many ranges or in large mailboxes: a join against the ranges or a multirange, and a list
// of UIDs, which it may compare with every row. The places hold still, for the mailbox is locked.
const (
	uidsInRange = `account_id = $1 and mailbox_id = $2 and uid between $3::bigint and $4::bigint`

	uidsInRanges = `ctid = any(array(
    select x.ctid
    from unnest($3::bigint[], $4::bigint[]) r(lo, hi)
    cross join lateral (
      select ctid
      from messages
      where account_id = $1 and mailbox_id = $2 and uid between r.lo and r.hi
      offset 0
    ) x))`
)

// byUIDs makes the two forms of a statement that says {uids} of messages; account and mailbox are its $1 and $2, the set
// is its $3 and $4. The mailbox must be locked.
func byUIDs(sql string) uidSQL {
	return uidSQL{one: strings.ReplaceAll(sql, "{uids}", uidsInRange), many: strings.ReplaceAll(sql, "{uids}", uidsInRanges)}
}

// on picks the form for a normal, non-empty set and returns it with its $3 and $4. The ranges are never expanded here:
// they come from clients.
func (q uidSQL) on(uids imap.UIDSet) (sql string, from, to any) {
	if len(uids) == 1 {
		return q.one, int64(uids[0].Start), int64(uids[0].Stop)
	}
	lo, hi := make([]int64, len(uids)), make([]int64, len(uids))
	for i, r := range uids {
		lo[i], hi[i] = int64(r.Start), int64(r.Stop)
	}
	return q.many, lo, hi
}

// allUIDs is every UID there can be.
var allUIDs = imap.UIDSet{{Start: 1, Stop: 1<<32 - 1}}
