package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"postern/pkg/store"
)

// load reads a whole mailbox, and has its packed index written if there is none of use.
func (s *Store) load(ctx context.Context, e *cached) (*version, error) {
	v, err := s.loadVersion(ctx, e)
	if err != nil {
		return nil, err
	}
	e.drift = v.snap.Len() - int(v.box.Messages)
	if e.drift != 0 {
		s.log.Error("a mailbox's counter of messages is wrong", append(e.key.fields(), zap.Int("by", e.drift))...)
	}
	s.saveLater(e, v.snap)
	return v, nil
}

// loadVersion reads what was packed and what happened since, or all rows if nothing of use was packed.
func (s *Store) loadVersion(ctx context.Context, e *cached) (*version, error) {
	began := s.cache.moment()
	var l loading
	if err := s.pool.SendBatch(ctx, l.queue(e.key)).Close(); err != nil {
		return nil, err
	}
	snap, differ, ok := l.snapshot()
	if !ok {
		s.log.Warn("a mailbox's packed index is of no use; writing it anew", e.key.fields()...)
		l = loading{}
		if err := s.pool.SendBatch(ctx, l.queueRows(e.key)).Close(); err != nil {
			return nil, err
		}
		snap, differ, _ = l.snapshot()
	}
	e.differ = differ
	s.remember(e.key, l.state, began)
	return &version{snap: snap, box: l.box}, nil
}

const sqlSegments = `
select seg, lo, hi, n, as_of, data
from mailbox_index
where account_id = $1 and mailbox_id = $2
order by seg`

// What came after the packed segments, whose answer need not be waited for: without segments, that is no journal and all
// messages.
const (
	sqlJournalUnpacked = selectJournal + `(
  select min(as_of)
  from mailbox_index
  where account_id = $1 and mailbox_id = $2
)
order by modseq`

	sqlArrivalsUnpacked = selectArrivals + `> (
  select coalesce(max(hi), 0)
  from mailbox_index
  where account_id = $1 and mailbox_id = $2
)
order by uid`
)

// loading is a whole mailbox, as one round trip brings it.
type loading struct {
	delta
	packed   *store.Columns // nil without segments
	base     store.Mailbox  // as of when the segments were packed
	segments int
	damaged  bool
}

// queue makes the pipeline that reads what was packed and what happened since.
func (l *loading) queue(key boxKey) *pgx.Batch {
	b := l.begin(key)
	b.Queue(sqlSegments, key.account, key.box).Query(l.unpack)
	b.Queue(sqlJournalUnpacked, key.account, key.box).Query(l.readJournal)
	b.Queue(sqlArrivalsUnpacked, key.account, key.box).Query(l.readArrivals)
	b.Queue(`commit`)
	return b
}

// queueRows makes the pipeline that reads rows alone.
func (l *loading) queueRows(key boxKey) *pgx.Batch {
	b := l.begin(key)
	b.Queue(sqlArrivals, key.account, key.box, 0).Query(l.readArrivals)
	b.Queue(`commit`)
	return b
}

// sqlPlanOnce has what follows in a transaction run by plans that were made when the connection was (warm): for the first
// mailbox of a process to plan again for its very arguments would take longer than all the rest. Rows come in the order of the key,
// and are not sorted, whatever number of them the planner expects (byKey).
const sqlPlanOnce = `
select set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_bitmapscan', 'off', true)`

func (l *loading) begin(key boxKey) *pgx.Batch {
	b := new(pgx.Batch)
	b.Queue(sqlTogether)
	b.Queue(sqlPlanOnce)
	l.queueState(b, key)
	return b
}

// unpack reads the segments.
func (l *loading) unpack(rows pgx.Rows) error {
	l.base = l.box
	for rows.Next() {
		var g segment
		var data []byte
		if err := rows.Scan(&g.seg, &g.lo, &g.hi, &g.n, &g.asOf, &data); err != nil {
			return err
		}
		if l.segments++; l.segments == 1 {
			l.base.ModSeq, l.base.UIDNext = g.asOf, 1
			l.packed = store.NewColumns(int(l.box.Messages))
		}
		if err := g.unpack(l.packed, int64(l.base.UIDNext), data); err != nil {
			l.damaged = true // reading on is simpler than giving up in the middle, and this hardly ever happens
		}
		l.base.ModSeq = min(l.base.ModSeq, g.asOf)
		l.base.UIDNext = max(l.base.UIDNext, uidOf(g.hi+1))
	}
	return rows.Err()
}

func (l *loading) readArrivals(rows pgx.Rows) (err error) {
	l.arrivals, err = readRows(rows, make([]store.Row, 0, max(int(l.box.Messages)-l.unpacked(), 0)))
	return err
}

func (l *loading) unpacked() int {
	if l.packed == nil {
		return 0
	}
	return l.packed.Len()
}

// snapshot makes the mailbox of it, and says by how many messages the packed segments are behind. It reports false if it
// cannot: they are damaged, or older than the journal, or do not agree with the number of messages.
func (l *loading) snapshot() (snap *store.Snapshot, differ int, ok bool) {
	if l.segments == 0 {
		return store.NewSnapshot(l.box, l.flagKeywords(0), l.arrivals), len(l.arrivals), true
	}
	if l.damaged || l.packed.Len() == 0 || l.journalFrom > l.base.ModSeq || l.base.ModSeq > l.box.ModSeq || l.base.UIDNext > l.box.UIDNext {
		return nil, 0, false
	}
	snap, ch, ok := l.apply(store.NewSnapshotOf(l.base, l.flagKeywords(0), l.packed), 0)
	return snap, changeCount(ch), ok
}
