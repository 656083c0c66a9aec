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

// Expunge implements store.Account, in one round trip.
func (a *account) Expunge(ctx context.Context, box store.MailboxID, uids imap.UIDSet, by store.Actor) ([]imap.UID, error) {
	var gone []imap.UID
	err := a.writePiped(ctx, "expunge", []store.MailboxID{box}, func(p *pipe, at []*lockedBox) error {
		gone = nil
		a.queueExpunge(&p.batch, at[0], expungeStep{uids: uids, by: by, gone: func(uids []imap.UID) {
			gone = uids
			at[0].did = &store.Changes{Removed: removedAt(uids, at[0].next())}
		}})
		return nil
	})
	return gone, err
}

func removedAt(uids []imap.UID, at store.ModSeq) []store.Entry {
	entries := make([]store.Entry, len(uids))
	for i, uid := range uids {
		entries[i] = store.Entry{UID: uid, ModSeq: at}
	}
	return entries
}

// One statement: the messages, the record to restore them from, the references to be counted off later, the journal row and
// the counters. The bodies' references are left to the sweeper, which is in no hurry: of a mailbox full of copies, that is
// most of the work. The two chunks must fit each other, see restorable. The arrays of a record need no order but a common one.
const sqlExpunge = `
with next as materialized (
  select coalesce($5::bigint, modseq + 1) as modseq
  from mailbox_state
  where account_id = $1 and mailbox_id = $2
), gone as (
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
    array_agg(uid), array_agg(blob_id), array_agg(thread_id), array_agg(idate), array_agg(savedate), array_agg(kw),
    array_agg(size), array_agg(hsize), array_agg(flags)
  from numbered
  where $8::bool
  group by o / 10000
), gc as (
  insert into blob_gc (account_id, gc_id, chunk, due, blobs)
  select $1, $6, o / 1000, now() + $7::interval, array_agg(blob_id)
  from numbered
  group by o / 1000
), j as (
  insert into journal (account_id, mailbox_id, modseq, kind, uids)
  select $1, $2, (select modseq from next), 4, range_agg(int8range(uid, uid + 1))
  from numbered
  having count(*) > 0
), s as (
  update mailbox_state
  set modseq = (select modseq from next), n_msgs = n_msgs - t.n, n_unseen = n_unseen - t.unseen, n_deleted = n_deleted - t.deleted,
      bytes = bytes - t.octets
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

// expungeStep is an expunge within a transaction. gone, if not nil, is told which messages it were.
type expungeStep struct {
	uids imap.UIDSet
	by   store.Actor
	gone func(uids []imap.UID)
}

func (a *account) queueExpunge(b *pgx.Batch, box *lockedBox, x expungeStep) {
	set := store.Normalize(x.uids)
	if len(set) == 0 {
		return
	}
	var at any // what came before in the transaction may have taken the mod-sequence already
	if box.modSeq != 0 {
		at = box.next()
	}
	sql, from, to := expunge.on(set)
	undelete := a.s.opts.undelete()
	b.Queue(sql, a.id, box.id, from, to, at, a.s.ids.next(), max(undelete, bodyGrace), undelete > 0, asText(x.by.Session), asText(x.by.Protocol)).
		Query(func(rows pgx.Rows) error {
			gone, err := pgx.CollectRows(rows, pgx.RowTo[imap.UID])
			box.changed = len(gone) > 0
			if x.gone != nil {
				x.gone(gone)
			}
			return err
		})
}

func (a *account) expunge(ctx context.Context, tx pgx.Tx, box *lockedBox, uids imap.UIDSet, by store.Actor) error {
	var b pgx.Batch
	a.queueExpunge(&b, box, expungeStep{uids: uids, by: by})
	if b.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, &b).Close()
}

// asText makes a string fit for a column of that type, which takes neither NUL nor what is not UTF-8.
func asText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}
