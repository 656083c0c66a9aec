package auth

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	banBatch   = 500             // bans that wait to be written; more are kept by this process alone
	banRefresh = 5 * time.Second // how old the list of bans may be
)

// Ban refuses logins for a time: those from a prefix, or those of strangers to an account.
type Ban struct {
	Who    string // a prefix in its usual form, or the address of an account
	Reason string
	Since  time.Time
	Until  time.Time
	Times  int // how often in a row
}

// BanList is where all processes find each other's bans.
type BanList interface {
	// AddBans adds bans. One that is there or has been of late is prolonged, to twice its last time.
	AddBans(ctx context.Context, bans []Ban) error
	// Bans returns those in force.
	Bans(ctx context.Context) ([]Ban, error)
}

// banCache is the list of bans as it was some seconds ago, and those that are still to be written. No login waits for the
// list itself. It is safe for concurrent use.
type banCache struct {
	list   BanList // nil: this process is alone
	log    *zap.Logger
	now    func() time.Time
	lifted func(Ban) // called when somebody has lifted a ban

	mu     sync.Mutex
	byWho  map[string]Ban // guarded by mu
	unsent map[string]Ban // guarded by mu; those of byWho that the list does not know yet
	wake   chan struct{}
	faulty bool // the list could not be reached; keep's own
}

func newBanCache(list BanList, log *zap.Logger, now func() time.Time, lifted func(Ban)) *banCache {
	return &banCache{
		list: list, log: log, now: now, lifted: lifted,
		byWho: make(map[string]Ban), unsent: make(map[string]Ban), wake: make(chan struct{}, 1),
	}
}

// on returns the ban of the first that has one.
func (b *banCache) on(who ...string) (Ban, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range who {
		if ban, ok := b.byWho[w]; ok && b.now().Before(ban.Until) {
			return ban, true
		}
	}
	return Ban{}, false
}

// add bans at once, and has the list know soon. It never waits. One that is in force is left as it is.
func (b *banCache) add(who, reason string, d time.Duration) {
	if b.list == nil {
		return // the counters do
	}
	now := b.now()
	b.mu.Lock()
	old, again := b.byWho[who]
	again = again && now.Before(old.Until)
	full := len(b.unsent) >= banBatch
	if !again && !full {
		ban := Ban{Who: who, Reason: reason, Since: now, Until: now.Add(d), Times: 1}
		b.byWho[who], b.unsent[who] = ban, ban
	}
	b.mu.Unlock()
	if again || full {
		return
	}
	b.log.Warn("banned", zap.String("who", who), zap.String("reason", reason))
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// count is how many are in force.
func (b *banCache) count() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ban := range b.byWho {
		if b.now().Before(ban.Until) {
			n++
		}
	}
	return n
}

// keep writes and reads the list until ctx ends.
func (b *banCache) keep(ctx context.Context) {
	if b.list == nil {
		return
	}
	tick := time.NewTicker(banRefresh)
	defer tick.Stop()
	for {
		err := b.sync(ctx)
		if ctx.Err() != nil {
			return
		}
		if faulty := err != nil; faulty != b.faulty {
			b.faulty = faulty
			if faulty {
				b.log.Warn("bans are not shared with other processes for now", zap.Error(err))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-b.wake:
		}
	}
}

// sync writes what the list does not know and reads it anew.
func (b *banCache) sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*banRefresh)
	defer cancel()
	b.mu.Lock()
	var sent []Ban
	for _, ban := range b.unsent {
		sent = append(sent, ban)
	}
	b.mu.Unlock()
	if len(sent) > 0 {
		if err := b.list.AddBans(ctx, sent); err != nil {
			return err
		}
		b.mu.Lock()
		for _, ban := range sent {
			delete(b.unsent, ban.Who)
		}
		b.mu.Unlock()
	}
	list, err := b.list.Bans(ctx)
	if err != nil {
		return err
	}
	for _, ban := range b.replace(list) {
		b.log.Info("ban lifted", zap.String("who", ban.Who))
		b.lifted(ban)
	}
	return nil
}

// replace takes over the list and returns the bans that have gone before their time.
func (b *banCache) replace(list []Ban) (lifted []Ban) {
	byWho := make(map[string]Ban, len(list))
	for _, ban := range list {
		byWho[ban.Who] = ban
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for who, ban := range b.byWho {
		_, there := byWho[who]
		_, unsent := b.unsent[who]
		switch {
		case there:
		case unsent:
			byWho[who] = ban
		case b.now().Add(time.Second).Before(ban.Until): // the list goes by another clock
			lifted = append(lifted, ban)
		}
	}
	b.byWho = byWho
	return lifted
}

// siteOf is the network around an address: a /24, or of IPv6 a /48.
func siteOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 24
	if addr.Is6() {
		bits = 48
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address: a socket of this machine
	}
	return p
}
