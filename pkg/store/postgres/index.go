package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"postern/pkg/store"
)

const (
	// packFrom is how many messages a mailbox must have for its index to be kept packed: below, reading rows is as fast.
	packFrom = 500
	// packBehind is by how many messages, and of a smaller mailbox by which part of them, the packed index may be behind while the
	// mailbox is in memory.
	packBehind     = 4096
	packBehindPart = 2
	// packEvicted is by how many it may be behind when the mailbox leaves memory.
	packEvicted = 256
	// packQueue is how many mailboxes may wait for their index to be written. More are skipped: it is only a cache.
	packQueue = 16
	// packLastFor is for how long indexes are written when a server stops.
	packLastFor = 2 * time.Second
)

// segment is what the database says of a packed segment of mailbox_index. Segments lie one after another without
// overlap, each answering for the UIDs from lo to hi.
type segment struct {
	seg    int
	lo, hi int64
	n      int
	asOf   store.ModSeq
}

// unpack appends the segment's messages to all and checks that they are where they should be. After an error all is of no use.
func (g *segment) unpack(all *store.Columns, from int64, data []byte) error {
	msgs, err := unpackInto(all, data)
	if err != nil {
		return err
	}
	for _, uid := range msgs.UID {
		if int64(uid) < from || int64(uid) < g.lo || int64(uid) > g.hi {
			return fmt.Errorf("%w: order", errPacked)
		}
		from = int64(uid) + 1
	}
	return nil
}

// packJob asks for a mailbox's index to be written.
type packJob struct {
	key  boxKey
	snap *store.Snapshot
}

// saveLater has the packed index written if it is far behind. It runs in e's flight.
func (s *Store) saveLater(e *cached, snap *store.Snapshot) {
	if snap.Len() >= packFrom && e.differ > min(packBehind, snap.Len()/packBehindPart) {
		s.enqueuePack(e, snap)
	}
}

// saveEvicted does the same for a mailbox that is being dropped from memory.
func (s *Store) saveEvicted(e *cached) {
	if e.behind() {
		s.enqueuePack(e, e.now.snap)
	}
}

// behind reports whether the packed index is too far behind for a mailbox that leaves memory. No flight is in the air.
func (e *cached) behind() bool {
	return e.now != nil && e.differ > packEvicted && e.now.snap.Len() >= packFrom
}

func (s *Store) enqueuePack(e *cached, snap *store.Snapshot) {
	select {
	case s.packs <- packJob{e.key, snap}:
		e.differ = 0
	default:
	}
}

// keepPacked writes packed indexes, one at a time, in the background.
func (s *Store) keepPacked(ctx context.Context) {
	for {
		select {
		case job := <-s.packs:
			if err := s.writePacked(ctx, job); err != nil && !errors.Is(err, context.Canceled) {
				s.log.Warn("writing a packed index failed", append(job.key.fields(), zap.Error(err))...)
			}
		case <-ctx.Done():
			if s.opts.Warm {
				s.packLast(context.WithoutCancel(ctx))
			}
			return
		}
	}
}

// packLast brings the packed indexes of what is in memory up to date when a server stops, the mailbox used last first, for
// packLastFor at most. To read what one is behind by takes the next server longer than to write it takes this one.
func (s *Store) packLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, packLastFor)
	defer cancel()
	jobs := s.cache.behind()
	for range len(s.packs) {
		jobs = append(jobs, <-s.packs)
	}
	for _, job := range jobs {
		if err := s.writePacked(ctx, job); err != nil {
			s.log.Debug("writing a packed index at the end failed", append(job.key.fields(), zap.Error(err))...)
			return
		}
	}
}

const sqlLockSegments = `
select seg, lo, hi, n, as_of
from mailbox_index
where account_id = $1 and mailbox_id = $2
order by seg
for update`

const sqlTouchSegments = `
update mailbox_index
set as_of = $3
where account_id = $1 and mailbox_id = $2 and seg = any($4)`

const sqlDropSegments = `
delete from mailbox_index
where account_id = $1 and mailbox_id = $2 and seg >= $3`

// The mailbox may have been deleted meanwhile.
const sqlPutSegment = `
insert into mailbox_index (account_id, mailbox_id, seg, lo, hi, n, as_of, data)
select $1, $2, $3, $4, $5, $6, $7, $8
where exists (select from mailbox_state where account_id = $1 and mailbox_id = $2)
on conflict (account_id, mailbox_id, seg) do update
set lo = excluded.lo, hi = excluded.hi, n = excluded.n, as_of = excluded.as_of, data = excluded.data`

