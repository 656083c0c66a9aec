package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"
)

// banList is a BanList in memory.
type banList struct {
	mu   sync.Mutex
	bans map[string]Ban
	err  error
}

func (l *banList) AddBans(_ context.Context, bans []Ban) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range bans {
		if l.err == nil {
			l.bans[b.Who] = b
		}
	}
	return l.err
}

func (l *banList) Bans(context.Context) (list []Ban, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.bans {
		list = append(list, b)
	}
	return list, l.err
}

func (l *banList) change(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
}

// nodes are processes on one list.
func nodes(t *testing.T, n int) ([]*stage, *banList) {
	t.Helper()
	list := &banList{bans: make(map[string]Ban)}
	var all []*stage
	for range n {
		all = append(all, newStage(t, func(o *Options) {
			o.Bans, o.Throttle.Trusted = list, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		}))
	}
	return all, list
}

func share(t *testing.T, all []*stage) {
	t.Helper()
	for range 2 {
		for _, s := range all {
			if err := s.bans.sync(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestBansShared has one process ban an address, a network and a user, and another keep to it until it is lifted there.
func TestBansShared(t *testing.T) {
	t.Parallel()
	all, list := nodes(t, 2)
	here, there := all[0], all[1]
	there.want(nil, home, alice, right)
	for i := range 20 {
		here.want(ErrDenied, attacker, fmt.Sprintf("user%d@example.org", i), "summer")
	}
	here.wrong(10, cafe, alice)
	share(t, all)
	there.want(ErrThrottled, attacker, "carol@example.org", right)
	there.want(nil, home, alice, right) // is known there
	there.want(ErrThrottled, cafe, alice, right)
	if n := here.bans.count(); n != 2 {
		t.Errorf("%d bans, want 2: %v", n, list.bans)
	}
	for _, who := range []string{"203.0.113.66/32", alice} {
		if list.bans[who].Reason == "" {
			t.Errorf("no ban of %s: %v", who, list.bans)
		}
	}
	list.change(func() { clear(list.bans) })
	share(t, all)
	there.dir.set(7, "dora@example.org", right, false)
	here.dir.set(7, "dora@example.org", right, false)
	there.want(nil, attacker, "dora@example.org", right)
	here.want(nil, attacker, "dora@example.org", right)
	here.want(nil, somewhere(1), alice, right)
}

// TestSiteBanned has a /24 and a /48 take turns: each address stays below its limit, the network does not.
func TestSiteBanned(t *testing.T) {
	t.Parallel()
	for site, form := range map[string]string{"203.0.113.0/24": "203.0.113.%d", "2001:db8:5::/48": "2001:db8:5:%x::1"} {
		all, list := nodes(t, 1)
		s := all[0]
		for i := range 100 {
			s.want(ErrDenied, netip.MustParseAddr(fmt.Sprintf(form, i)), fmt.Sprintf("user%d@example.org", i), "summer")
		}
		s.want(ErrThrottled, netip.MustParseAddr(fmt.Sprintf(form, 200)), alice, right)
		s.want(nil, home, alice, right)
		share(t, all)
		if list.bans[site].Reason == "" {
			t.Errorf("bans: %v, want %s", list.bans, site)
		}
	}
}

// TestNeverBanned has those who must not be: a proxy we trust, a stale telephone, and names that there are not.
func TestNeverBanned(t *testing.T) {
	t.Parallel()
	all, list := nodes(t, 1)
	for i := range 300 {
		all[0].want(ErrDenied, netip.MustParseAddr("10.0.0.1"), fmt.Sprintf("user%d@example.org", i), "summer")
		all[0].want(ErrDenied, home, alice, "stale")
	}
	for i := range 10 {
		all[0].want(ErrDenied, somewhere(i<<8), "ghost@example.org", fmt.Sprint("guess ", i))
	}
	share(t, all)
	if len(list.bans) > 0 {
		t.Errorf("bans: %v", list.bans)
	}
}

// TestBanListAway has the list away: logins go on by what is known, and the bans are written when it is back.
func TestBanListAway(t *testing.T) {
	t.Parallel()
	all, list := nodes(t, 1)
	s := all[0]
	list.change(func() { list.err = errors.New("away") })
	s.wrong(10, attacker, alice)
	if err := s.bans.sync(t.Context()); err == nil {
		t.Error("no error")
	}
	s.want(ErrThrottled, cafe, alice, right)
	list.change(func() { list.err = nil })
	share(t, all)
	if list.bans[alice].Reason == "" {
		t.Errorf("bans: %v", list.bans)
	}
	s.pass(16 * time.Minute)
	s.want(nil, cafe, alice, right)
	if s.bans.count() != 0 {
		t.Error("a ban that is over is counted")
	}
}

// TestQueue has more strangers come than may wait: they are told to come back, a friend waits.
func TestQueue(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(o *Options) { o.Hashes, o.Queue = 1, 2 })
	s.want(nil, home, alice, right)
	s.hashing.turns <- struct{}{}
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			if err := s.login(somewhere(i), "nobody@example.org", "guess"); !errors.Is(err, ErrDenied) {
				t.Error(err)
			}
		})
	}
	for s.Waiting() < 2 {
		runtime.Gosched()
	}
	if err := s.login(cafe, "nobody@example.org", "guess"); !errors.Is(err, ErrBusy) {
		t.Errorf("a third: %v", err)
	}
	s.want(nil, home, alice, right) // remembered: needs no turn
	wg.Go(func() {
		if err := s.login(home, alice, "mistyped"); !errors.Is(err, ErrDenied) {
			t.Error(err)
		}
	})
	<-s.hashing.turns
	wg.Wait()
}
