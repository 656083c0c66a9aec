package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"postern/pkg/store"
)

// Transfer implements store.Sharing.
func (a *account) Transfer(ctx context.Context, t store.Transfer) (imap.CopyData, error) {
	if t.To.Account != a.id {
		return a.transferAcross(ctx, t)
	}
	return a.transfer(ctx, within(t))
}

// within is a transfer within one account.
func within(t store.Transfer) transfer {
	to := transfer{op: "copy", sql: copyMessages, from: t.From, to: t.To.Mailbox, uids: t.UIDs, grows: true, whole: t.Whole, denied: t.Denied}
	if t.Move {
		to.op, to.sql, to.grows = "move", moveMessages, false
	}
	return to
}

// across is a transfer to another account, whose octets are sealed with another key. First the bodies are sealed anew, a
// few at a time, each with its intent as in a delivery; then one transaction, which locks both mailboxes, has the messages
// appear in one and, if they are moved, disappear from the other. Rule 5 knows of it: the mailboxes are locked in the order
// of accounts.
type across struct {
	store.Transfer
	from, to *account
	blobs    map[int64]int64 // of the source, and what they are at the destination
	stored   []int64         // those at the destination
	octets   int64           // of the messages
	asked    int             // how many there should be
}

func (a *account) transferAcross(ctx context.Context, t store.Transfer) (imap.CopyData, error) {
	ctx, cancel := context.WithTimeout(ctx, deliveryTimeout)
	defer cancel()
	x := &across{Transfer: t, from: a, to: &account{s: a.s, id: t.To.Account}, blobs: make(map[int64]int64)}
	x.UIDs = store.Normalize(t.UIDs)
	x.asked = store.CountUIDs(x.UIDs)
	var data imap.CopyData
	err := x.prepare(ctx)
	if err == nil {
		data, err = x.commit(ctx)
	}
	x.abandon(ctx, err)
	return data, failed("transfer", err)
}

const sqlTransferBodies = `
select uid, blob_id, size, hsize
from messages
where {uids}
order by uid`

var transferBodies = byUIDs(sqlTransferBodies)

// prepare finds out which messages are meant and seals their bodies anew.
func (x *across) prepare(ctx context.Context) error {
	for account, box := range map[*account]store.MailboxID{x.from: x.From, x.to: x.To.Mailbox} {
		if err := account.exists(ctx, account.s.pool, box); err != nil {
			return fmt.Errorf("mailbox %d: %w", box, err)
		}
	}
	if len(x.UIDs) == 0 {
		return nil
	}
	sql, from, to := transferBodies.on(x.UIDs)
	rows, err := x.from.s.pool.Query(ctx, sql, x.from.id, x.From, from, to)
	if err != nil {
		return err
	}
	var uids []imap.UID
	var bodies []resealed
	var uid imap.UID
	var b resealed
	if _, err := pgx.ForEachRow(rows, []any{&uid, &b.blob, &b.size, &b.hsize}, func() error {
		uids = append(uids, uid)
		x.octets += b.size
		if _, ok := x.blobs[b.blob]; !ok { // else a copy
			x.blobs[b.blob] = 0
			bodies = append(bodies, b)
		}
		return nil
	}); err != nil {
		return err
	}
	if err := x.complete(len(uids)); err != nil {
		return err
	}
	x.UIDs = store.UIDSetOf(uids)
	if err := x.to.s.mayGrow(ctx, x.to.s.pool, x.to.id, x.octets, len(uids)); err != nil {
		return err
	}
	return x.reseal(ctx, bodies)
}

// commit makes the messages appear, and those that are moved disappear. Those that have gone meanwhile are passed over.
func (x *across) commit(ctx context.Context) (data imap.CopyData, err error) {
	var src, dst *lockedBox
	err = x.from.s.transact(ctx, func(tx pgx.Tx) error {
		if src, dst, err = x.lock(ctx, tx); err != nil {
			return err
		}
		data, err = x.commitIn(ctx, tx, src, dst)
		return err
	})
	if err != nil {
		x.from.s.doubt(x.from.id, err)
		x.to.s.doubt(x.to.id, err)
		return imap.CopyData{}, err
	}
	if dst.changed {
		x.to.s.published(x.to.id, dst.id)
	}
	if src.changed {
		x.from.s.published(x.from.id, src.id)
	}
	return data, nil
}

// lock locks both mailboxes in the order of accounts, so that two transfers in opposite directions do not wait for each other.
func (x *across) lock(ctx context.Context, tx pgx.Tx) (src, dst *lockedBox, err error) {
	var at [2]*lockedBox
	order := []struct {
		a   *account
		box store.MailboxID
		at  **lockedBox
	}{{x.from, x.From, &at[0]}, {x.to, x.To.Mailbox, &at[1]}}
	if x.to.id < x.from.id {
		order[0], order[1] = order[1], order[0]
	}
	for _, o := range order {
		locked, err := o.a.lock(ctx, tx, []store.MailboxID{o.box})
		if err != nil {
			return nil, nil, err
		}
		*o.at = locked[0]
	}
	return at[0], at[1], nil
}

