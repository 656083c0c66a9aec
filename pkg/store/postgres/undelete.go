package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// Expunged is the record of what one command removed from a mailbox, or of 10,000 messages of it.
type Expunged struct {
	ID       int64
	Chunk    int
	Box      store.MailboxID
	Mailbox  string // its name then
	At       time.Time
	Session  string
	Protocol string
	Messages int
	Octets   int64
}

// An empty name stands for all mailboxes.
const sqlListExpunged = `
select expunge_id, chunk, mailbox_id, name, at, session, protocol, cardinality(uids), (select sum(n) from unnest(sizes) n)
from expunged
where account_id = $1 and at >= $2 and ($3 = '' or name = $3)
order by at, expunge_id, chunk`

// ListExpunged returns what can be restored of what was removed since then, the oldest first.
func (s *Store) ListExpunged(ctx context.Context, id store.AccountID, mailbox string, since time.Time) ([]Expunged, error) {
	rows, err := s.pool.Query(ctx, sqlListExpunged, id, since, mailbox)
	if err != nil {
		return nil, failed("list expunged", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Expunged])
	return list, failed("list expunged", err)
}

// Undelete restores the messages of a record, in their order, with new UIDs, into the mailbox they were in or, if it is
// gone or into is given, into the one of that name, which is made if there is none. What \Deleted marked is unmarked: the next
// EXPUNGE would take it again. It is one transaction, in which the record goes: nothing is restored twice. store.ErrNotFound
// when the record is gone. It returns how many came back; the octets of the others are deleted already.
func (s *Store) Undelete(ctx context.Context, id store.AccountID, e Expunged, into string) (int, error) {
	a := &account{s: s, id: id}
	box, err := a.undeleteInto(ctx, e, into)
	if err != nil {
		return 0, failed("undelete", err)
	}
	var n int
	err = a.write(ctx, "undelete", []store.MailboxID{box}, func(tx pgx.Tx, at []*lockedBox) (err error) {
		n, err = a.undelete(ctx, tx, at[0], e)
		return err
	})
	return n, err
}

// undeleteInto finds or makes the mailbox.
func (a *account) undeleteInto(ctx context.Context, e Expunged, into string) (store.MailboxID, error) {
	boxes, err := a.Mailboxes(ctx)
	if err != nil {
		return 0, err
	}
	for _, box := range boxes {
		if into == "" && box.ID == e.Box {
			return box.ID, nil
		}
	}
	if into == "" {
		into = e.Mailbox
	}
	box, err := a.Create(ctx, into)
	if errors.Is(err, store.ErrExists) {
		box, err = a.Mailbox(ctx, into)
	}
	return box.ID, err
}

const (
	sqlExpungedRecord = `
select keywords, (select bit_or(k) from unnest(kws) k)
from expunged
where account_id = $1 and expunge_id = $2 and chunk = $3
for update`

	// The references are no longer to be counted off. The rows of the queue are what the sweeper locks before it does: where it
	// was first we wait, and find its work done.
	sqlUnqueue = `
delete from blob_gc
where account_id = $1 and gc_id = $2 and chunk / 10 = $3
returning chunk`

	// Those of a record that are not swept: $4 is what sqlUnqueue has returned, each speaks of 1,000 messages.
	restorable = `
  cross join lateral (
    select u.*, row_number() over (order by uid) - 1 as o
    from unnest(r.uids, r.blobs, r.threads, r.idates, r.kws, r.sizes, r.hsizes, r.flags)
      u(uid, blob_id, thread_id, idate, kw, size, hsize, flags)
  ) u
  where $3::int * 10 + u.o / 1000 = any($4::int[])
    and exists (select from bodies b where b.account_id = $1 and b.blob_id = u.blob_id and b.part = 0)`

	sqlUndeleteNeeds = `
select count(*), coalesce(sum(u.size), 0)
from (
  select *
  from expunged
  where account_id = $1 and expunge_id = $2 and chunk = $3
) r` + restorable

	sqlUndelete = `
with record as (
  delete from expunged
  where account_id = $1 and expunge_id = $2 and chunk = $3
  returning uids, blobs, threads, idates, kws, sizes, hsizes, flags
), src as materialized (
  select u.uid, u.blob_id, u.thread_id, u.idate, u.kw, u.size, u.hsize, u.flags & ~8 as flags
  from record r` + restorable + `
), s as (
  update mailbox_state
  set uidnext = uidnext + t.n, modseq = $7, n_msgs = n_msgs + t.n, n_unseen = n_unseen + t.unseen, bytes = bytes + t.octets
  from (
    select count(*)::int as n, (count(*) filter (where flags & 1 = 0))::int as unseen, sum(size) as octets
    from src
  ) t
  where account_id = $1 and mailbox_id = $5 and t.n > 0
), i as (
  insert into messages (account_id, mailbox_id, uid, modseq, blob_id, thread_id, idate, savedate, kw, size, hsize, flags)
  select $1, $5, $6::bigint + row_number() over (order by uid) - 1, $7::bigint, blob_id, thread_id, idate, $8,
    ` + adoptedFrom + `$9` + adoptedAt + `,
    size, hsize, flags
  from src
)
select count(*)
from src`
)

func (a *account) undelete(ctx context.Context, tx pgx.Tx, box *lockedBox, e Expunged) (n int, err error) {
	var keywords []imap.Flag
	var used int64
	err = tx.QueryRow(ctx, sqlExpungedRecord, a.id, e.ID, e.Chunk).Scan(&keywords, &used)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("record of an expunge: %w", store.ErrNotFound)
	}
	if err != nil {
		return 0, err
	}
	rows, err := tx.Query(ctx, sqlUnqueue, a.id, e.ID, e.Chunk)
	if err != nil {
		return 0, err
	}
	chunks, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		return 0, err
	}
	var size int64
	if err := tx.QueryRow(ctx, sqlUndeleteNeeds, a.id, e.ID, e.Chunk, chunks).Scan(&n, &size); err != nil {
		return 0, err
	}
	if err := a.s.mayGrow(ctx, tx, a.id, size, n); err != nil {
		return 0, err
	}
	places := []int32{}
	if used != 0 && n > 0 {
		if places, err = a.adopt(ctx, tx, box.id, keywords, uint64(used)); err != nil {
			return 0, err
		}
	}
	err = tx.QueryRow(ctx, sqlUndelete, a.id, e.ID, e.Chunk, chunks, box.id, box.uidNext, box.next(), time.Now().UnixMilli(), places).Scan(&n)
	box.changed = n > 0
	return n, err
}
