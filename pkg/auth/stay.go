package auth

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"postern/pkg/store"
)

const (
	useEvery   = 10 * time.Second // the uses of app passwords are written
	stillRetry = time.Second      // while the directory is away
	stillTime  = 30 * time.Second // for the directory to answer
	maxClient  = 200              // octets kept of what a client calls itself
)

// Stay is a session from its login to its end. A nil Stay is one that nobody watches.
type Stay struct {
	guard *guard
	id    Identity
	end   func()
	named func(client string) // takes down what the client calls itself after its login; nil: it has said so before
	use   Use                 // without a Password if the login was by none of the app passwords
}

// guard knows the sessions there are, and ends those whose login no longer stands. It is safe for concurrent use.
type guard struct {
	wake chan struct{} // one buffered

	mu    sync.Mutex
	stays map[store.AccountID]map[*Stay]struct{}
	ask   map[store.AccountID]struct{} // accounts to be looked at
	all   bool                         // or every one
	news  uint64                       // how often Recheck has been called
	uses  map[int64]Use                // of app passwords, to be written
}

func newGuard() *guard {
	return &guard{
		wake: make(chan struct{}, 1), stays: make(map[store.AccountID]map[*Stay]struct{}),
		ask: make(map[store.AccountID]struct{}), uses: make(map[int64]Use),
	}
}

// Keep implements Authenticator.
func (a *Auth) Keep(id Identity, p Peer, end func()) *Stay {
	s := &Stay{guard: a.guard, id: id, end: end}
	s.use = Use{Account: id.Account, Password: id.App, At: a.opt.Now(), From: p.Addr}
	if p.Client == "" {
		s.named = func(client string) { a.ledger.name(id, p, client) }
	}
	a.guard.enter(s)
	return s
}

func (g *guard) enter(s *Stay) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stays[s.id.Account] == nil {
		g.stays[s.id.Account] = make(map[*Stay]struct{})
	}
	g.stays[s.id.Account][s] = struct{}{}
	g.note(s.use)
	if s.id.asOf != g.news { // something has changed since the password was looked up
		g.ask[s.id.Account] = struct{}{}
		g.rouse()
	}
}

// note has a use written. The caller holds mu.
func (g *guard) note(u Use) {
	if u.Password != 0 {
		g.uses[u.Password] = u
	}
}

// rouse has watch look. It never blocks.
func (g *guard) rouse() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// Client says what the client calls itself.
func (s *Stay) Client(name string) {
	if s == nil || name == "" {
		return
	}
	if s.named != nil {
		s.named(name)
		s.named = nil // Client is the session's own to call
	}
	s.guard.mu.Lock()
	defer s.guard.mu.Unlock()
	s.use.Client = name[:min(len(name), maxClient)]
	s.guard.note(s.use)
}

// Leave ends the watch. It may be called more than once; end may be under way for the last time.
func (s *Stay) Leave() {
	if s == nil {
		return
	}
	g := s.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.stays[s.id.Account], s)
	if len(g.stays[s.id.Account]) == 0 {
		delete(g.stays, s.id.Account)
	}
}

// Recheck says that the logins of an account may have changed, or, with 0, those of any. It returns at once.
func (a *Auth) Recheck(id store.AccountID) {
	g := a.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	g.news++
	if id == 0 {
		g.all = true
	} else {
		g.ask[id] = struct{}{}
	}
	g.rouse()
}

func (g *guard) heard() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.news
}

// watch ends sessions and writes uses, until ctx ends.
func (a *Auth) watch(ctx context.Context) error {
	tick := time.NewTicker(useEvery)
	defer tick.Stop()
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return a.writeUses(context.WithoutCancel(ctx))
		case <-tick.C:
			a.endExpired()
			if err := a.writeUses(ctx); err != nil {
				a.opt.Log.Warn("uses of app passwords not written; trying again", zap.Error(err))
			}
		case <-a.guard.wake:
			retry = a.recheck(ctx)
		case <-retry:
			retry = a.recheck(ctx)
		}
	}
}

