package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"postern/pkg/store"
)

const (
	// DefaultIndexFrom is how many messages a mailbox must have to be indexed unless Options say otherwise: below,
	// reading is as fast.
	DefaultIndexFrom = 2000
	// DefaultIndexLoad is how much of a processor indexing may take unless Options say otherwise, in percent.
	DefaultIndexLoad = 50

	gramWalkPage  = 1000             // mailboxes looked at together
	gramWalkPause = time.Second      // between two pages
	gramRoundTime = 30 * time.Second // at least, between two looks at all mailboxes
	gramArrivals  = 128              // deliveries to a mailbox after which it is looked at
	gramQueue     = 10_000           // mailboxes that are remembered; a walk finds the others

	gramClaim = 2 * time.Minute  // so long a mailbox is one process's, after it was last heard of
	gramBeat  = 20 * time.Second // how often it is heard of
)

// gramWork is what the indexer has to do. It is safe for concurrent use.
type gramWork struct {
	wake chan struct{}

	mu      sync.Mutex
	due     map[boxKey]bool // to be looked at; true: something is wrong with its index
	arrived map[boxKey]int  // deliveries since
}

func newGramWork() *gramWork {
	return &gramWork{wake: make(chan struct{}, 1), due: make(map[boxKey]bool), arrived: make(map[boxKey]int)}
}

// delivered counts messages that have come into a mailbox here.
func (w *gramWork) delivered(key boxKey, n int) {
	w.mu.Lock()
	if len(w.arrived) > gramQueue {
		clear(w.arrived)
	}
	w.arrived[key] += n
	enough := w.arrived[key] >= gramArrivals
	if enough {
		delete(w.arrived, key)
	}
	w.mu.Unlock()
	if enough {
		w.behind(key)
	}
}

// behind says that a mailbox may have messages to index.
func (w *gramWork) behind(key boxKey) { w.add(key, false) }

// broken says that the index of a mailbox cannot be read.
func (w *gramWork) broken(key boxKey) { w.add(key, true) }

func (w *gramWork) add(key boxKey, broken bool) {
	w.mu.Lock()
	if len(w.due) < gramQueue {
		w.due[key] = w.due[key] || broken
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// take returns something to do.
func (w *gramWork) take() (key boxKey, broken, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, broken = range w.due {
		delete(w.due, key)
		return key, broken, true
	}
	return key, false, false
}

// keepIndexed builds the substring index until ctx ends: of the mailboxes that it is told of, and of those that it finds
// by looking at all of them, some at a time.
func (s *Store) keepIndexed(ctx context.Context) {
	w := &gramWalk{s: s, began: time.Now()}
	tick := time.NewTimer(gramWalkPause)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-s.grams.wake:
		case <-tick.C:
			s.outage.report("index", w.page(ctx))
			tick.Reset(w.pause())
		case <-ctx.Done():
			return
		}
		s.indexDue(ctx)
	}
}

// indexDue indexes the mailboxes that are due.
func (s *Store) indexDue(ctx context.Context) {
	for s.opts.IndexFrom > 0 && ctx.Err() == nil {
		key, broken, ok := s.grams.take()
		if !ok {
			return
		}
		s.outage.report("index", s.indexBox(ctx, key, broken))
	}
}

// gramWalk goes through all mailboxes in the order of their keys.
type gramWalk struct {
	s     *Store
	at    boxKey // the last one seen
	began time.Time
	lag   int64
	end   bool
}

const sqlGramWalk = `
select m.account_id, m.mailbox_id, m.n_msgs, m.uidnext, coalesce(case when m.n_msgs >= $3 then (
  select max(hi)
  from fts_seg f
  where f.account_id = m.account_id and f.mailbox_id = m.mailbox_id and f.state = 0
) end, 0)
from mailbox_state m
where (m.account_id, m.mailbox_id) > ($1, $2)
order by m.account_id, m.mailbox_id
limit $4`

// page looks at some mailboxes.
func (w *gramWalk) page(ctx context.Context) error {
	if w.end {
		*w = gramWalk{s: w.s, began: time.Now()}
	}
	if err := w.s.dropBlocks(ctx); err != nil {
		return err
	}
	if w.s.opts.IndexFrom < 0 {
		w.end = true
		return nil
	}
	rows, err := w.s.pool.Query(ctx, sqlGramWalk, w.at.account, w.at.box, w.s.opts.IndexFrom, gramWalkPage)
	if err != nil {
		return err
	}
	var key boxKey
	var count, next, indexed int64
	tag, err := pgx.ForEachRow(rows, []any{&key.account, &key.box, &count, &next, &indexed}, func() error {
		w.at = key
		if behind := min(count, next-1-indexed); count >= int64(w.s.opts.IndexFrom) {
			w.lag += behind
			if behind >= int64(w.s.tailDocs()) {
				w.s.grams.behind(key)
			}
		}
		return nil
	})
	if w.end = err == nil && tag.RowsAffected() < gramWalkPage; w.end {
		w.s.metrics.indexLag.Set(float64(w.lag))
	}
	return err
}

