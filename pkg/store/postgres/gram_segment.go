package postgres

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"

	"github.com/jackc/pgx/v5"
)

// What fts_seg.state says.
const (
	segReady   = 0
	segMerging = 1
	segDropped = 2
)

// gramSeg is a row of fts_seg.
type gramSeg struct {
	seg    int64
	level  int
	state  int
	lo, hi int64
	cover  *cover
	bits   int
	octets int64
	done   int
	into   int64 // 0: none
}

const sqlGramSegs = `
select seg, level, state, lo, hi, cover, bits, octets, done, coalesce(into_seg, 0)
from fts_seg
where account_id = $1 and mailbox_id = $2 and state < 2`

// gramSegs reads the segments of a mailbox in the order of their UIDs. ready are those that searches use, none of which
// overlap; other is what is being merged.
func gramSegs(ctx context.Context, q querier, key boxKey) (ready, other []*gramSeg, err error) {
	rows, err := q.Query(ctx, sqlGramSegs, key.account, key.box)
	if err != nil {
		return nil, nil, err
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*gramSeg, error) {
		g := new(gramSeg)
		var coded []byte
		err := row.Scan(&g.seg, &g.level, &g.state, &g.lo, &g.hi, &coded, &g.bits, &g.octets, &g.done, &g.into)
		if err == nil {
			g.cover, err = decodeCover(coded)
		}
		return g, err
	})
	slices.SortFunc(all, func(a, b *gramSeg) int { return cmp.Or(cmp.Compare(a.lo, b.lo), cmp.Compare(a.seg, b.seg)) })
	at := int64(0)
	for _, g := range all {
		switch {
		case g.state != segReady:
			other = append(other, g)
		case g.lo > at:
			ready = append(ready, g)
			at = g.hi
		}
	}
	return ready, other, err
}

// sealBlock and openBlock bind a block to its place.
func sealBlock(k *dataKey, key boxKey, seg int64, block int, raw []byte) ([]byte, error) {
	return k.sealDerived(blockContext(key, seg, block), raw)
}

func openBlock(k *dataKey, key boxKey, seg int64, block int, sealed []byte) ([]byte, error) {
	return k.openDerived(blockContext(key, seg, block), sealed)
}

func blockContext(key boxKey, seg int64, block int) []byte {
	b := append(make([]byte, 0, 32), "fts block:"...)
	b = binary.BigEndian.AppendUint64(b, uint64(key.box))
	b = binary.BigEndian.AppendUint64(b, uint64(seg))
	return binary.BigEndian.AppendUint32(b, uint32(block))
}

const sqlPutBlocks = `
insert into fts_block (account_id, mailbox_id, seg, block, data)
select $1, $2, $3, block, data
from unnest($4::int[], $5::bytea[]) b(block, data)`

// blockBatch gathers sealed blocks and sends some at a time.
type blockBatch struct {
	tx    pgx.Tx
	k     *dataKey
	key   boxKey
	seg   int64
	total int64 // octets, unsealed
	nums  []int32
	data  [][]byte
	size  int
}

// batchOctets is how much a statement carries, and a transaction of a merge.
const batchOctets = 512 << 10

func (b *blockBatch) put(ctx context.Context, block int, raw []byte) error {
	sealed, err := sealBlock(b.k, b.key, b.seg, block, raw)
	if err != nil {
		return err
	}
	b.nums, b.data = append(b.nums, int32(block)), append(b.data, sealed)
	b.size += len(sealed)
	b.total += int64(len(raw))
	if b.size >= batchOctets {
		return b.flush(ctx)
	}
	return nil
}

func (b *blockBatch) flush(ctx context.Context) error {
	if len(b.nums) == 0 {
		return nil
	}
	_, err := b.tx.Exec(ctx, sqlPutBlocks, b.key.account, b.key.box, b.seg, b.nums, b.data)
	b.nums, b.data, b.size = b.nums[:0], b.data[:0], 0
	return err
}

const sqlAnyBlocks = `
select b.*
from unnest($3::bigint[], $4::int[]) w(seg, block)
cross join lateral (
  select seg, block, data
  from fts_block
  where account_id = $1 and mailbox_id = $2 and seg = w.seg and block = w.block
  limit 1
) b`

// blockKey names a block of a mailbox.
type blockKey struct {
	seg   int64
	block int
}

// readBlocks reads blocks and hands each to visit, unsealed; those that are not there any more it does not.
func readBlocks(ctx context.Context, q querier, k *dataKey, key boxKey, want []blockKey, visit func(blockKey, []byte) error) error {
	segs, blocks := make([]int64, len(want)), make([]int32, len(want))
	for i, w := range want {
		segs[i], blocks[i] = w.seg, int32(w.block)
	}
	rows, err := q.Query(ctx, sqlAnyBlocks, key.account, key.box, segs, blocks)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		raw := rows.RawValues()
		if len(raw) != 3 || len(raw[0]) != 8 || len(raw[1]) != 4 {
			return errColumns
		}
		b := blockKey{int64(binary.BigEndian.Uint64(raw[0])), int(binary.BigEndian.Uint32(raw[1]))}
		open, err := openBlock(k, key, b.seg, b.block, raw[2])
		if err != nil {
			return err
		}
		if err := visit(b, open); err != nil {
			return err
		}
	}
	return rows.Err()
}
