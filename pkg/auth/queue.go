package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"postern/pkg/store"
)

// maxAsking is how many logins may ask the directory at once: most of its connections and of the database's processors are for
// those who are logged in, however many try.
const maxAsking = 8

// mayAsk waits for one's turn to ask the directory, which the caller gives back.
func (a *Auth) mayAsk(ctx context.Context) error {
	select {
	case a.asking <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: wait to look up a user: %w", store.ErrUnavailable, ctx.Err())
	}
}

// queue waits for one's turn to have a hash computed, which the caller gives back. Strangers come in such numbers only
// when we are attacked: more than so many are told to come back, after the delay of a refusal. Who has logged in from there before is not one.
func (a *Auth) queue(ctx context.Context, t *attempt) error {
	if _, known := a.throttle.known.get(t.keys.pair); !known && a.waiting.Load() >= int64(a.opt.Queue) {
		return errors.Join(ErrBusy, a.opt.Sleep(ctx, a.delay(1)))
	}
	a.waiting.Add(1)
	defer a.waiting.Add(-1)
	select {
	case a.hashing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: wait to check a password: %w", store.ErrUnavailable, ctx.Err())
	}
}

// Waiting is how many wait for a password hash.
func (a *Auth) Waiting() int { return int(a.waiting.Load()) }

// Bans is how many bans are in force.
func (a *Auth) Bans() int { return a.bans.count() }

// pardon forgets what a ban was for that has been lifted.
func (a *Auth) pardon(b Ban) { a.throttle.pardon(b, a.digest("user", b.Who)) }

// Run shares bans with the other processes, writes the history, ends the sessions whose login no longer stands, and writes
// down when app passwords were used, until ctx ends. Nobody who logs in waits for it.
func (a *Auth) Run(ctx context.Context) error {
	var work sync.WaitGroup
	work.Go(func() { a.bans.keep(ctx) })
	work.Go(func() { a.ledger.keep(ctx) })
	work.Go(func() { a.recall(ctx) })
	defer work.Wait()
	return a.watch(ctx)
}
