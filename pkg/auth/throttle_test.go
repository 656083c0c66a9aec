package auth

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"postern/pkg/store"
)

var (
	cafe     = netip.MustParseAddr("198.51.100.7")
	attacker = netip.MustParseAddr("203.0.113.66")
)

func somewhere(i int) netip.Addr { return netip.AddrFrom4([4]byte{100, 64, byte(i >> 8), byte(i)}) }

// TestThrottle tells stories; each step is a login that must come out as written.
func TestThrottle(t *testing.T) {
	t.Parallel()
	for name, story := range map[string]func(*stage){
		"a stale password repeated never locks out the right one": func(s *stage) {
			for range 1000 {
				s.want(ErrDenied, home, alice, "stale")
			}
			s.want(nil, home, alice, right)
			for range 1000 {
				s.want(ErrDenied, home, alice, "stale")
			}
			s.want(nil, cafe, alice, right)
		},
		"twenty different wrong passwords are throttled": func(s *stage) {
			throttled := 0
			for i := range 20 {
				if err := s.login(attacker, alice, fmt.Sprint("guess ", i)); err == ErrThrottled { //nolint:errorlint // exactly this one
					throttled++
				}
			}
			if throttled != 10 {
				s.t.Errorf("%d of 20 throttled, want 10", throttled)
			}
			s.want(ErrThrottled, attacker, alice, right)
			s.pass(14 * time.Minute)
			s.want(ErrThrottled, attacker, alice, right)
			s.pass(time.Minute)
			s.want(nil, attacker, alice, right)
		},
		"one password for many users is throttled": func(s *stage) {
			for i := range 20 {
				s.want(ErrDenied, attacker, fmt.Sprintf("user%d@example.org", i), "summer")
			}
			s.want(ErrThrottled, attacker, "user20@example.org", "summer")
			s.want(nil, home, alice, right)
		},
		"the owner at home is not locked out from elsewhere": func(s *stage) {
			s.want(nil, home, alice, right)
			s.wrong(10, attacker, alice)
			s.want(ErrThrottled, attacker, alice, "guess")
			s.want(nil, home, alice, right)
			s.want(ErrDenied, home, alice, "mistyped")
			s.dir.set(1, alice, "new password", false)
			s.want(nil, home, alice, "new password")
		},
		"the owner is not locked out by a neighbour behind the same address": func(s *stage) {
			s.want(nil, home, alice, right)
			s.wrong(10, home, alice)
			s.want(ErrThrottled, home, alice, "guess")
			s.want(nil, home, alice, right)
			for i := range 20 {
				if s.login(home, fmt.Sprintf("user%d@example.org", i), "summer") == nil {
					s.t.Error("a guess was right")
				}
			}
			s.want(nil, home, alice, right)
		},
		"the owner may travel while under attack from many addresses": func(s *stage) {
			for i := range 10 {
				s.want(ErrDenied, somewhere(i), alice, fmt.Sprint("guess ", i))
			}
			s.want(ErrThrottled, cafe, alice, right)
			s.pass(trickle)
			s.want(ErrThrottled, somewhere(3), alice, right) // has failed before
			s.want(nil, cafe, alice, right)
			s.want(ErrThrottled, somewhere(11), alice, "guess") // one at a time
		},
		"what was mistyped before the right one is forgiven": func(s *stage) {
			for range 30 {
				s.wrong(5, home, alice)
				s.want(nil, home, alice, right)
				s.pass(time.Minute)
			}
			s.want(nil, cafe, alice, right)
		},
		"an attacker's own account forgives nothing": func(s *stage) {
			s.dir.set(9, "mallory@example.org", right, false)
			for i := range 10 {
				s.want(ErrDenied, attacker, alice, fmt.Sprint("guess ", i))
				s.want(nil, attacker, "mallory@example.org", right)
			}
			s.want(ErrThrottled, attacker, alice, right)
		},
		"a /64 is one address": func(s *stage) {
			for i := range 20 {
				addr := netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1))
				s.want(ErrDenied, addr, fmt.Sprintf("user%d@example.org", i), "summer")
			}
			s.want(ErrThrottled, netip.MustParseAddr("2001:db8::ffff"), alice, right)
			s.want(nil, netip.MustParseAddr("2001:db8:0:1::1"), alice, right)
		},
		"an IPv4 address in IPv6 clothes is the same": func(s *stage) {
			s.wrong(10, attacker, alice)
			s.want(ErrThrottled, netip.AddrFrom16(attacker.As16()), alice, right)
		},
		"a trusted proxy is never counted": func(s *stage) {
			proxy := netip.MustParseAddr("10.0.0.1")
			for i := range 100 {
				s.want(ErrDenied, proxy, fmt.Sprintf("user%d@example.org", i), "summer")
			}
			s.want(nil, proxy, alice, right)
			s.wrong(10, proxy, alice)
			s.want(ErrThrottled, proxy, alice, "guess")
			s.want(nil, proxy, alice, right)
		},
		"an account that comes and goes is counted alike": func(s *stage) {
			s.wrong(10, attacker, "ghost@example.org")
			s.want(ErrThrottled, attacker, "Ghost@example.org", "guess")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(newStage(t, func(o *Options) {
				o.Throttle.Trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
			}))
		})
	}
}

// TestThrottleAtOnce has all guesses come together: no more are checked than one after another.
func TestThrottleAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(o *Options) { o.Hashes = 4 })
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if s.login(attacker, alice, fmt.Sprint("guess ", i)) == nil {
				t.Error("a guess was right")
			}
		})
	}
	wg.Wait()
	if n := s.checked.Load(); n > 10+4 {
		t.Errorf("%d guesses were checked", n)
	}
}

// TestMorningAfter has an office come back at once after a restart, when nobody is known: all are let in.
func TestMorningAfter(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var wg sync.WaitGroup
	for i := range 100 {
		user := fmt.Sprintf("user%d@example.org", i)
		s.dir.set(store.AccountID(10+i), user, right, false)
		wg.Go(func() {
			if err := s.login(home, user, right); err != nil {
				t.Errorf("%s: %v", user, err)
			}
		})
	}
	wg.Wait()
}
