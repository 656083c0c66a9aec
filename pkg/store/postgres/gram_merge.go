package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"
)

// mergeCount is how many neighbours of a level make one segment of the next.
const mergeCount = 16

// mergeable finds neighbours to merge, and the level of what comes of it, or returns nil. What fills a gap between
// greater segments becomes one of them; and so many of a level as make one of the next do, the lowest level first.
func mergeable(ready []*gramSeg, count int) (run []*gramSeg, level int) {
	levels, top := make([]int, len(ready)), 0
	for i, g := range ready {
		levels[i] = g.level
		top = max(top, g.level)
	}
	for level := top; level > levelTail; level-- {
		if from, to := enclosed(levels, level); from < to {
			return ready[from:min(to, from+4*count)], level
		}
	}
	for level := levelTail; level <= top; level++ {
		need := count
		if level == levelTail {
			need = tailParts
		}
		n := 0
		for i := range ready {
			if n++; levels[i] != level {
				n = 0
			}
			if n == need {
				return ready[i-n+1 : i+1], level + 1
			}
		}
	}
	return nil, 0
}

// enclosed finds several neighbours below a level between two that are not. One alone is taken for one of that level.
func enclosed(levels []int, level int) (from, to int) {
	for i := 0; i < len(levels); i++ {
		if levels[i] >= level {
			continue
		}
		from := i
		for i < len(levels) && levels[i] < level {
			i++
		}
		switch {
		case from == 0 || i == len(levels):
		case i-from > 1:
			return from, i
		default:
			levels[from] = level
		}
	}
	return 0, 0
}

const (
	sqlGramUIDs = `
select uid
from messages
where account_id = $1 and mailbox_id = $2 and uid between $3 and $4
order by uid`

	sqlMergeInto = `
update fts_seg
set into_seg = $4
where account_id = $1 and mailbox_id = $2 and seg = any($3)`
)

// merge makes one segment of several neighbours, without the messages that have gone.
func (w *indexing) merge(ctx context.Context, from []*gramSeg, level int) error {
	out := &gramSeg{
		seg: int64(w.s.ids.next()), level: level, state: segMerging, cover: new(cover),
		lo: from[0].lo, hi: from[len(from)-1].hi,
	}
	if err := w.live(ctx, out, from); err != nil {
		return err
	}
	ids := make([]int64, len(from))
	for i, g := range from {
		ids[i], g.into = g.seg, out.seg
		out.octets += g.octets
		out.cover.old = out.cover.old || g.cover.old
	}
	out.bits, out.octets = bitsFor(out.octets), 0
	err := w.guarded(ctx, func(tx pgx.Tx) error {
		if err := putSeg(ctx, tx, w.key, out); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, sqlMergeInto, w.key.account, w.key.box, ids, out.seg)
		return err
	})
	if err != nil {
		return fmt.Errorf("begin merge: %w", err)
	}
	return w.finish(ctx, out, from)
}

// live makes the cover of out: the messages of from that are still there.
func (w *indexing) live(ctx context.Context, out *gramSeg, from []*gramSeg) error {
	rows, err := w.s.pool.Query(ctx, sqlGramUIDs, w.key.account, w.key.box, out.lo, out.hi)
	if err != nil {
		return err
	}
	var uid int64
	_, err = pgx.ForEachRow(rows, []any{&uid}, func() error {
		for len(from) > 1 && uid > from[0].hi {
			from = from[1:]
		}
		if _, ok := from[0].cover.place(imap.UID(uid)); ok {
			out.cover.add(imap.UID(uid))
		}
		return nil
	})
	return err
}

// resume goes on with a merge that was begun before, here or by another process.
func (w *indexing) resume(ctx context.Context, out *gramSeg, ready []*gramSeg) error {
	var from []*gramSeg
	for _, g := range ready {
		if g.into == out.seg {
			from = append(from, g)
		}
	}
	if len(from) == 0 || from[0].lo != out.lo || from[len(from)-1].hi != out.hi {
		return w.drop(ctx, out)
	}
	return w.finish(ctx, out, from)
}

const (
	sqlMergeDone = `
update fts_seg
set done = $4, octets = octets + $5
where account_id = $1 and mailbox_id = $2 and seg = $3`

	sqlMergeReady = `
update fts_seg
set state = case when seg = $3 then 0 else 2 end, into_seg = null
where account_id = $1 and mailbox_id = $2 and (seg = $3 or seg = any($4))`
)

// finish writes the blocks of out that are missing, and lets it take the place of from.
func (w *indexing) finish(ctx context.Context, out *gramSeg, from []*gramSeg) error {
	m := newMerger(w, out, from)
	for out.done < 1<<out.bits {
		began := time.Now()
		if err := w.guarded(ctx, func(tx pgx.Tx) error { return m.some(ctx, tx) }); err != nil {
			return fmt.Errorf("merge: %w", err)
		}
		out.done = m.done
		if err := w.rest(ctx, began); err != nil {
			return err
		}
	}
	ids := make([]int64, len(from))
	for i, g := range from {
		ids[i] = g.seg
	}
	err := w.guarded(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sqlMergeReady, w.key.account, w.key.box, out.seg, ids)
		return err
	})
	if err != nil {
		return fmt.Errorf("end merge: %w", err)
	}
	w.s.metrics.indexMerged.Add(float64(len(from)))
	return w.s.dropBlocks(ctx)
}

