package postgres

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"postern/pkg/store"
)

const (
	warmShare = 2               // one part of so many of the cache is loaded: the rest is for those who open other mailboxes
	warmRow   = 48              // octets that a message takes in memory, about
	warmFirst = 5 * time.Second // so long it is done in haste: those who had these mailboxes open are coming back
	warmRest  = time.Second     // at most between two mailboxes
)

// warmUp loads the mailboxes that were in memory when the last process ended, the one used last first, one after another:
// all devices come back at once after a restart, and would wait for it together.
func (s *Store) warmUp(ctx context.Context) {
	start := time.Now()
	var list []boxKey
	var sizes []int64
	err := s.insist(ctx, "read list of mailboxes", func() (err error) {
		list, sizes, err = s.readOpened(ctx)
		return err
	})
	if err != nil {
		return
	}
	s.opened.found(list)
	n, octets := 0, int64(0)
	for i, key := range list {
		if !s.cache.room(warmRow*sizes[i], s.opts.CacheBytes/warmShare) {
			continue // it stays in the list, and a smaller one may fit
		}
		began := time.Now()
		v, err := s.warmBox(ctx, key)
		if err != nil {
			return
		}
		s.opened.done(key)
		if v != nil {
			n, octets = n+1, octets+v.bytes()
		}
		if s.giveWay(ctx, start, time.Since(began)) != nil {
			return
		}
	}
	if n > 0 {
		s.log.Info("mailboxes are in memory again", zap.Int("mailboxes", n), zap.Int64("octets", octets), zap.Duration("took", time.Since(start)))
	}
}

// warmBox loads a mailbox. It returns nil if that is there, was deleted, or cannot be read, and an error when the store is
// being closed.
func (s *Store) warmBox(ctx context.Context, key boxKey) (v *version, err error) {
	err = s.insist(ctx, "load mailbox", func() (err error) {
		v, err = s.cache.warm(ctx, key)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && !errors.Is(err, store.ErrNotFound):
		s.log.Warn("loading a mailbox failed", append(key.fields(), zap.Error(err))...)
	case v != nil:
		s.metrics.warmed.Inc()
	}
	return v, nil
}

// insist runs f until the database is there.
func (s *Store) insist(ctx context.Context, part string, f func() error) error {
	for {
		err := failed(part, f())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.Is(err, store.ErrUnavailable) {
			s.outage.report(part, nil)
			return err
		}
		s.outage.report(part, err)
		if err := sleep(ctx, nodeRetry); err != nil {
			return err
		}
	}
}

// giveWay rests after a mailbox that took so long to load while others deliver or read.
func (s *Store) giveWay(ctx context.Context, start time.Time, took time.Duration) error {
	if time.Since(start) < warmFirst || !s.busy() {
		return ctx.Err()
	}
	return sleep(ctx, min((busyShare-1)*took, warmRest))
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// used returns up to n mailboxes that are in memory, the one used last first.
func (c *cache) used(n int) []boxKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	var keys []boxKey
	for place := c.order.Front(); place != nil && len(keys) < n; place = place.Next() {
		if e := place.Value.(*cached); e.now != nil {
			keys = append(keys, e.key)
		}
	}
	return keys
}

// room reports whether so many octets more leave the cache below a limit.
func (c *cache) room(octets, limit int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes+octets <= limit
}

// warm loads a mailbox for which nobody has asked, as the one used longest ago. It returns nil if it is there, or somebody is
// loading it. Who asks meanwhile waits for this flight and gets the next one.
func (c *cache) warm(ctx context.Context, key boxKey) (*version, error) {
	e, f := c.placeLast(key)
	if f == nil {
		return nil, nil
	}
	c.fly(ctx, e)
	return f.v, f.err
}

// placeLast makes a place at the end for a mailbox that has none, with a flight to be flown.
func (c *cache) placeLast(key boxKey) (*cached, *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.boxes[key]; ok {
		return nil, nil
	}
	e := &cached{key: key, running: &flight{done: make(chan struct{})}}
	e.place = c.order.PushBack(e)
	c.boxes[key] = e
	return e, e.running
}

// behind returns what is to be packed before all of it leaves memory, the mailbox used last first.
func (c *cache) behind() (jobs []packJob) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for place := c.order.Front(); place != nil; place = place.Next() {
		if e := place.Value.(*cached); e.running == nil && e.behind() {
			jobs = append(jobs, packJob{e.key, e.now.snap})
		}
	}
	return jobs
}
