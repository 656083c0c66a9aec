package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

const (
	sqlGramDropped = `
select account_id, mailbox_id, seg
from fts_seg
where state = 2
limit 64`

	sqlDeleteBlocks = `
delete from fts_block
where account_id = $1 and mailbox_id = $2 and seg = $3 and block = any(array(
  select block
  from fts_block
  where account_id = $1 and mailbox_id = $2 and seg = $3
  order by block
  limit $4
))`

	sqlDeleteSeg = `
delete from fts_seg
where account_id = $1 and mailbox_id = $2 and seg = $3 and state = 2`

	// blocksDeleted is how many blocks go in one transaction.
	blocksDeleted = 500
)

// dropBlocks deletes segments that nobody needs any more. Several processes may do it at once.
func (s *Store) dropBlocks(ctx context.Context) error {
	for {
		rows, err := s.pool.Query(ctx, sqlGramDropped)
		if err != nil {
			return err
		}
		type dropped struct {
			key boxKey
			seg int64
		}
		list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d dropped, err error) {
			err = row.Scan(&d.key.account, &d.key.box, &d.seg)
			return d, err
		})
		if err != nil || len(list) == 0 {
			return err
		}
		for _, d := range list {
			if err := s.dropSegment(ctx, d.key, d.seg); err != nil {
				return err
			}
		}
	}
}

func (s *Store) dropSegment(ctx context.Context, key boxKey, seg int64) error {
	for {
		tag, err := s.pool.Exec(ctx, sqlDeleteBlocks, key.account, key.box, seg, blocksDeleted)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			_, err := s.pool.Exec(ctx, sqlDeleteSeg, key.account, key.box, seg)
			return err
		}
	}
}

const sqlDropSeg = `
update fts_seg
set state = 2
where account_id = $1 and mailbox_id = $2 and seg = any($3)`

// drop gives segments up.
func (w *indexing) drop(ctx context.Context, segs ...*gramSeg) error {
	ids := make([]int64, len(segs))
	for i, g := range segs {
		ids[i] = g.seg
	}
	err := w.guarded(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sqlDropSeg, w.key.account, w.key.box, ids)
		return err
	})
	if err != nil {
		return err
	}
	return w.s.dropBlocks(ctx)
}

const sqlCountBlocks = `
select count(*)
from fts_block
where account_id = $1 and mailbox_id = $2 and seg = $3`

// dropBroken gives up the segments that lack blocks, or all of them if that is not what is wrong.
func (w *indexing) dropBroken(ctx context.Context) error {
	ready, other, err := gramSegs(ctx, w.s.pool, w.key)
	if errors.Is(err, errDamaged) {
		return w.dropAll(ctx)
	}
	if err != nil {
		return err
	}
	broken := other
	for _, g := range ready {
		var n int
		if err := w.s.pool.QueryRow(ctx, sqlCountBlocks, w.key.account, w.key.box, g.seg).Scan(&n); err != nil {
			return err
		}
		if n != 1<<g.bits {
			broken = append(broken, g)
		}
	}
	if len(broken) == len(other) {
		return w.dropAll(ctx)
	}
	return w.drop(ctx, broken...)
}

const sqlDropAllSegs = `
update fts_seg
set state = 2
where account_id = $1 and mailbox_id = $2 and state < 2`

func (w *indexing) dropAll(ctx context.Context) error {
	err := w.guarded(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sqlDropAllSegs, w.key.account, w.key.box)
		return err
	})
	if err != nil {
		return err
	}
	return w.s.dropBlocks(ctx)
}
