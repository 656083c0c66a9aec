package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// How much is sealed anew in one transaction: bodies, and octets of them.
const (
	resealBodies = 100
	resealOctets = 1 << 20
)

// resealed is a body on its way to another account.
type resealed struct {
	blob        int64
	size, hsize int64
}

// parts is how many rows the body has.
func (b *resealed) parts() int {
	rest := b.size - headerColumn(b.hsize)
	return max(1, int((rest+window-1)/window))
}

// reseal gives the destination bodies of its own, some at a time: in memory are a few windows of one message, or some small
// messages.
func (x *across) reseal(ctx context.Context, bodies []resealed) error {
	from, err := x.from.s.key(ctx, x.from.id)
	if err != nil {
		return err
	}
	to, err := x.to.s.key(ctx, x.to.id)
	if err != nil {
		return err
	}
	for len(bodies) > 0 {
		n, octets := 0, int64(0)
		for n < len(bodies) && n < resealBodies && (n == 0 || octets+bodies[n].size <= resealOctets) {
			octets += bodies[n].size
			n++
		}
		s := &sealing{across: x, from: from, to: to}
		if err := pgx.BeginFunc(ctx, x.to.s.pool, func(tx pgx.Tx) error { return s.all(ctx, tx, bodies[:n]) }); err != nil {
			return err
		}
		bodies = bodies[n:]
	}
	return nil
}

// sealing is one transaction that seals bodies anew.
type sealing struct {
	*across
	from, to *dataKey
	batch    pgx.Batch
	octets   int // waiting in batch
}

func (s *sealing) all(ctx context.Context, tx pgx.Tx, bodies []resealed) error {
	for i := range bodies {
		if err := s.body(ctx, tx, &bodies[i]); err != nil {
			return fmt.Errorf("seal body %d for account %d: %w", bodies[i].blob, s.across.to.id, err)
		}
	}
	return s.flush(ctx, tx)
}

func (s *sealing) flush(ctx context.Context, tx pgx.Tx) error {
	if s.batch.Len() == 0 {
		return nil
	}
	batch := s.batch
	s.batch, s.octets = pgx.Batch{}, 0
	return tx.SendBatch(ctx, &batch).Close()
}

func (s *sealing) body(ctx context.Context, tx pgx.Tx, b *resealed) error {
	x := s.across
	blob := x.to.s.ids.next()
	old, err := s.from.forBlob(store.MessageID(b.blob))
	if err != nil {
		return err
	}
	sealed, err := s.to.forBlob(blob)
	if err != nil {
		return err
	}
	for part := range b.parts() {
		row, err := x.part(ctx, tx, b.blob, part)
		if part == 0 && errors.Is(err, pgx.ErrNoRows) {
			return nil // gone with its message, it seems: commit will see
		}
		if err != nil {
			return err
		}
		if part == 0 {
			s.batch.Queue(sqlIntent, x.to.id, blob, orphanGrace)
		}
		if err := row.reseal(old, sealed, part); err != nil {
			return err
		}
		s.batch.Queue(sqlBody, x.to.id, blob, part, row.rawlen, row.hdr, row.tree, row.data)
		if s.octets += len(row.hdr) + len(row.tree) + len(row.data); s.octets >= resealOctets {
			if err := s.flush(ctx, tx); err != nil {
				return err
			}
		}
	}
	x.blobs[b.blob] = int64(blob)
	x.stored = append(x.stored, int64(blob))
	return nil
}

const sqlPart = `
select rawlen, hdr, tree, data
from bodies
where account_id = $1 and blob_id = $2 and part = $3`

// partRow is a row of bodies.
type partRow struct {
	rawlen          int
	hdr, tree, data []byte
}

func (x *across) part(ctx context.Context, tx pgx.Tx, blob int64, part int) (row partRow, err error) {
	err = tx.QueryRow(ctx, sqlPart, x.from.id, blob, part).Scan(&row.rawlen, &row.hdr, &row.tree, &row.data)
	return row, err
}

// reseal opens each column with one key and seals it with another.
func (r *partRow) reseal(from, to *blobKey, part int) error {
	for _, c := range []struct {
		col  column
		data *[]byte
	}{{columnHeader, &r.hdr}, {columnTree, &r.tree}, {columnData, &r.data}} {
		if *c.data == nil {
			continue
		}
		raw, err := decodePart(nil, from, part, c.col, *c.data)
		if err != nil {
			return err
		}
		*c.data = encodePart(nil, to, part, c.col, raw)
	}
	return nil
}
