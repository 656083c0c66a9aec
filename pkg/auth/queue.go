package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"postern/pkg/store"
)

// maxAsking is how many logins may ask our Directory at once, the database: most of its connections and processors are for those
// who are logged in, however many try. Half as many serve neither them nor logins better.
const maxAsking = 8

// mayAsk waits for one's turn to ask the Directory, which the caller gives back.
func (a *Auth) mayAsk(ctx context.Context) error {
	select {
	case a.asking <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: wait to look up a user: %w", store.ErrUnavailable, ctx.Err())
	}
}

// line is where attempts wait for their turn at what only so many of them can have at once.
type line struct {
	turns    chan struct{} // holds a token for each whose turn it is
	most     int           // strangers that may wait
	patience time.Duration // how long anybody waits; 0: as long as the client
	waiting  atomic.Int64
}

func newLine(turns, most int, patience time.Duration) *line {
	return &line{turns: make(chan struct{}, turns), most: most, patience: patience}
}

// queue waits for the attempt's turn, which the caller leaves. Strangers come in such numbers only when we are attacked: more
// than so many are told to come back, after the delay of a refusal. Who has logged in from there before is not one.
func (a *Auth) queue(ctx context.Context, t *attempt, l *line) (leave func(), err error) {
	if _, known := a.throttle.known.get(t.keys.pair); !known && l.waiting.Load() >= int64(l.most) {
		return nil, errors.Join(ErrBusy, a.opt.Sleep(ctx, a.delay(1)))
	}
	l.waiting.Add(1)
	defer l.waiting.Add(-1)
	if l.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.patience)
		defer cancel()
	}
	select {
	case l.turns <- struct{}{}:
		return func() { <-l.turns }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: wait to check a password: %w", ErrAway, ctx.Err())
	}
}

// Waiting is how many wait for a password hash.
func (a *Auth) Waiting() int { return int(a.hashing.waiting.Load()) }

// WaitingElsewhere is how many wait to ask a directory.
func (a *Auth) WaitingElsewhere() (n int) {
	counted := make(map[*realm]bool) // one may have several domains
	for _, r := range a.realms {
		if !counted[r] {
			n += int(r.line.waiting.Load())
		}
		counted[r] = true
	}
	return n
}

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
