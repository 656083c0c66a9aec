package postgres

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/pkg/store"
)

const (
	maxLanes    = 4
	laneQueue   = 64  // deliveries that wait before their senders do
	laneBatch   = 128 // deliveries in one commit
	laneOctets  = 4 << 20
	laneTimeout = time.Minute // for one commit

	aloneCount = 8 // deliveries under way outside the lanes
)

// forLanes configures the lanes' connections. Their statements find rows by key and nothing else, so a plan made
// once is as good as any; to make one takes longer than to run it. And a lane does not stand in line for one mailbox.
func forLanes(cfg *pgxpool.Config) {
	cfg.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	cfg.ConnConfig.RuntimeParams["lock_timeout"] = "250ms"
}

// delivery is one Append: messages for one mailbox that become visible together.
type delivery struct {
	ctx      context.Context
	a        *account
	box      store.MailboxID
	arrivals []*arrival
	size     int64
	frees    int64 // octets that go when these come
	keywords bool  // some flag must be looked up in the mailbox's list
	done     chan error
	answered bool // nobody but the sender uses it any more
}

// live are the messages to be stored.
func (d *delivery) live() []*arrival {
	if !slices.ContainsFunc(d.arrivals, func(m *arrival) bool { return m.duplicate }) {
		return d.arrivals
	}
	var live []*arrival
	for _, m := range d.arrivals {
		if !m.duplicate {
			live = append(live, m)
		}
	}
	return live
}

func (d *delivery) octets() (n int) {
	for _, m := range d.arrivals {
		n += m.octets()
	}
	return n
}

// lane commits deliveries: all that wait when it is free, in one transaction. There is no timer, so a delivery that comes
// alone is not held up; those that come while a commit is under way share the next one. An account's deliveries go
// through one lane, which so can count its quota.
type lane struct {
	s     *Store
	life  context.Context // ends when the store closes
	queue chan *delivery
	ended chan struct{} // closed when nothing more is taken from queue
}

// laneCount is one for two processors, because PostgreSQL works for each lane on another one: more lanes than that make more
// commits, and smaller ones.
func laneCount() int { return min(max(runtime.GOMAXPROCS(0)/2, 1), maxLanes) }

func (s *Store) startLanes(ctx context.Context) {
	for range laneCount() {
		l := &lane{s: s, life: ctx, queue: make(chan *delivery, laneQueue), ended: make(chan struct{})}
		s.lanes = append(s.lanes, l)
		s.background(ctx, l.run)
	}
}

var errClosing = fmt.Errorf("the store is closing: %w", store.ErrUnavailable)

// deliver stores what Append has prepared. On return it is committed, or failed; if ctx has ended, nobody knows.
func (a *account) deliver(ctx context.Context, d *delivery) error {
	if d.keywords {
		d.answered = true
		return a.deliverAlone(ctx, d)
	}
	l := a.s.lanes[uint64(a.id)%uint64(len(a.s.lanes))]
	select {
	case l.queue <- d:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-l.ended:
		return errClosing
	}
	select {
	case err := <-d.done:
		d.answered = true
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-l.ended:
	}
	select {
	case err := <-d.done: // it was in the last batch
		d.answered = true
		return err
	default:
		return errClosing
	}
}

func (l *lane) run(ctx context.Context) {
	defer close(l.ended)
	var next *delivery
	for {
		if next == nil {
			select {
			case next = <-l.queue:
			case <-ctx.Done():
				return
			}
		}
		var batch []*delivery
		batch, next = l.gather(next)
		l.commit(context.WithoutCancel(ctx), batch) // what has begun is finished when the store closes
	}
}

// gather takes what is waiting, and returns separately a delivery that no longer fits.
func (l *lane) gather(first *delivery) (batch []*delivery, next *delivery) {
	batch = []*delivery{first}
	for octets := first.octets(); len(batch) < laneBatch; {
		select {
		case d := <-l.queue:
			if octets += d.octets(); octets > laneOctets {
				return batch, d
			}
			batch = append(batch, d)
		default:
			return batch, nil
		}
	}
	return batch, nil
}

// commit stores a batch and tells each sender how it went.
func (l *lane) commit(ctx context.Context, batch []*delivery) {
	ctx, cancel := context.WithTimeout(ctx, laneTimeout)
	defer cancel()
	l.s.works()
	batch = l.admit(ctx, batch)
	if len(batch) == 0 {
		return
	}
	err := l.s.storeBatch(ctx, l.s.deliveries, batch)
	if err == nil || !isRefused(err) {
		finish(batch, err) // without an answer from the server nobody knows what happened: to try again might store it twice
		return
	}
	for _, d := range batch { // one of them spoiled it for all, or waits for a mailbox
		l.s.background(ctx, func(context.Context) { l.storeAlone(d) })
	}
}