// writePacked brings the packed index up to date: only segments in which something changed are written.
func (s *Store) writePacked(ctx context.Context, job packJob) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		old, err := lockSegments(ctx, tx, job.key)
		if err != nil {
			return err
		}
		plan := planSegments(job.snap, old)
		if plan == nil {
			return nil
		}
		return plan.run(ctx, tx, job)
	})
	return failed("write packed index", err)
}

func lockSegments(ctx context.Context, tx pgx.Tx, key boxKey) ([]segment, error) {
	rows, err := tx.Query(ctx, sqlLockSegments, key.account, key.box)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (g segment, err error) {
		err = row.Scan(&g.seg, &g.lo, &g.hi, &g.n, &g.asOf)
		return g, err
	})
}

// packPlan says what to do with the segments of a mailbox.
type packPlan struct {
	keep  []int         // segments in which nothing changed
	write []plannedPack // the others
	count int           // segments from here on are to go
}

type plannedPack struct {
	segment
	from, to int // places in the snapshot
}

// planSegments compares a Snapshot with the segments there are. It returns nil if they are newer.
func planSegments(snap *store.Snapshot, old []segment) *packPlan {
	p := new(packPlan)
	if len(old) > 2*(snap.Len()/segmentRows)+8 { // mostly holes
		old = nil
	}
	at := 0
	for i, g := range old {
		if g.asOf > snap.ModSeq() {
			return nil
		}
		if i == len(old)-1 || g.seg != i {
			break // the last one takes what is new
		}
		to, _ := snap.Find(uidOf(g.hi + 1))
		p.place(snap, g, at, to)
		at = to
	}
	p.rest(snap, old, at)
	return p
}

// place plans for a segment that is not the last: it holds the places [from, to).
func (p *packPlan) place(snap *store.Snapshot, g segment, from, to int) {
	p.count++
	if to-from == g.n && !changedSince(snap, g.asOf, from, to) {
		p.keep = append(p.keep, g.seg)
		return
	}
	g.n, g.asOf = to-from, snap.ModSeq()
	p.write = append(p.write, plannedPack{g, from, to})
}

// rest plans new segments for the places from at on.
func (p *packPlan) rest(snap *store.Snapshot, old []segment, at int) {
	lo := int64(1)
	if p.count > 0 {
		lo = old[p.count-1].hi + 1
	}
	for {
		to := min(at+segmentRows, snap.Len())
		hi := int64(snap.UIDNext()) - 1
		if to < snap.Len() {
			hi = int64(snap.UID(to)) - 1
		}
		g := segment{seg: p.count, lo: lo, hi: hi, n: to - at, asOf: snap.ModSeq()}
		p.write = append(p.write, plannedPack{g, at, to})
		p.count++
		if to == snap.Len() {
			return
		}
		at, lo = to, hi+1
	}
}

func changedSince(snap *store.Snapshot, at store.ModSeq, from, to int) bool {
	for i := from; i < to; i++ {
		if snap.Entry(i).ModSeq > at {
			return true
		}
	}
	return false
}

// packBatch is how many segments are sent at a time.
const packBatch = 32

// run carries the plan out.
func (p *packPlan) run(ctx context.Context, tx pgx.Tx, job packJob) error {
	b := new(pgx.Batch)
	b.Queue(sqlTouchSegments, job.key.account, job.key.box, int64(job.snap.ModSeq()), p.keep)
	b.Queue(sqlDropSegments, job.key.account, job.key.box, p.count)
	for _, w := range p.write {
		w.queue(b, job)
		if b.Len() >= packBatch {
			if err := tx.SendBatch(ctx, b).Close(); err != nil {
				return err
			}
			b = new(pgx.Batch)
		}
	}
	return tx.SendBatch(ctx, b).Close()
}

func (w *plannedPack) queue(b *pgx.Batch, job packJob) {
	rows := make([]store.Row, 0, w.to-w.from)
	for i := w.from; i < w.to; i++ {
		rows = append(rows, job.snap.Row(i))
	}
	b.Queue(sqlPutSegment, job.key.account, job.key.box, w.seg, w.lo, w.hi, w.n, int64(w.asOf), packRows(rows))
}

// uidOf makes a UID of a number that may be one too great.
func uidOf(n int64) imap.UID { return imap.UID(min(n, 1<<32-1)) }
