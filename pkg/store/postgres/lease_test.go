package postgres

import (
	"context"
	"errors"
	"testing"

	"postern/pkg/store"
)

func TestLease(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.on(f.open())
	first, err := f.a.LockMaildrop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []*account{f.a, b} {
		if _, err := a.LockMaildrop(t.Context()); !errors.Is(err, store.ErrInUse) {
			t.Errorf("a second session got %v", err)
		}
	}
	f.mail(plain("mail still arrives", 5))
	first.Release()
	first.Release()
	second, err := b.LockMaildrop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first.Release() // not its own any more
	if _, err := f.a.LockMaildrop(t.Context()); !errors.Is(err, store.ErrInUse) {
		t.Errorf("a third session got %v", err)
	}
	second.Release()
}

// TestLeaseRenewal: a lease is renewed while its process lives, and can be taken 45 seconds after that died.
func TestLeaseRenewal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.on(f.open())
	left := func() int64 {
		return f.number(`select extract(epoch from expires_at - now())::bigint from pop3_lease`)
	}
	lease, err := f.a.LockMaildrop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	if n := left(); n < 40 || n > 60 {
		t.Errorf("the lease ends in %d s", n)
	}
	f.exec(`update pop3_lease set expires_at = now() + interval '3 s'`)
	if err := f.s.renewLeases(t.Context()); err != nil || left() < 40 {
		t.Errorf("after renewal the lease ends in %d s, %v", left(), err)
	}
	f.exec(`update pop3_lease set expires_at = now()`) // as if nobody had renewed it
	taken, err := b.LockMaildrop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Release()
	if err := f.s.renewLeases(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-lease.Lost:
	default:
		t.Error("the first holder was not told")
	}
	if _, err := f.a.LockMaildrop(t.Context()); !errors.Is(err, store.ErrInUse) {
		t.Errorf("and the second one lost it: %v", err)
	}
}

// TestLeaseLeftInOutage: sessions that end while the database is away keep nobody out when it is back: not the same
// process at all, and others no longer than until the next beat.
func TestLeaseLeftInOutage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.on(f.open())
	leave := func() {
		t.Helper()
		if _, err := f.a.LockMaildrop(t.Context()); err != nil {
			t.Fatal(err)
		}
		h := f.s.leases.held[f.a.id]
		f.s.leases.drop(f.a.id, h)
		f.s.leases.leave(f.a.id, h.holder) // as release does when it fails
	}
	leave()
	f.s.leases.leave(f.a.id, 1) // another, that failed to get in meanwhile
	again, err := f.a.LockMaildrop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.a.LockMaildrop(t.Context()); !errors.Is(err, store.ErrInUse) {
		t.Errorf("a second session got %v", err)
	}
	again.Release()

	leave()
	if _, err := b.LockMaildrop(t.Context()); !errors.Is(err, store.ErrInUse) {
		t.Errorf("another process got %v", err)
	}
	if err := f.s.releaseLeft(t.Context()); err != nil || len(f.s.leases.left) > 0 {
		t.Fatal(err, f.s.leases.left)
	}
	there, err := b.LockMaildrop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	there.Release()

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.a.LockMaildrop(gone); err == nil || len(f.s.leases.leftBy(f.a.id)) != 1 {
		t.Error("a lease that may have been taken is not looked after")
	}
}

// TestLeaseWithoutDatabase: a holder that cannot renew must not believe for longer than others do that it holds.
func TestLeaseWithoutDatabase(t *testing.T) {
	t.Parallel()
	l, away := newLeases(), errors.New("away")
	h := &held{holder: 1, lost: make(chan struct{})}
	l.add(5, h)
	start := h.renewed
	l.settle([]int64{1}, map[int64]bool{1: true}, start.Add(1), nil)
	if h.renewed != start.Add(1) {
		t.Error("not taken for renewed")
	}
	l.settle([]int64{1}, nil, start, away) // last renewed ages ago
	select {
	case <-h.lost:
	default:
		t.Error("still believes")
	}
}