const (
	sqlTransferable = `
select uid, blob_id, size, kw
from messages
where {uids}
order by uid`

	// A body without its intent has been swept, as in sqlIntentDone.
	sqlTransferIntents = `
with d as (
  delete from blob_gc
  where account_id = $1 and gc_id = any($2)
  returning gc_id
)
select 1 / (count(*) = cardinality($2))::int
from d`

	// $9 holds the bodies at the destination, one for each message in the order of UIDs. The rest is as in sqlCopy.
	sqlTransfer = `
with src as materialized (
  select uid, thread_id = blob_id as alone, thread_id, idate, kw, size, hsize, flags & $12::int as flags,
    row_number() over (order by uid) as nth
  from messages
  where {uids}
), refs as (
  insert into blob_refs (account_id, blob_id, refs)
  select $5::bigint, blob_id, count(*)
  from unnest($9::bigint[]) t(blob_id)
  group by blob_id
  having count(*) > 1
), s as (
  update mailbox_state
  set uidnext = uidnext + t.n, modseq = $8, n_msgs = n_msgs + t.n, n_unseen = n_unseen + t.unseen,
      n_deleted = n_deleted + t.deleted, bytes = bytes + t.octets
  from (
    select count(*)::int as n, (count(*) filter (where flags & 1 = 0))::int as unseen,
      (count(*) filter (where flags & 8 <> 0))::int as deleted, sum(size) as octets
    from src
  ) t
  where account_id = $5 and mailbox_id = $6 and t.n > 0
)
insert into messages (account_id, mailbox_id, uid, modseq, blob_id, thread_id, idate, savedate, kw, size, hsize, flags)
select $5, $6, $7::bigint + nth - 1, $8::bigint, ($9::bigint[])[nth], case when alone then ($9::bigint[])[nth] else thread_id end,
  idate, $10,
  ` + adoptedFrom + `$11` + adoptedAt + `,
  size, hsize, flags
from src`
)

var (
	transferable = byUIDs(sqlTransferable)
	transferRows = byUIDs(sqlTransfer)
)

// commitIn does it in a transaction that has locked both mailboxes.
func (x *across) commitIn(ctx context.Context, tx pgx.Tx, src, dst *lockedBox) (imap.CopyData, error) {
	data := imap.CopyData{UIDValidity: dst.uidValidity}
	there, err := x.present(ctx, tx)
	if err == nil {
		err = x.complete(len(there.uids))
	}
	if err != nil || len(there.uids) == 0 {
		return data, err
	}
	if err := x.to.s.mayGrow(ctx, tx, x.to.id, there.octets, len(there.uids)); err != nil {
		return data, err
	}
	places, err := x.places(ctx, tx, there.keywords)
	if err != nil {
		return data, err
	}
	uids := store.UIDSetOf(there.uids)
	if err := x.take(ctx, tx, there.blobs); err != nil {
		return data, err
	}
	sql, from, to := transferRows.on(uids)
	if _, err := tx.Exec(ctx, sql, x.from.id, x.From, from, to, x.to.id, dst.id, dst.uidNext, dst.next(), there.blobs,
		time.Now().UnixMilli(), places, flagMask(x.Denied)); err != nil {
		return data, err
	}
	dst.changed = true
	data.SourceUIDs = uids
	data.DestUIDs = imap.UIDSet{{Start: dst.uidNext, Stop: dst.uidNext + imap.UID(len(there.uids)) - 1}}
	if x.Move {
		err = x.from.expunge(ctx, tx, src, uids, x.By)
	}
	return data, err
}

// complete is store.ErrExpunged if not all messages are there that must be.
func (x *across) complete(there int) error {
	if x.Whole && there < x.asked {
		return store.ErrExpunged
	}
	return nil
}

// present are the messages that are still there.
type present struct {
	uids     []imap.UID
	blobs    []int64 // at the destination
	octets   int64
	keywords uint64
}

func (x *across) present(ctx context.Context, tx pgx.Tx) (p present, err error) {
	if len(x.UIDs) == 0 {
		return p, nil
	}
	sql, from, to := transferable.on(x.UIDs)
	rows, err := tx.Query(ctx, sql, x.from.id, x.From, from, to)
	if err != nil {
		return p, err
	}
	var uid imap.UID
	var blob, size, kw int64
	_, err = pgx.ForEachRow(rows, []any{&uid, &blob, &size, &kw}, func() error {
		if x.blobs[blob] == 0 {
			return fmt.Errorf("body %d: %w", blob, errNoBody)
		}
		p.uids = append(p.uids, uid)
		p.blobs = append(p.blobs, x.blobs[blob])
		p.octets += size
		p.keywords |= uint64(kw)
		return nil
	})
	return p, err
}

// places are those of the keywords at the destination, none if they are not taken along.
func (x *across) places(ctx context.Context, tx pgx.Tx, used uint64) ([]int32, error) {
	if used == 0 || x.Denied.Has(store.RightWrite) {
		return []int32{}, nil
	}
	names, err := x.from.keywords(ctx, tx, x.From)
	if err != nil {
		return nil, err
	}
	return x.to.adopt(ctx, tx, x.To.Mailbox, names, used)
}

// take claims bodies from the sweeper.
func (x *across) take(ctx context.Context, tx pgx.Tx, blobs []int64) error {
	seen := make(map[int64]bool, len(blobs))
	var each []int64
	for _, blob := range blobs {
		if !seen[blob] {
			each = append(each, blob)
		}
		seen[blob] = true
	}
	var one int
	return tx.QueryRow(ctx, sqlTransferIntents, x.to.id, each).Scan(&one)
}

// flagMask is what messages.flags may keep on the way.
func flagMask(denied store.Rights) int32 { return ^int32(denied.Flags().System) }

// abandon lets the sweeper have the bodies that were stored for messages that then did not come. Of an intent that is done
// there is nothing left to be found.
func (x *across) abandon(ctx context.Context, failure error) {
	if len(x.stored) == 0 || errors.Is(failed("", failure), store.ErrUnavailable) || ctx.Err() != nil {
		return // as after a delivery
	}
	if _, err := x.to.s.pool.Exec(ctx, sqlAbandon, x.to.id, x.stored); err != nil {
		x.to.s.log.Debug("bodies left to the sweeper", zap.Error(err))
	}
}
