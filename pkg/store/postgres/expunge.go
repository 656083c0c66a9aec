package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// bodyGrace is how long the bodies of expunged messages stay when there is no undelete period: sessions may still read
// them through a snapshot (RFC 2180 §4.1).
const bodyGrace = 15 * time.Minute

// Expunge implements store.Account.
func (a *account) Expunge(ctx context.Context, box store.MailboxID, uids imap.UIDSet, by store.Actor) ([]imap.UID, error) {
	var gone []imap.UID
	err := a.write(ctx, "expunge", []store.MailboxID{box}, func(tx pgx.Tx, at []*lockedBox) (err error) {
		gone, err = a.expunge(ctx, tx, at[0], uids, by)
		return err
	})
	return gone, err
}

// One statement: the messages, the record to restore them from, their references, the bodies without any, the journal
// row and the counters. The references are locked in the order in which Copy locks them: copies can lie in mailboxes that
// others have locked. (except, not a join: of two intermediate results of which the planner knows nothing, it would
// compare each with each.)
const sqlExpunge = `
with gone as (
  delete from messages
  where {uids}
  returning uid, blob_id, thread_id, idate, savedate, kw, size, hsize, flags
), numbered as (
  select *, (row_number() over (order by uid) - 1)::int as o
  from gone
), kept as (
  insert into expunged (account_id, expunge_id, chunk, mailbox_id, name, session, protocol, keywords,
    uids, blobs, threads, idates, savedates, kws, sizes, hsizes, flags)
  select $1, $6, o / 10000, $2,
    (select name from mailboxes where account_id = $1 and mailbox_id = $2), $9, $10,
    (select keywords from mailboxes where account_id = $1 and mailbox_id = $2),
    array_agg(uid order by o), array_agg(blob_id order by o), array_agg(thread_id order by o),
    array_agg(idate order by o), array_agg(savedate order by o), array_agg(kw order by o),
    array_agg(size order by o), array_agg(hsize order by o), array_agg(flags order by o)
  from numbered
  where $8::bool
  group by o / 10000
), counts as (
  select blob_id, count(*)::int as n
  from gone
  group by blob_id
), held as materialized (
  select r.blob_id, c.n
  from counts c
  join blob_refs r on r.account_id = $1 and r.blob_id = c.blob_id
  order by r.blob_id
  for update of r
), refs as (
  update blob_refs r
  set refs = r.refs - h.n
  from held h
  where r.account_id = $1 and r.blob_id = h.blob_id
  returning r.blob_id, r.refs
), dead as (
  select blob_id, (row_number() over (order by blob_id) - 1)::int as o
  from (
    select blob_id
    from counts
    except
    select blob_id
    from refs
    where refs > 0
  ) d
), gc as (
  insert into blob_gc (account_id, gc_id, chunk, due, blobs)
  select $1, $6, o / 1000, now() + $7::interval, array_agg(blob_id)
  from dead
  group by o / 1000
), j as (
  insert into journal (account_id, mailbox_id, modseq, kind, uids)
  select $1, $2, $5::bigint, 4, range_agg(int8range(uid, uid + 1))
  from gone
  having count(*) > 0
), s as (
  update mailbox_state
  set modseq = $5, n_msgs = n_msgs - t.n, n_unseen = n_unseen - t.unseen, n_deleted = n_deleted - t.deleted, bytes = bytes - t.octets
  from (
    select count(*)::int as n, (count(*) filter (where flags & 1 = 0))::int as unseen,
      (count(*) filter (where flags & 8 <> 0))::int as deleted, sum(size) as octets
    from gone
  ) t
  where account_id = $1 and mailbox_id = $2 and t.n > 0
)
select uid
from numbered
order by uid`

var expunge = byUIDs(sqlExpunge)

func (a *account) expunge(ctx context.Context, tx pgx.Tx, box *lockedBox, uids imap.UIDSet, by store.Actor) ([]imap.UID, error) {
	set := store.Normalize(uids)
	if len(set) == 0 {
		return nil, nil
	}
	sql, from, to := expunge.on(set)
	undelete := a.s.opts.undelete()
	rows, err := tx.Query(ctx, sql, a.id, box.id, from, to, box.next(), a.s.ids.next(),
		max(undelete, bodyGrace), undelete > 0, asText(by.Session), asText(by.Protocol))
	if err != nil {
		return nil, err
	}
	gone, err := pgx.CollectRows(rows, pgx.RowTo[imap.UID])
	box.changed = len(gone) > 0
	return gone, err
}

// asText makes a string fit for a column of that type, which takes neither NUL nor what is not UTF-8.
func asText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}
