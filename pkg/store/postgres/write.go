package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// lockedBox is a mailbox as its locked row says. A step that changes the mailbox gives what it changes the mod-sequence
// next() and sets changed.
type lockedBox struct {
	id          store.MailboxID
	uidValidity uint32
	uidNext     imap.UID
	modSeq      store.ModSeq
	changed     bool
}

func (b *lockedBox) next() store.ModSeq { return b.modSeq + 1 }

// write runs steps in a transaction that holds the rows of the given mailboxes (rule 5), commits, and publishes the
// mailboxes that steps marked as changed (rule 6). It is the only function that begins a transaction on mail other than
// a delivery's pipeline. A transaction that loses against another is run again, once; steps must allow for it. at
// corresponds to boxes; a mailbox that is not there is store.ErrNotFound.
func (a *account) write(ctx context.Context, op string, boxes []store.MailboxID, steps func(tx pgx.Tx, at []*lockedBox) error) error {
	var at []*lockedBox
	err := a.s.transact(ctx, func(tx pgx.Tx) (err error) {
		if at, err = a.lock(ctx, tx, boxes); err != nil {
			return err
		}
		return steps(tx, at)
	})
	if err != nil {
		return failed(op, err)
	}
	var changed []store.MailboxID
	for _, box := range at {
		if box.changed && !slices.Contains(changed, box.id) {
			changed = append(changed, box.id)
		}
	}
	if len(changed) > 0 {
		a.s.published(a.id, changed...)
	}
	return nil
}

// writeTree runs steps in a transaction that holds the account's row, which is the lock of the tree of mailboxes, and
// publishes.
func (a *account) writeTree(ctx context.Context, op string, steps func(tx pgx.Tx) error) error {
	err := a.s.transact(ctx, func(tx pgx.Tx) error {
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
	err := pgx.BeginFunc(ctx, s.pool, steps)
	if isConflict(err) {
		err = pgx.BeginFunc(ctx, s.pool, steps)
	}
	return err
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

func (a *account) lock(ctx context.Context, tx pgx.Tx, boxes []store.MailboxID) ([]*lockedBox, error) {
	ids := make([]int64, len(boxes))
	for i, box := range boxes {
		ids[i] = int64(box)
	}
	rows, err := tx.Query(ctx, sqlLock, a.id, ids)
	if err != nil {
		return nil, err
	}
	locked, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*lockedBox, error) {
		b := &lockedBox{}
		return b, row.Scan(&b.id, &b.uidValidity, &b.uidNext, &b.modSeq)
	})
	if err != nil {
		return nil, err
	}
	at := make([]*lockedBox, len(boxes))
	for i, box := range boxes {
		j := slices.IndexFunc(locked, func(b *lockedBox) bool { return b.id == box })
		if j < 0 {
			return nil, fmt.Errorf("mailbox %d: %w", box, store.ErrNotFound)
		}
		at[i] = locked[j]
	}
	return at, nil
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
