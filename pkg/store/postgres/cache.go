package postgres

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"postern/pkg/store"
)

// flightTimeout bounds how long sessions wait together for one mailbox: enough to load a very large one from a slow disk.
const flightTimeout = 2 * time.Minute

// boxKey names a mailbox of any account.
type boxKey struct {
	account store.AccountID
	box     store.MailboxID
}

// cache holds the newest version of each mailbox that has been opened of late, up to a budget of memory; the one used
// longest ago goes first. Sessions keep the Snapshots they use, so a mailbox that was dropped while open comes back with
// its next Refresh and costs no reading.
//
// Sessions that ask for one mailbox together share one look at the database (a flight). A session may only join a flight
// that has not looked yet, so that everyone sees what was committed before they asked.
type cache struct {
	limit   int64
	advance func(ctx context.Context, e *cached, known bool) (*version, error)
	save    func(e *cached) // called with mu held when a mailbox is dropped; must not block
	metrics *Metrics
	life    context.Context // of the store: when it ends, so do flights

	mu    sync.Mutex
	boxes map[boxKey]*cached // guarded by mu
	order list.List          // of *cached, last used first; guarded by mu
	bytes int64              // guarded by mu
	news  newsClock          // guarded by mu
}

// cached is a place in the cache. Except for key and what belongs to the running flight it is guarded by cache.mu.
type cached struct {
	key              boxKey
	place            *list.Element
	bytes            int64
	now              *version // nil: not loaded yet
	running, waiting *flight
	looked           moment // when the last look began that found now
	outdated         moment // when something newer than now was last committed here
	heard            moment // when other processes may last have committed something

	differ int // belongs to the running flight: by how many messages the packed index is behind
	drift  int // belongs to the running flight: by how much the counter of messages is known to be wrong
}

// flight is one look at the database on behalf of many.
type flight struct {
	known bool          // that there is something new
	began moment        // when it took off
	done  chan struct{} // closed when v and err are set
	v     *version
	err   error
}

func newCache(limit int64, m *Metrics) *cache {
	return &cache{limit: limit, metrics: m, life: context.Background(), boxes: make(map[boxKey]*cached)}
}

// peek returns the newest version there is in memory, or nil.
func (c *cache) peek(key boxKey) *version {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.boxes[key]
	if !ok || e.now == nil {
		c.metrics.cacheMisses.Inc()
		return nil
	}
	c.metrics.cacheHits.Inc()
	c.order.MoveToFront(e.place)
	return e.now
}

// refresh returns the mailbox as it is now. have is a Snapshot the caller holds, or nil; known says that there is
// something newer than what is cached.
func (c *cache) refresh(ctx context.Context, key boxKey, have *store.Snapshot, known bool) (*version, error) {
	f := c.board(ctx, key, have, known)
	select {
	case <-f.done:
		return f.v, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// board finds or flies a flight that has not looked at the database yet. Who is alone in one flies it himself: to start a
// goroutine and to wait for it takes as long as the look. If he leaves, or all of the mailbox must be read, which may take
// longer than he stays, it is flown without him.
func (c *cache) board(ctx context.Context, key boxKey, have *store.Snapshot, known bool) *flight {
	e, f, alone, short := c.join(key, have, known)
	if !alone {
		return f
	}
	landed := false
	defer func() {
		if !landed { // be it that he panics: nobody else could fly while this is in the air
			go c.fly(context.WithoutCancel(ctx), e)
		}
	}()
	if short {
		v, err := c.look(ctx, e, c.takeOff(e, f))
		if landed = ctx.Err() == nil; landed && c.arrive(e, f, v, err) != nil {
			go c.fly(context.WithoutCancel(ctx), e)
		}
	}
	return f
}

// join finds or makes a flight that has not looked at the database yet. alone says that it takes off at once and that
// nobody else is in it, short that the mailbox has been loaded.
func (c *cache) join(key boxKey, have *store.Snapshot, known bool) (e *cached, f *flight, alone, short bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e = c.entry(key)
	if have != nil && (e.now == nil || e.now.snap.ModSeq() < have.ModSeq()) && e.running == nil {
		e.now = &version{snap: have}
		c.weigh(e)
	}
	if e.waiting != nil {
		e.waiting.known = e.waiting.known || known
		return e, e.waiting, false, false
	}
	f = &flight{known: known, done: make(chan struct{})}
	if e.running != nil {
		e.waiting = f
		return e, f, false, false
	}
	e.running = f
	return e, f, true, e.now != nil
}

// entry returns the place of a mailbox, made if need be, and marks it used. The caller holds mu.
func (c *cache) entry(key boxKey) *cached {
	e, ok := c.boxes[key]
	if !ok {
		e = &cached{key: key}
		e.place = c.order.PushFront(e)
		c.boxes[key] = e
	}
	c.order.MoveToFront(e.place)
	return e
}

// fly runs the flights of e until nobody waits for one.
func (c *cache) fly(ctx context.Context, e *cached) {
	c.mu.Lock()
	f := e.running
	c.mu.Unlock()
	for f != nil {
		v, err := c.look(ctx, e, c.takeOff(e, f))
		f = c.arrive(e, f, v, err)
	}
}

// arrive ends a flight and returns the one that takes off next, if any.
func (c *cache) arrive(e *cached, f *flight, v *version, err error) *flight {
	f.v, f.err = v, err
	defer close(f.done)
	return c.land(e, f)
}

// takeOff returns whether it is known that there is something new.
func (c *cache) takeOff(e *cached, f *flight) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.began = c.news.now
	f.known = f.known || e.outdated > e.looked // it may have to take off again
	return f.known
}

// outdate notes that a mailbox has been changed here: whoever looks next need not ask whether it has.
func (c *cache) outdate(key boxKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.news.next()
	if e, ok := c.boxes[key]; ok {
		e.outdated = at
	}
}

// hear notes that other processes may have changed a mailbox: whoever looks next asks whether they have.
func (c *cache) hear(key boxKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.news.next()
	if e, ok := c.boxes[key]; ok {
		e.heard = at
	}
}

// hearAll is hear of all mailboxes.
func (c *cache) hearAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.news.next()
	for _, e := range c.boxes {
		e.heard = at
	}
	c.news.all = at
}