// recheck looks at the accounts that are to be looked at; those that could not be are left for another time, which it
// returns.
func (a *Auth) recheck(ctx context.Context) (again <-chan time.Time) {
	for _, id := range a.guard.suspects() {
		stands, err := a.still(ctx, id)
		switch {
		case err != nil:
			a.guard.suspect(id.Account)
			again = time.After(stillRetry)
		case !stands:
			a.endStays(id, "withdrawn")
		}
	}
	return again
}

// suspects takes the identities that are to be looked at, each once.
func (g *guard) suspects() []Identity {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all {
		for id := range g.stays {
			g.ask[id] = struct{}{}
		}
	}
	seen := make(map[Identity]struct{})
	var ids []Identity
	for account := range g.ask {
		for s := range g.stays[account] {
			if _, ok := seen[s.id]; !ok {
				seen[s.id] = struct{}{}
				ids = append(ids, s.id)
			}
		}
	}
	g.all = false
	clear(g.ask)
	return ids
}

func (g *guard) suspect(account store.AccountID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ask[account] = struct{}{}
}

// still reports whether an identity could be proved again today as it was then.
func (a *Auth) still(ctx context.Context, id Identity) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, stillTime)
	defer cancel()
	cred, err := a.opt.Directory.Credential(ctx, id.User)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case cred.Account != id.Account || cred.Disabled:
		return false, nil
	case id.NoPassword:
		return true, nil
	case id.App == 0:
		return cred.Epoch == id.Epoch && !cred.AppOnly, nil
	}
	all, err := a.opt.Directory.AppPasswords(ctx, id.Account)
	if err != nil {
		return false, err
	}
	for _, p := range all {
		if p.ID == id.App {
			return !p.expired(a.opt.Now()), nil
		}
	}
	return false, nil
}

func (a *Auth) endExpired() {
	now := a.opt.Now()
	for _, id := range a.guard.expired(now) {
		a.endStays(id, "expired")
	}
}

func (g *guard) expired(now time.Time) []Identity {
	g.mu.Lock()
	defer g.mu.Unlock()
	var ids []Identity
	for _, stays := range g.stays {
		for s := range stays {
			if !s.id.Expires.IsZero() && !now.Before(s.id.Expires) {
				ids = append(ids, s.id)
			}
		}
	}
	return ids
}

// endStays ends the sessions of an identity.
func (a *Auth) endStays(id Identity, why string) {
	stays := a.guard.of(id)
	for _, s := range stays {
		s.end()
	}
	if len(stays) > 0 {
		a.opt.Log.Info("login withdrawn", zap.String("user", id.User), zap.Int64("app_password", id.App),
			zap.String("reason", why), zap.Int("sessions", len(stays)))
	}
}

// of takes the sessions of an identity.
func (g *guard) of(id Identity) []*Stay {
	g.mu.Lock()
	defer g.mu.Unlock()
	var found []*Stay
	for s := range g.stays[id.Account] {
		if s.id == id {
			found = append(found, s)
			delete(g.stays[id.Account], s)
		}
	}
	return found
}

// writeUses has the directory keep the last uses. What cannot be written waits.
func (a *Auth) writeUses(ctx context.Context) error {
	uses := a.guard.takeUses()
	if len(uses) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stillTime)
	defer cancel()
	err := a.opt.Directory.UsedAppPasswords(ctx, uses)
	if err != nil {
		a.guard.putBack(uses)
	}
	return err
}

func (g *guard) takeUses() []Use {
	g.mu.Lock()
	defer g.mu.Unlock()
	uses := make([]Use, 0, len(g.uses))
	for _, u := range g.uses {
		uses = append(uses, u)
	}
	clear(g.uses)
	return uses
}

func (g *guard) putBack(uses []Use) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, u := range uses {
		if _, newer := g.uses[u.Password]; !newer {
			g.uses[u.Password] = u
		}
	}
}
