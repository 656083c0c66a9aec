package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

const sqlGramRows = `
select uid, modseq, blob_id, thread_id, idate, savedate, kw, size, hsize, flags
from messages
where account_id = $1 and mailbox_id = $2 and uid between $3 and $4
order by uid
limit $5`

// maxUID is the greatest there can be.
const maxUID = 1<<32 - 1

// gap is a range of UIDs that no segment answers for.
type gap struct{ lo, hi int64 }

// firstGap finds the first gap between segments, or what follows the last.
func firstGap(ready []*gramSeg) gap {
	at := int64(1)
	for _, g := range ready {
		if g.lo > at {
			return gap{at, g.lo - 1}
		}
		at = g.hi + 1
	}
	return gap{at, maxUID}
}

// build makes a segment of messages that are in none, oldest first, if there are enough. Messages that cannot be read, or
// have too many grams, stay out of its cover.
func (w *indexing) build(ctx context.Context, ready []*gramSeg) (bool, error) {
	g := firstGap(ready)
	rows, err := w.s.pool.Query(ctx, sqlGramRows, w.key.account, w.key.box, g.lo, g.hi, w.builder.docs)
	if err != nil {
		return false, err
	}
	msgs, err := readRows(rows, nil)
	tail := g.hi == maxUID
	if err != nil || tail && len(msgs) < w.s.tailDocs() {
		return false, err
	}
	level := 0
	if tail && len(msgs) < w.builder.docs {
		level = levelTail
	}
	snap := store.NewSnapshot(store.Mailbox{ID: w.key.box}, nil, msgs)
	hi, err := w.collect(ctx, snap)
	if err != nil {
		return false, err
	}
	if !tail && hi == 0 && len(msgs) < w.builder.docs {
		hi = g.hi
	} else if hi == 0 {
		hi = int64(msgs[len(msgs)-1].UID)
	}
	seg := &gramSeg{seg: int64(w.s.ids.next()), level: level, lo: g.lo, hi: hi, cover: &w.builder.cover}
	if err := w.store(ctx, seg); err != nil {
		return false, fmt.Errorf("store segment: %w", err)
	}
	w.s.metrics.indexed.Add(float64(seg.cover.n))
	return true, nil
}

// tailDocs is how many new messages are worth a segment.
func (s *Store) tailDocs() int { return max(s.opts.sizes.docs/tailParts, 1) }

// indexStride is how many messages are indexed between two rests.
const indexStride = 32

// collect gathers the grams of messages, and makes the keys by which they are ordered: a SORT should not have to read what
// has been read here. If there are too many it stops at the UID that it returns, else it returns 0.
func (w *indexing) collect(ctx context.Context, snap *store.Snapshot) (int64, error) {
	w.builder.reset()
	w.keys = w.keys[:0]
	n, began := 0, time.Now()
	want := store.WithPart | store.WithHeader | store.WithBody | store.Passing
	for m, err := range w.a.Messages(ctx, snap, allUIDs, want) {
		if m == nil {
			return 0, err
		}
		w.set.reset()
		if err == nil {
			err = w.read(m)
		}
		switch {
		case err != nil && !unreadable(err):
			return 0, err
		case err != nil || w.set.odd:
			w.s.metrics.unindexed.Inc()
		default:
			w.builder.add(m.UID, w.set.list)
		}
		if w.builder.full() {
			return int64(m.UID), nil
		}
		if n++; n%indexStride == 0 {
			if err := w.rest(ctx, began); err != nil {
				return 0, err
			}
			began = time.Now()
		}
	}
	return 0, ctx.Err()
}

// read takes from a message what the index and the keys need of it.
func (w *indexing) read(m *store.Message) error {
	f, err := store.KeyFields(m)
	if err != nil {
		return err
	}
	w.keys = append(w.keys, keyRow{m.UID, m.ID, f})
	return m.Part.Texts(m.Body, w.set)
}

const sqlPutSeg = `
insert into fts_seg (account_id, mailbox_id, seg, level, state, lo, hi, cover, bits, octets)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

func putSeg(ctx context.Context, tx pgx.Tx, key boxKey, g *gramSeg) error {
	_, err := tx.Exec(ctx, sqlPutSeg, key.account, key.box, g.seg, g.level, g.state, g.lo, g.hi, g.cover.encode(), g.bits, g.octets)
	return err
}

// store writes the segment that the builder has collected, and the keys of its messages.
func (w *indexing) store(ctx context.Context, seg *gramSeg) error {
	began := time.Now()
	err := w.guarded(ctx, func(tx pgx.Tx) (err error) {
		b := &blockBatch{tx: tx, k: w.k, key: w.key, seg: seg.seg}
		seg.bits, err = w.builder.blocks(func(block int, raw []byte) error { return b.put(ctx, block, raw) })
		if err != nil {
			return err
		}
		if err := b.flush(ctx); err != nil {
			return err
		}
		seg.octets = b.total
		if err := putSeg(ctx, tx, w.key, seg); err != nil {
			return err
		}
		keys := &keyWriter{s: w.s, tx: tx, key: w.key, dk: w.k}
		return keys.add(ctx, w.keys)
	})
	if err != nil {
		return err
	}
	return w.rest(ctx, began)
}

const sqlGramLive = `
select count(*)
from messages
where account_id = $1 and mailbox_id = $2 and uid between $3 and $4`

// shed looks now and then at one segment, another each time: if half of its messages have gone, it is written anew without
// them.
func (w *indexing) shed(ctx context.Context, ready []*gramSeg) error {
	if len(ready) == 0 || rand.IntN(tailParts) > 0 {
		return nil
	}
	g := ready[rand.IntN(len(ready))]
	var live int
	if err := w.s.pool.QueryRow(ctx, sqlGramLive, w.key.account, w.key.box, g.lo, g.hi).Scan(&live); err != nil {
		return err
	}
	if g.cover.n == 0 || live > g.cover.n/2 {
		return nil
	}
	return w.merge(ctx, []*gramSeg{g}, g.level)
}