// known returns the newest version there is in memory, if that goes up to at and nobody has heard of anything newer, or nil.
func (c *cache) known(key boxKey, at store.ModSeq) *version {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.knownLocked(key, at)
}

func (c *cache) knownLocked(key boxKey, at store.ModSeq) *version {
	e, ok := c.boxes[key]
	if !ok || max(e.outdated, e.heard) > e.looked || e.running != nil || e.now == nil || e.now.snap.ModSeq() < at {
		return nil
	}
	c.order.MoveToFront(e.place)
	return e.now
}

// sure is known for one who knows that nobody else writes: then it is what the database has.
func (c *cache) sure(key boxKey, at store.ModSeq) *version {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.knownLocked(key, at)
	if v == nil || !c.news.good(key.account, c.boxes[key].looked) {
		return nil
	}
	c.metrics.cacheHits.Inc()
	return v
}

// step begins a flight that looks at nothing: for a change that was made here, to the version at since. Without that
// version, or with another flight in the air, there is none. Who gets one must have it arrive.
func (c *cache) step(key boxKey, since store.ModSeq) (*cached, *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.boxes[key]
	if !ok || e.running != nil || e.now == nil || e.now.snap.ModSeq() != since {
		return nil, nil
	}
	e.running = &flight{done: make(chan struct{})}
	return e, e.running
}

func (c *cache) look(ctx context.Context, e *cached, known bool) (*version, error) {
	ctx, cancel := context.WithTimeout(ctx, flightTimeout)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	v, err := c.advance(ctx, e, known)
	if err != nil && c.life.Err() != nil {
		err = errClosing
	}
	return v, failed("look at mailbox", err)
}

// land keeps what a flight found and returns the flight that takes off next, if any.
func (c *cache) land(e *cached, f *flight) *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.running, e.waiting = e.waiting, nil
	switch {
	case errors.Is(f.err, store.ErrNotFound):
		e.now = nil
		c.weigh(e)
	case f.err == nil && f.v != e.now:
		e.now = f.v
		c.weigh(e)
	}
	if f.err == nil {
		e.looked = max(e.looked, f.began)
	}
	if e.now == nil && e.running == nil {
		c.drop(e)
	}
	c.trim()
	return e.running
}

// weigh brings the count of octets up to date. The caller holds mu.
func (c *cache) weigh(e *cached) {
	c.bytes -= e.bytes
	e.bytes = 0
	if e.now != nil {
		e.bytes = e.now.bytes()
	}
	c.bytes += e.bytes
	c.metrics.cacheBytes.Set(float64(c.bytes))
}

// trim drops the mailboxes used longest ago until the rest fits. The caller holds mu.
func (c *cache) trim() {
	for place := c.order.Back(); place != nil && c.bytes > c.limit && place != c.order.Front(); {
		e := place.Value.(*cached)
		place = place.Prev()
		if e.running == nil {
			if e.now != nil {
				c.save(e)
			}
			c.drop(e)
		}
	}
}

// drop takes e out. The caller holds mu.
func (c *cache) drop(e *cached) {
	e.now = nil
	c.weigh(e)
	c.order.Remove(e.place)
	delete(c.boxes, e.key)
}
