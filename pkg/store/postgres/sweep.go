package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"postern/pkg/store"
)

const (
	sweepEvery = 5 * time.Minute
	pruneEvery = 12 * time.Hour // journals: looking for what is old takes longer than removing it

	deliveryKept = 24 * time.Hour      // so long an MTA may repeat itself
	journalKept  = 30 * 24 * time.Hour // and no less than journalLeast rows of a mailbox
	journalLeast = 1000

	sweepRows = 5000 // in one statement
)

// sweepLock is the advisory lock that makes one process of a database the sweeper.
const sweepLock = 0x73776570 // any number of our own

// keepSwept sweeps every few minutes until ctx ends.
func (s *Store) keepSwept(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.outage.report("sweep", s.sweepNow(ctx))
		case <-ctx.Done():
			return
		}
	}
}

// sweepNow sweeps by the database's clock, which is the one that dated what is swept.
func (s *Store) sweepNow(ctx context.Context) error {
	var now time.Time
	if err := s.pool.QueryRow(ctx, `select now()`).Scan(&now); err != nil {
		return err
	}
	return s.Sweep(ctx, now)
}

// Sweep removes what is no longer needed at the time now: bodies that nobody can read or restore, records of expunges
// beyond the undelete period, old records of deliveries and of changes, and accounts that are being deleted. It returns
// at once if another process is sweeping. The store calls it by itself every few minutes.
func (s *Store) Sweep(ctx context.Context, now time.Time) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return failed("sweep", err)
	}
	defer conn.Release()
	var ours bool
	if err := conn.QueryRow(ctx, `select pg_try_advisory_lock($1)`, sweepLock).Scan(&ours); err != nil || !ours {
		return failed("sweep", err)
	}
	sw := &sweeper{s: s, conn: conn, now: now}
	err = sw.run(ctx)
	free, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, e := conn.Exec(free, `select pg_advisory_unlock($1)`, sweepLock); e != nil {
		_ = conn.Conn().Close(free) // the lock must not go back to the pool with the connection
	}
	return failed("sweep", err)
}

// sweeper is one pass. It holds the lock on its connection.
type sweeper struct {
	s    *Store
	conn *pgxpool.Conn
	now  time.Time
}

func (sw *sweeper) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{sw.bodies, sw.deliveries, sw.expunged, sw.journals, sw.accounts, sw.bans, sw.logins} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

const sqlDue = `
select account_id, gc_id, chunk, blobs
from blob_gc
where due <= $1
order by due
limit 1
for update skip locked`

// What is left without references is returned. They are locked in the order in which Copy locks them. (except, not a join: of
// two intermediate results of which the planner knows nothing, it would compare each with each.)
const sqlCountOff = `
with counts as (
  select blob_id, count(*)::int as n
  from unnest($2::bigint[]) b(blob_id)
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
)
select blob_id
from counts
except
select blob_id
from refs
where refs > 0`

// sqlDeleteBodies deletes no body that is referenced, whatever it is told.
const sqlDeleteBodies = `
delete from bodies b
where b.account_id = $1 and b.blob_id = any($2)
  and not exists (select from blob_refs r where r.account_id = $1 and r.blob_id = b.blob_id and r.refs > 0)`

const sqlDeleteRefs = `
delete from blob_refs
where account_id = $1 and blob_id = any($2) and refs <= 0`

const sqlDequeue = `
delete from blob_gc
where account_id = $1 and gc_id = $2 and chunk = $3`

// bodies deletes the bodies that are due, a row of the queue in each transaction.
func (sw *sweeper) bodies(ctx context.Context) error {
	for more := true; more; {
		err := pgx.BeginFunc(ctx, sw.conn, func(tx pgx.Tx) (err error) {
			more, err = sw.bodiesOnce(ctx, tx)
			return err
		})
		if err != nil {
			return failed("delete bodies", err)
		}
	}
	return nil
}

func (sw *sweeper) bodiesOnce(ctx context.Context, tx pgx.Tx) (bool, error) {
	rows, err := tx.Query(ctx, sqlDue, sw.now)
	if err != nil {
		return false, err
	}
	var account, gc, chunk int64
	var blobs []int64
	tag, err := pgx.ForEachRow(rows, []any{&account, &gc, &chunk, &blobs}, func() error { return nil })
	if err != nil || tag.RowsAffected() == 0 {
		return false, err
	}
	if rows, err = tx.Query(ctx, sqlCountOff, account, blobs); err != nil {
		return false, err
	}
	if blobs, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
		return false, err
	}
	deleted, err := tx.Exec(ctx, sqlDeleteBodies, account, blobs)
	if err != nil {
		return false, err
	}
	sw.s.metrics.sweptBodies.Add(float64(deleted.RowsAffected()))
	b := new(pgx.Batch)
	b.Queue(sqlDeleteRefs, account, blobs)
	b.Queue(sqlDequeue, account, gc, chunk)
	return true, tx.SendBatch(ctx, b).Close()
}

const sqlOldDeliveries = `
delete from deliveries
where ctid = any(array(select ctid from deliveries where at < $1 limit $2))`

