package postgres

import (
	"context"
	"fmt"
	"math/bits"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// Copy implements store.Account.
func (a *account) Copy(ctx context.Context, from, to store.MailboxID, uids imap.UIDSet) (imap.CopyData, error) {
	return a.transfer(ctx, within(store.Transfer{From: from, To: store.Place{Mailbox: to}, UIDs: uids}))
}

// Move implements store.Account.
func (a *account) Move(ctx context.Context, from, to store.MailboxID, uids imap.UIDSet) (imap.CopyData, error) {
	return a.transfer(ctx, within(store.Transfer{From: from, To: store.Place{Mailbox: to}, UIDs: uids, Move: true}))
}

// transfer is what Copy and Move have to do.
type transfer struct {
	op       string
	sql      uidSQL
	from, to store.MailboxID
	uids     imap.UIDSet
	grows    bool // the account's use grows: its quota counts
	whole    bool // see store.Transfer
	denied   store.Rights
}

func (a *account) transfer(ctx context.Context, t transfer) (data imap.CopyData, err error) {
	t.uids = store.Normalize(t.uids)
	err = a.writePiped(ctx, t.op, []store.MailboxID{t.from, t.to}, func(p *pipe, at []*lockedBox) error {
		data = imap.CopyData{}
		return a.transferIn(ctx, p, at, t, &data)
	})
	return data, err
}

const sqlTransferNeeds = `
select count(*), coalesce(sum(size), 0), coalesce(bit_or(kw), 0)
from messages
where {uids}`

var transferNeeds = byUIDs(sqlTransferNeeds)

// transferNeed is how much it is.
type transferNeed struct {
	messages int
	octets   int64
	keywords int64
}

// queueNeed asks for it.
func (a *account) queueNeed(p *pipe, t transfer) *transferNeed {
	need := new(transferNeed)
	if len(t.uids) > 0 {
		sql, from, to := transferNeeds.on(t.uids)
		p.queue(sql, a.id, t.from, from, to).QueryRow(func(row pgx.Row) error {
			return row.Scan(&need.messages, &need.octets, &need.keywords)
		})
	}
	return need
}

// transferIn does it, in two round trips if no keywords come along. at are the two mailboxes, from and to.
func (a *account) transferIn(ctx context.Context, p *pipe, at []*lockedBox, t transfer, data *imap.CopyData) error {
	need := a.queueNeed(p, t)
	tx, err := p.flush(ctx)
	if err != nil {
		return err
	}
	src, dst := at[0], at[1]
	data.UIDValidity = dst.uidValidity
	if t.whole && need.messages < store.CountUIDs(t.uids) {
		return store.ErrExpunged
	}
	if need.messages == 0 {
		return nil
	}
	if t.grows {
		if err := a.s.mayGrow(ctx, tx, a.id, need.octets, need.messages); err != nil {
			return err
		}
	}
	if t.denied.Has(store.RightWrite) {
		need.keywords = 0
	}
	places, err := a.translate(ctx, tx, src.id, dst.id, uint64(need.keywords))
	if err != nil {
		return err
	}
	sql, from, to := t.sql.on(t.uids)
	p.queue(sql, a.id, src.id, from, to, dst.id, dst.uidNext, dst.next(), time.Now().UnixMilli(), places, src.next(), flagMask(t.denied)).
		Query(func(rows pgx.Rows) error {
			moved, err := pgx.CollectRows(rows, pgx.RowTo[imap.UID])
			if err != nil || len(moved) == 0 {
				return err
			}
			src.changed = !t.grows
			dst.changed = true // src may be the same
			data.SourceUIDs = store.UIDSetOf(moved)
			data.DestUIDs = imap.UIDSet{{Start: dst.uidNext, Stop: dst.uidNext + imap.UID(len(moved)) - 1}}
			return nil
		})
	return nil
}

// translate returns, for each keyword bit of one mailbox, the bit that stands for it in another, where those that are
// used become known. The others may have none (-1).
func (a *account) translate(ctx context.Context, tx pgx.Tx, from, to store.MailboxID, used uint64) ([]int32, error) {
	if used == 0 {
		return []int32{}, nil
	}
	names, err := a.keywords(ctx, tx, from)
	if err != nil {
		return nil, err
	}
	return a.adopt(ctx, tx, to, names, used)
}

// Around the argument with the places that adopt returns: the keywords of a row at the destination.
const (
	adoptedFrom = `case when kw = 0 then 0 else (
      select coalesce(bit_or(1::bigint << k.place), 0)
      from unnest(`
	adoptedAt = `::int[]) with ordinality k(place, nth)
      where kw & (1::bigint << (k.nth - 1)::int) <> 0
    ) end`
)

// adopt is translate for the keywords of any mailbox, whose names are given.
func (a *account) adopt(ctx context.Context, tx pgx.Tx, to store.MailboxID, names []imap.Flag, used uint64) ([]int32, error) {
	var wanted []imap.Flag
	for i, name := range names {
		if used&(1<<i) != 0 {
			wanted = append(wanted, name)
		}
	}
	if bits.OnesCount64(used) != len(wanted) {
		return nil, fmt.Errorf("messages for mailbox %d have keyword bits without a name: %w", to, errDamaged)
	}
	known, err := a.keywords(ctx, tx, to)
	if err != nil {
		return nil, err
	}
	_, added, err := store.FlagBits(wanted, known)
	if err != nil {
		return nil, err
	}
	if known, err = a.addKeywords(ctx, tx, to, known, added); err != nil {
		return nil, err
	}
	places := make([]int32, len(names))
	for i, name := range names {
		places[i] = int32(store.FindKeyword(known, name))
	}
	return places, nil
}

// The destination's row gets the messages in the order of their UIDs. Their keywords are translated by $9. $10 is
// Move's. $11 is which flags may come along.
const sqlCopy = `
with src as materialized (
  select uid, blob_id, thread_id, idate, kw, size, hsize, flags & $11::int as flags
  from messages
  where {uids}
), refs as (
  insert into blob_refs (account_id, blob_id, refs)
  select $1, blob_id, 1 + count(*)
  from src
  group by blob_id
  order by blob_id
  on conflict (account_id, blob_id) do update set refs = blob_refs.refs + excluded.refs - 1
), s as (
  update mailbox_state
  set uidnext = uidnext + t.n, modseq = $7, n_msgs = n_msgs + t.n, n_unseen = n_unseen + t.unseen,
      n_deleted = n_deleted + t.deleted, bytes = bytes + t.octets
  from (
    select count(*)::int as n, (count(*) filter (where flags & 1 = 0))::int as unseen,
      (count(*) filter (where flags & 8 <> 0))::int as deleted, sum(size) as octets
    from src
  ) t
  where account_id = $1 and mailbox_id = $5 and t.n > 0 and $10::bigint > 0
), i as (
  insert into messages (account_id, mailbox_id, uid, modseq, blob_id, thread_id, idate, savedate, kw, size, hsize, flags)
  select $1, $5, $6::bigint + row_number() over (order by uid) - 1, $7::bigint, blob_id, thread_id, idate, $8,
    ` + adoptedFrom + `$9` + adoptedAt + `,
    size, hsize, flags
  from src
)
select uid
from src
order by uid`

// Within one mailbox there is one row of counters, and one update of it.
const sqlMove = `
with src as (
  delete from messages
  where {uids}
  returning uid, blob_id, thread_id, idate, kw, size, hsize, flags
), t as (
  select count(*)::int as n, (count(*) filter (where flags & 1 = 0))::int as unseen,
    (count(*) filter (where flags & 8 <> 0))::int as deleted, sum(size) as octets,
    (count(*) filter (where flags & $11::int & 1 = 0))::int as unseen_then,
    (count(*) filter (where flags & $11::int & 8 <> 0))::int as deleted_then
  from src
), j as (
  insert into journal (account_id, mailbox_id, modseq, kind, uids)
  select $1, $2, $10::bigint, 4, range_agg(int8range(uid, uid + 1))
  from src
  having count(*) > 0
), gone as (
  update mailbox_state
  set modseq = $10, n_msgs = n_msgs - t.n, n_unseen = n_unseen - t.unseen, n_deleted = n_deleted - t.deleted, bytes = bytes - t.octets
  from t
  where account_id = $1 and mailbox_id = $2 and t.n > 0 and $2 <> $5
), come as (
  update mailbox_state
  set uidnext = uidnext + t.n, modseq = $7,
      n_msgs = n_msgs + case when $2 = $5 then 0 else t.n end,
      n_unseen = n_unseen + t.unseen_then - case when $2 = $5 then t.unseen else 0 end,
      n_deleted = n_deleted + t.deleted_then - case when $2 = $5 then t.deleted else 0 end,
      bytes = bytes + case when $2 = $5 then 0 else t.octets end
  from t
  where account_id = $1 and mailbox_id = $5 and t.n > 0
), i as (
  insert into messages (account_id, mailbox_id, uid, modseq, blob_id, thread_id, idate, savedate, kw, size, hsize, flags)
  select $1, $5, $6::bigint + row_number() over (order by uid) - 1, $7::bigint, blob_id, thread_id, idate, $8,
    ` + adoptedFrom + `$9` + adoptedAt + `,
    size, hsize, flags & $11::int
  from src
)
select uid
from src
order by uid`

var (
	copyMessages = byUIDs(sqlCopy)
	moveMessages = byUIDs(sqlMove)
)