// merger makes the blocks of one segment of those of others.
type merger struct {
	w      *indexing
	out    *gramSeg
	from   []*gramSeg
	places [][]int32 // of each of from: the place in out, or -1
	bits   int       // of the segment with the fewest blocks: what is merged at a time
	done   int
	merged []uint32
}

func newMerger(w *indexing, out *gramSeg, from []*gramSeg) *merger {
	m := &merger{w: w, out: out, from: from, places: make([][]int32, len(from)), bits: out.bits}
	for i, g := range from {
		m.bits = min(m.bits, g.bits)
		m.places[i] = make([]int32, 0, g.cover.n)
		for _, r := range g.cover.runs {
			for k := range r.n {
				place, ok := out.cover.place(r.uid + imap.UID(k))
				if !ok {
					place = -1
				}
				m.places[i] = append(m.places[i], int32(place))
			}
		}
	}
	return m
}

// some writes as many blocks as one transaction should.
func (m *merger) some(ctx context.Context, tx pgx.Tx) error {
	b := &blockBatch{tx: tx, k: m.w.k, key: m.w.key, seg: m.out.seg}
	step := 1 << (m.out.bits - m.bits)
	m.done = m.out.done
	for m.done < 1<<m.out.bits && b.total < int64(m.w.s.opts.sizes.batch) {
		writer := newBlockWriter(m.out.cover.n, m.out.bits, m.done, func(block int, raw []byte) error { return b.put(ctx, block, raw) })
		if err := m.slice(ctx, tx, m.done/step, writer); err != nil {
			return err
		}
		m.done += step
		if err := writer.advance(m.done); err != nil {
			return err
		}
	}
	if err := b.flush(ctx); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, sqlMergeDone, m.w.key.account, m.w.key.box, m.out.seg, m.done, b.total)
	return err
}

// slice merges the grams that begin with the given bits.
func (m *merger) slice(ctx context.Context, tx pgx.Tx, first int, writer *blockWriter) error {
	var want []blockKey
	for _, g := range m.from {
		n := 1 << (g.bits - m.bits)
		for i := range n {
			want = append(want, blockKey{g.seg, first*n + i})
		}
	}
	read := make(map[blockKey][]byte, len(want))
	err := readBlocks(ctx, tx, m.w.k, m.w.key, want, func(at blockKey, raw []byte) error {
		read[at] = raw
		return nil
	})
	if err != nil {
		return err
	}
	if len(read) < len(want) {
		return fmt.Errorf("%d blocks are missing: %w", len(want)-len(read), errBlock)
	}
	streams := make([]*gramStream, len(m.from))
	for i, g := range m.from {
		n := 1 << (g.bits - m.bits)
		s := &gramStream{seg: g}
		for k := range n {
			s.blocks = append(s.blocks, first*n+k)
			s.raw = append(s.raw, read[blockKey{g.seg, first*n + k}])
		}
		s.next()
		streams[i] = s
	}
	return m.weave(streams, writer)
}

// weave brings the grams of all streams together.
func (m *merger) weave(streams []*gramStream, writer *blockWriter) error {
	for {
		least, any := gram(0), false
		for _, s := range streams {
			if s.err != nil {
				return s.err
			}
			if s.r != nil && (!any || s.r.gram < least) {
				least, any = s.r.gram, true
			}
		}
		if !any {
			return nil
		}
		m.merged = m.merged[:0]
		for i, s := range streams {
			if s.r == nil || s.r.gram != least {
				continue
			}
			s.r.places(func(p int) {
				if to := m.places[i][p]; to >= 0 {
					m.merged = append(m.merged, uint32(to))
				}
			})
			s.next()
		}
		if len(m.merged) == 0 {
			continue
		}
		if err := writer.add(least, m.merged); err != nil {
			return err
		}
	}
}

// gramStream goes through several blocks of a segment, one after another.
type gramStream struct {
	seg    *gramSeg
	blocks []int
	raw    [][]byte
	r      *blockReader // at a gram; nil at the end
	err    error
}

func (s *gramStream) next() {
	for {
		if s.r != nil {
			if s.r.next() {
				return
			}
			if s.err = s.r.err; s.err != nil {
				return
			}
		}
		if len(s.blocks) == 0 {
			s.r = nil
			return
		}
		s.r = newBlockReader(s.raw[0], s.seg.cover.n, s.seg.bits, s.blocks[0])
		s.blocks, s.raw = s.blocks[1:], s.raw[1:]
	}
}