func (sw *sweeper) deliveries(ctx context.Context) error {
	return failed("delete records of deliveries", sw.repeat(ctx, sqlOldDeliveries, sw.now.Add(-deliveryKept)))
}

const sqlOldExpunged = `
delete from expunged
where ctid = any(array(select ctid from expunged where at < $1 limit $2))`

func (sw *sweeper) expunged(ctx context.Context) error {
	return failed("delete records of expunges", sw.repeat(ctx, sqlOldExpunged, sw.now.Add(-sw.s.opts.undelete())))
}

// repeat runs a statement that removes at most $2 rows older than $1 until it finds none.
func (sw *sweeper) repeat(ctx context.Context, sql string, before time.Time) error {
	for {
		tag, err := sw.conn.Exec(ctx, sql, before, sweepRows)
		if err != nil || tag.RowsAffected() < sweepRows {
			return err
		}
	}
}

// The mailboxes whose journal has old rows, and the last of these that can go: not one of the newest $2.
const sqlOldJournals = `
with old as (
  select account_id, mailbox_id, max(modseq) as last
  from journal
  where at < $1
  group by account_id, mailbox_id
)
select account_id, mailbox_id, least(last, (
  select modseq
  from journal j
  where j.account_id = old.account_id and j.mailbox_id = old.mailbox_id
  order by modseq desc
  offset $2
  limit 1
))
from old`

// The mailbox is locked while its journal gets shorter, so that no reader misses that it did.
const sqlPruneJournal = `
with cut as (
  select max(modseq) as at
  from (
    select modseq
    from journal
    where account_id = $1 and mailbox_id = $2 and modseq <= $3
    order by modseq
    limit $4
  ) j
), s as (
  update mailbox_state
  set journal_from = greatest(journal_from, cut.at)
  from cut
  where account_id = $1 and mailbox_id = $2 and cut.at is not null
  returning journal_from
)
delete from journal
where account_id = $1 and mailbox_id = $2 and modseq <= (select at from cut) and exists (select from s)`

// What is derived from a mailbox can be written at the moment in which the mailbox is deleted.
var sqlStray = []string{
	`
delete from mailbox_index i
where not exists (select from mailbox_state s where s.account_id = i.account_id and s.mailbox_id = i.mailbox_id)`,
	`
delete from sort_keys k
where not exists (select from mailbox_state s where s.account_id = k.account_id and s.mailbox_id = k.mailbox_id)`,
	`
update fts_seg f
set state = 2
where state < 2
  and not exists (select from mailbox_state s where s.account_id = f.account_id and s.mailbox_id = f.mailbox_id)`,
	`
delete from fts_state f
where not exists (select from mailbox_state s where s.account_id = f.account_id and s.mailbox_id = f.mailbox_id)`,
}

// journals shortens the journals that are longer and older than anyone needs, and removes indexes of no mailbox.
func (sw *sweeper) journals(ctx context.Context) error {
	if !sw.s.pruneDue(sw.now) {
		return nil
	}
	rows, err := sw.conn.Query(ctx, sqlOldJournals, sw.now.Add(-journalKept), journalLeast)
	if err != nil {
		return failed("find old journals", err)
	}
	type oldJournal struct {
		key  boxKey
		last *int64 // nil: the journal is short
	}
	old, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o oldJournal, err error) {
		err = row.Scan(&o.key.account, &o.key.box, &o.last)
		return o, err
	})
	if err != nil {
		return failed("find old journals", err)
	}
	for _, o := range old {
		if o.last == nil {
			continue
		}
		if err := sw.journal(ctx, o.key, *o.last); err != nil {
			return failed("prune journal", err)
		}
	}
	for _, sql := range sqlStray {
		if _, err := sw.conn.Exec(ctx, sql); err != nil {
			return failed("remove stray rows", err)
		}
	}
	if err := sw.repeat(ctx, sqlOldPlaces, sw.now.Add(-placeKept)); err != nil {
		return failed("delete old places", err)
	}
	sw.s.pruned.Store(sw.now.UnixMilli())
	return nil
}

// pruneDue reports whether it is time to look for old journals.
func (s *Store) pruneDue(now time.Time) bool {
	return now.Sub(time.UnixMilli(s.pruned.Load())).Abs() >= pruneEvery
}

func (sw *sweeper) journal(ctx context.Context, key boxKey, last int64) error {
	for {
		tag, err := sw.conn.Exec(ctx, sqlPruneJournal, key.account, key.box, last, sweepRows)
		if err != nil || tag.RowsAffected() < sweepRows {
			return err
		}
	}
}

const sqlDeleting = `
select account_id
from accounts
where state = 2`

// accounts goes on with deletions that were interrupted.
func (sw *sweeper) accounts(ctx context.Context) error {
	rows, err := sw.conn.Query(ctx, sqlDeleting)
	if err != nil {
		return failed("find deleted accounts", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return failed("find deleted accounts", err)
	}
	for _, id := range ids {
		if err := sw.s.DeleteAccount(ctx, store.AccountID(id)); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		sw.s.log.Info("deletion of an account finished", zap.Int64("account", id))
	}
	return nil
}