// pause is how long to wait for the next page.
func (w *gramWalk) pause() time.Duration {
	if w.end {
		return max(gramWalkPause, gramRoundTime-time.Since(w.began))
	}
	return gramWalkPause
}

// errClaim is returned when a mailbox is not, or no longer, ours to index.
var errClaim = errors.New("the mailbox is being indexed by another process, or gone")

const sqlGramClaim = `
insert into fts_state as f (account_id, mailbox_id, holder, until)
select account_id, mailbox_id, $3, now() + $4::interval
from mailbox_state
where account_id = $1 and mailbox_id = $2 and n_msgs >= $5
on conflict (account_id, mailbox_id) do update
set holder = excluded.holder, until = excluded.until
where f.until <= now()`

const sqlGramHold = `
update fts_state
set until = now() + $4::interval
where account_id = $1 and mailbox_id = $2 and holder = $3`

const sqlGramRelease = `
delete from fts_state
where account_id = $1 and mailbox_id = $2 and holder = $3`

// indexing is the work on one mailbox, which this process has claimed.
type indexing struct {
	s      *Store
	a      *account
	key    boxKey
	k      *dataKey
	holder int64
	beat   time.Time // of the claim

	set     *gramSet
	builder *segmentBuilder
	keys    []keyRow // of the messages that were read for the segment
}

// indexBox brings the index of a mailbox up to date. If another process is at it, that is all right.
func (s *Store) indexBox(ctx context.Context, key boxKey, broken bool) error {
	w := &indexing{
		s: s, a: &account{s: s, id: key.account, behind: true}, key: key, holder: rand.Int64(), beat: time.Now(),
		set: newGramSet(), builder: &segmentBuilder{docs: s.opts.sizes.docs},
	}
	tag, err := s.pool.Exec(ctx, sqlGramClaim, key.account, key.box, w.holder, gramClaim, s.opts.IndexFrom)
	if err != nil || tag.RowsAffected() == 0 {
		return failed("index", err)
	}
	defer w.release(ctx)
	if w.k, err = s.key(ctx, key.account); err != nil {
		return failed("index", err)
	}
	if broken {
		err = w.dropBroken(ctx)
	}
	for more := true; err == nil && more; {
		more, err = w.step(ctx)
	}
	if errors.Is(err, errDamaged) {
		s.log.Warn("the substring index of a mailbox is damaged; building it anew", append(key.fields(), zap.Error(err))...)
		err = w.dropBroken(ctx)
	}
	if errors.Is(err, errClaim) || errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return failed("index", err)
}

func (w *indexing) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if _, err := w.s.pool.Exec(ctx, sqlGramRelease, w.key.account, w.key.box, w.holder); err != nil {
		w.s.log.Debug("releasing a mailbox's index failed", zap.Error(err)) // it runs out
	}
}

// step does one thing that is to be done, and reports whether there was any.
func (w *indexing) step(ctx context.Context) (bool, error) {
	ready, other, err := gramSegs(ctx, w.s.pool, w.key)
	if err != nil {
		return false, err
	}
	for _, out := range other {
		return true, w.resume(ctx, out, ready)
	}
	if run, level := mergeable(ready, w.s.opts.sizes.merge); run != nil && firstGap(ready).hi == maxUID {
		return true, w.merge(ctx, run, level)
	}
	built, err := w.build(ctx, ready)
	if err != nil {
		return false, err
	}
	if !built {
		return w.renew(ctx, ready)
	}
	return true, w.shed(ctx, ready)
}

// renew gives up a segment made by older rules, so that its messages are indexed anew: searches read them meanwhile, and
// have the other segments. It reports whether there was one.
func (w *indexing) renew(ctx context.Context, ready []*gramSeg) (bool, error) {
	i := slices.IndexFunc(ready, renewable)
	if i < 0 {
		return false, nil
	}
	return true, w.drop(ctx, ready[i])
}

// renewMost is how many messages are not too many to be read by searches for a while, some seconds' work. Larger segments made
// by older rules stay as they are.
const renewMost = 64 * segmentDocs

func renewable(g *gramSeg) bool { return g.cover.old && g.cover.n <= renewMost }

// guarded runs steps in a transaction in which the mailbox is ours. It need not be on disk when it returns: what is lost
// is built again.
func (w *indexing) guarded(ctx context.Context, steps func(tx pgx.Tx) error) error {
	return w.s.transact(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `set local synchronous_commit = off`); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, sqlGramHold, w.key.account, w.key.box, w.holder, gramClaim)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return errClaim
		}
		w.beat = time.Now()
		return steps(tx)
	})
}

// busyShare is how many times less the index takes of a processor while mail is delivered or read.
const busyShare = 8

// rest gives others the processor after so much work, and keeps the mailbox ours.
func (w *indexing) rest(ctx context.Context, since time.Time) error {
	if time.Since(w.beat) > gramBeat {
		if err := w.guarded(ctx, func(pgx.Tx) error { return nil }); err != nil {
			return err
		}
	}
	load := time.Duration(min(max(w.s.opts.IndexLoad, 1), 100))
	if w.s.busy() {
		load = max(load/busyShare, 1)
	}
	return sleep(ctx, min(time.Since(since)*(100-load)/load, gramBeat))
}