// finish publishes and answers.
func finish(batch []*delivery, err error) {
	for _, d := range batch {
		key := boxKey{d.a.id, d.box}
		switch {
		case err != nil:
			d.a.s.doubt(d.a.id, err)
		case len(d.live()) == 0:
			d.a.s.cache.outdate(key) // it had come when nobody could say so
		default:
			d.a.s.published(d.a.id, d.box)
			d.a.s.grams.delivered(key, len(d.live()))
		}
		d.done <- err
	}
}

// admit answers those deliveries that need not be tried: their sender has gone, or their account is full.
func (l *lane) admit(ctx context.Context, batch []*delivery) []*delivery {
	ids := make([]store.AccountID, len(batch))
	for i, d := range batch {
		ids[i] = d.a.id
	}
	left, err := l.s.room(ctx, l.s.pool, ids...)
	if err != nil {
		finish(batch, err)
		return nil
	}
	admitted := batch[:0]
	for _, d := range batch {
		one, limited := left[d.a.id]
		over := error(nil)
		if limited {
			over = one.fits(d.size, len(d.live()))
		}
		switch {
		case d.ctx.Err() != nil:
			d.done <- context.Cause(d.ctx)
		case over != nil:
			d.done <- over
		default:
			if limited {
				left[d.a.id] = space{one.octets - d.size, one.messages - int64(len(d.live()))}
			}
			admitted = append(admitted, d)
		}
	}
	return admitted
}

// deliverAlone is for deliveries whose flags name keywords: the mailbox must be locked before their bits are known.
func (a *account) deliverAlone(ctx context.Context, d *delivery) error {
	return a.s.onlyNew(ctx, d, func() error {
		return a.write(ctx, "deliver", []store.MailboxID{d.box}, func(tx pgx.Tx, at []*lockedBox) error {
			if err := a.s.mayGrow(ctx, tx, a.id, d.size, len(d.live())); err != nil {
				return err
			}
			if err := a.nameFlags(ctx, tx, d); err != nil {
				return err
			}
			at[0].changed = len(d.live()) > 0
			return a.s.storeBatch(ctx, tx, []*delivery{d})
		})
	})
}

// nameFlags looks up the keywords of a delivery's messages. The mailbox must be locked.
func (a *account) nameFlags(ctx context.Context, tx pgx.Tx, d *delivery) error {
	known, err := a.keywords(ctx, tx, d.box)
	if err != nil {
		return err
	}
	for _, m := range d.live() {
		bits, added, err := store.FlagBits(m.flagNames, known)
		if err != nil {
			return err
		}
		if known, err = a.addKeywords(ctx, tx, d.box, known, added); err != nil {
			return err
		}
		m.kw = int64(bits.Keywords)
	}
	return nil
}

// storeAlone stores a delivery outside the lane, when it is its turn, and answers.
func (l *lane) storeAlone(d *delivery) {
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	defer context.AfterFunc(l.life, cancel)()
	select {
	case l.s.alone <- struct{}{}:
		defer func() { <-l.s.alone }()
		finish([]*delivery{d}, l.s.storeOne(ctx, d))
	case <-ctx.Done():
		d.done <- errClosing
	}
}

// storeOne stores one delivery in a transaction of its own.
func (s *Store) storeOne(ctx context.Context, d *delivery) error {
	return s.onlyNew(ctx, d, func() error {
		return retry(func() error { return s.storeBatch(ctx, s.pool, []*delivery{d}) })
	})
}

// onlyNew runs a transaction that stores d, and if it failed because messages of d were delivered before, again without
// these.
func (s *Store) onlyNew(ctx context.Context, d *delivery, run func() error) error {
	err := run()
	for try := 0; isDuplicate(err, "deliveries") && try < 3; try++ {
		if err := s.markDuplicates(ctx, d); err != nil {
			return err
		}
		err = run()
	}
	return err
}

const (
	sqlForgetDelivered = `
delete from deliveries
where account_id = $1 and key = any($2) and at < now() - interval '24 hours'`

	sqlDelivered = `
select key
from deliveries
where account_id = $1 and key = any($2)`
)

// markDuplicates finds out which messages have been delivered before, and makes way for those long ago.
func (s *Store) markDuplicates(ctx context.Context, d *delivery) error {
	var keys [][]byte
	for _, m := range d.live() {
		if m.key != nil {
			keys = append(keys, m.key)
		}
	}
	var b pgx.Batch
	b.Queue(sqlForgetDelivered, d.a.id, keys)
	b.Queue(sqlDelivered, d.a.id, keys).Query(func(rows pgx.Rows) error {
		var key []byte
		_, err := pgx.ForEachRow(rows, []any{&key}, func() error {
			for _, m := range d.arrivals {
				m.duplicate = m.duplicate || bytes.Equal(m.key, key)
			}
			return nil
		})
		return err
	})
	return s.pool.SendBatch(ctx, &b).Close()
}
