package auth

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	maxCounters = 100_000             // of each kind: some 40 MB when all are full
	knownFor    = 30 * 24 * time.Hour // a device that was here within a month is the owner's
	trickle     = 30 * time.Second    // between strangers let through to a user under attack
)

// Throttle says how many different wrong passwords are too many. The zero value takes the defaults.
type Throttle struct {
	User    int            // by one user, or by one user from one address; default 10
	Address int            // from one address (IPv6: one /64), whoever they were for; default 20
	Site    int            // from one /24 (IPv6: one /48); default 100
	Window  time.Duration  // a failure is forgotten this long after the last new one; default 15 min
	Trusted []netip.Prefix // proxies and the like: many users share one, so they are not counted by address
}

// keys is what an attempt is counted by.
type keys struct {
	address netip.Prefix
	site    netip.Prefix // around it
	user    digest
	pair    digest // both: this user from this address
	name    string // the user's, if there is such a user
	turn    bool   // the attempt is the stranger that has been let through, see mayTry
}

// throttle counts failures. What it must do is told apart by who comes:
//
//   - One wrong password is one failure however often it is repeated: a forgotten telephone does not lock anybody out.
//   - From an address where the user has logged in before, only this user's failures from there count, and the password
//     that was right there passes in any case. So nobody locks out the owner from elsewhere, nor a neighbour behind the
//     same address.
//   - A stranger is held to the failures of the address, of the network around it, and to those of the user. What is too
//     much for a prefix or a user becomes a ban, which holds for all processes. When a user is under attack from
//     many addresses, a stranger that has not failed yet is let through now and then: it may be the owner, travelling.
//
// It is safe for concurrent use.
type throttle struct {
	opt   Throttle
	now   func() time.Time
	known *recent[digest, struct{}] // pairs that have succeeded
	bans  *banCache

	mu      sync.Mutex
	address *recent[netip.Prefix, *counter] // the counters are guarded by mu; of addresses and sites
	user    *recent[digest, *counter]
	pair    *recent[digest, *counter]
}

// counter holds the different wrong passwords of late, at most as many as are too many.
type counter struct {
	prints map[digest]struct{}
	next   time.Time // when the next stranger may pass; of a user's counter
}

func newThrottle(opt Throttle, bans *banCache, now func() time.Time) *throttle {
	opt.User = cmp.Or(opt.User, 10)
	opt.Address = cmp.Or(opt.Address, 20)
	opt.Site = cmp.Or(opt.Site, 100)
	opt.Window = cmp.Or(opt.Window, 15*time.Minute)
	return &throttle{
		opt:     opt,
		now:     now,
		bans:    bans,
		known:   newRecent[digest, struct{}](maxCounters, knownFor, now),
		address: newRecent[netip.Prefix, *counter](maxCounters, opt.Window, now),
		user:    newRecent[digest, *counter](maxCounters, opt.Window, now),
		pair:    newRecent[digest, *counter](maxCounters, opt.Window, now),
	}
}

// verdict lets an attempt through, or says why not. proven means that the password is one that has been verified of
// late.
func (t *throttle) verdict(k *keys, proven bool) (why string) {
	_, known := t.known.get(k.pair)
	banned := t.banned(*k)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case known && proven:
		return ""
	case known && size(t.pair, k.pair) >= t.opt.User:
		return "too many wrong passwords for this user from this address"
	case known:
		return ""
	case banned != "":
		return banned
	case t.crowded(*k) != "":
		return t.crowded(*k)
	case t.besieged(*k) && !t.mayTry(k):
		return "too many wrong passwords for this user"
	}
	return ""
}

// banned says why the address is, if it is.
func (t *throttle) banned(k keys) string {
	if t.trusts(k.address) {
		return ""
	}
	ban, ok := t.bans.on(k.address.String(), k.site.String())
	if !ok {
		return ""
	}
	return "banned: " + ban.Reason
}

// besieged reports whether there are too many failures with this user, here or elsewhere. It needs mu.
func (t *throttle) besieged(k keys) bool {
	if size(t.user, k.user) >= t.opt.User {
		return true
	}
	_, banned := t.bans.on(k.name)
	return banned && k.name != ""
}

// hopeless says why a stranger is refused whatever the password, if that is so. It changes nothing.
func (t *throttle) hopeless(k keys) string {
	if _, known := t.known.get(k.pair); known {
		return ""
	}
	if banned := t.banned(k); banned != "" {
		return banned
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.crowded(k)
}

// crowded says what is too much of failures where the attempt comes from. It needs mu.
func (t *throttle) crowded(k keys) string {
	switch {
	case t.trusts(k.address):
		return ""
	case size(t.address, k.address) >= t.opt.Address:
		return "too many wrong passwords from this address"
	case size(t.address, k.site) >= t.opt.Site:
		return "too many wrong passwords from this network"
	}
	return ""
}

// failed counts a wrong password. What has become too much is banned.
func (t *throttle) failed(k keys, guess digest) { t.failedHere(k, guess, guess) }

// failedHere is failed where what counts for this user from this address is another guess.
func (t *throttle) failedHere(k keys, guess, here digest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	count(t.pair, k.pair, here, t.opt.User)
	if c := count(t.user, k.user, guess, t.opt.User); len(c.prints) == t.opt.User {
		t.wait(c)
		if k.name != "" {
			t.bans.add(k.name, fmt.Sprintf("%d different wrong passwords for this user", t.opt.User), t.opt.Window)
		}
	}
	if t.trusts(k.address) {
		return
	}
	if c := count(t.address, k.address, guess, t.opt.Address); len(c.prints) == t.opt.Address {
		t.bans.add(k.address.String(), fmt.Sprintf("%d different wrong passwords from this address", t.opt.Address), t.opt.Window)
	}
	if c := count(t.address, k.site, guess, t.opt.Site); len(c.prints) == t.opt.Site {
		t.bans.add(k.site.String(), fmt.Sprintf("%d different wrong passwords from this network", t.opt.Site), t.opt.Window)
	}
}

// wait has strangers wait for their turn once a user is under attack. It needs mu.
func (t *throttle) wait(c *counter) {
	if c.next.IsZero() {
		c.next = t.now().Add(trickle)
	}
}

// pardon forgets the failures that a ban was for. user is the user's if it was one of a user.
func (t *throttle) pardon(b Ban, user digest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p, err := netip.ParsePrefix(b.Who); err == nil {
		t.address.forget(p)
		return
	}
	t.user.forget(user)
}

// mayTry lets a stranger through that has not failed with this user, if none has been of late. It needs mu.
func (t *throttle) mayTry(k *keys) bool {
	if k.turn {
		return true
	}
	c, ok := t.user.get(k.user)
	if !ok { // another process has counted
		c = &counter{prints: make(map[digest]struct{}), next: t.now().Add(trickle)}
		t.user.put(k.user, c)
	}
	if size(t.pair, k.pair) > 0 || t.now().Before(c.next) {
		return false
	}
	c.next = t.now().Add(trickle)
	k.turn = true
	return true
}

func (t *throttle) trusts(p netip.Prefix) bool {
	return !p.IsValid() || slices.ContainsFunc(t.opt.Trusted, func(trusted netip.Prefix) bool { return trusted.Contains(p.Addr()) })
}

// succeeded remembers the pair and forgives what it took to get there: a mistyped password before the right one.
func (t *throttle) succeeded(k keys) {
	t.known.put(k.pair, struct{}{})
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := t.pair.get(k.pair)
	if !ok {
		return
	}
	for guess := range c.prints {
		discount(t.address, k.address, guess)
		discount(t.address, k.site, guess)
		discount(t.user, k.user, guess)
	}
	t.pair.forget(k.pair)
}

// failures is how many there have been of late where the attempt comes from; the delay grows with it.
func (t *throttle) failures(k keys) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.trusts(k.address) {
		return size(t.pair, k.pair)
	}
	return max(size(t.address, k.address), size(t.user, k.user))
}

// count adds a failure, and with it prolongs the time of the counter if it is a new one.
func count[K comparable](in *recent[K, *counter], key K, guess digest, most int) *counter {
	c, ok := in.get(key)
	if !ok {
		c = &counter{prints: make(map[digest]struct{})}
	}
	if _, again := c.prints[guess]; !again && len(c.prints) < most {
		c.prints[guess] = struct{}{}
		in.put(key, c)
	}
	return c
}

func discount[K comparable](in *recent[K, *counter], key K, guess digest) {
	c, ok := in.get(key)
	if !ok {
		return
	}
	if delete(c.prints, guess); len(c.prints) == 0 {
		in.forget(key)
	}
}

func size[K comparable](in *recent[K, *counter], key K) int {
	c, ok := in.get(key)
	if !ok {
		return 0
	}
	return len(c.prints)
}
