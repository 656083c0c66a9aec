package postgres

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// A lease of a maildrop is renewed every leaseBeat and is over leaseExpiry after the last renewal, by the database's
// clock.
const (
	leaseBeat   = 15 * time.Second
	leaseExpiry = 45 * time.Second
)

// leases are those this process holds. It is safe for concurrent use.
type leases struct {
	mu   sync.Mutex
	held map[store.AccountID]*held
	// left are holders of sessions that have ended while the database could not be told: their rows may still stand, and
	// must not keep the user out until they expire.
	left map[store.AccountID][]int64
}

type held struct {
	holder  int64
	lost    chan struct{}
	once    sync.Once // closes lost, or releases
	renewed time.Time // before the database was last asked; guarded by leases.mu
}

func newLeases() *leases {
	return &leases{held: make(map[store.AccountID]*held), left: make(map[store.AccountID][]int64)}
}

const sqlTakeLease = `
insert into pop3_lease as l (account_id, holder, expires_at)
select account_id, $2, now() + $3::interval
from accounts
where account_id = $1
on conflict (account_id) do update
set holder = excluded.holder, expires_at = excluded.expires_at
where l.expires_at <= now() or l.holder = any($4)`

// LockMaildrop implements store.Account.
func (a *account) LockMaildrop(ctx context.Context) (*store.Lease, error) {
	h := &held{holder: rand.Int64(), lost: make(chan struct{}), renewed: time.Now()}
	tag, err := a.s.pool.Exec(ctx, sqlTakeLease, a.id, h.holder, leaseExpiry, a.s.leases.leftBy(a.id))
	if err != nil {
		a.s.leases.leave(a.id, h.holder) // it may have been taken all the same
		return nil, failed("lock maildrop", err)
	}
	if tag.RowsAffected() == 0 {
		return nil, failed("lock maildrop", store.ErrInUse)
	}
	a.s.leases.add(a.id, h)
	return &store.Lease{Lost: h.lost, Release: func() { h.once.Do(func() { a.release(h) }) }}, nil
}

// add keeps a lease. One that the account had until now has ended, or it could not have been taken.
func (l *leases) add(id store.AccountID, h *held) {
	l.mu.Lock()
	old := l.held[id]
	l.held[id] = h
	delete(l.left, id)
	l.mu.Unlock()
	if old != nil {
		old.lose()
	}
}

// lose tells the holder. It must not be called with leases.mu held, for a release that is under way needs it.
func (h *held) lose() { h.once.Do(func() { close(h.lost) }) }

// drop forgets a lease, if it is still the one held.
func (l *leases) drop(id store.AccountID, h *held) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[id] == h {
		delete(l.held, id)
	}
}

const sqlReleaseLease = `
delete from pop3_lease
where account_id = $1 and holder = $2`

// leave takes down that a row may stand for nobody.
func (l *leases) leave(id store.AccountID, holder int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left[id] = append(l.left[id], holder)
}

// leftBy is whose rows may be taken over.
func (l *leases) leftBy(id store.AccountID) []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.left[id])
}

// release gives the lease back. If the database is away this is made up for: by the next session here, or else by
// releaseLeft.
func (a *account) release(h *held) {
	a.s.leases.drop(a.id, h)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := a.s.pool.Exec(ctx, sqlReleaseLease, a.id, h.holder)
	if err != nil {
		a.s.leases.leave(a.id, h.holder)
	}
	a.s.outage.report("release maildrop", err)
}

// keepLeases renews the leases of this process until ctx ends, and then those that are left are given up.
func (s *Store) keepLeases(ctx context.Context) {
	tick := time.NewTicker(leaseBeat)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.outage.report("renew maildrop locks", s.renewLeases(ctx))
			s.outage.report("release maildrop", s.releaseLeft(ctx))
		case <-ctx.Done():
			return
		}
	}
}

const sqlRenewLeases = `
update pop3_lease l
set expires_at = now() + $3::interval
from unnest($1::bigint[], $2::bigint[]) as h (account_id, holder)
where l.account_id = h.account_id and l.holder = h.holder
returning l.account_id, l.holder`

func (s *Store) renewLeases(ctx context.Context) error {
	start := time.Now()
	ids, holders := s.leases.list()
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, leaseBeat)
	defer cancel()
	rows, err := s.pool.Query(ctx, sqlRenewLeases, ids, holders, leaseExpiry)
	ours := make(map[int64]bool, len(ids))
	if err == nil {
		var id, holder int64
		_, err = pgx.ForEachRow(rows, []any{&id, &holder}, func() error {
			ours[holder] = true
			return nil
		})
	}
	s.leases.settle(holders, ours, start, err)
	return err
}

const sqlReleaseLeft = `
delete from pop3_lease l
using unnest($1::bigint[], $2::bigint[]) as h (account_id, holder)
where l.account_id = h.account_id and l.holder = h.holder`

// releaseLeft gives back what could not be given back in its time.
func (s *Store) releaseLeft(ctx context.Context) error {
	ids, holders := s.leases.listLeft()
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, leaseBeat)
	defer cancel()
	if _, err := s.pool.Exec(ctx, sqlReleaseLeft, ids, holders); err != nil {
		return err
	}
	s.leases.forgetLeft(holders)
	return nil
}

func (l *leases) listLeft() (ids, holders []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, left := range l.left {
		for _, holder := range left {
			ids, holders = append(ids, int64(id)), append(holders, holder)
		}
	}
	return ids, holders
}

func (l *leases) forgetLeft(holders []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	done := make(map[int64]bool, len(holders))
	for _, h := range holders {
		done[h] = true
	}
	for id, left := range l.left {
		if left = slices.DeleteFunc(left, func(h int64) bool { return done[h] }); len(left) == 0 {
			delete(l.left, id)
			continue
		}
		l.left[id] = left
	}
}

func (l *leases) list() (ids, holders []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, h := range l.held {
		ids, holders = append(ids, int64(id)), append(holders, h.holder)
	}
	return ids, holders
}

// settle takes down what came of asking, at start, for more time for the leases of holders. A lease that another has
// taken is lost, and so is one that could not be renewed before it ended.
func (l *leases) settle(holders []int64, ours map[int64]bool, start time.Time, err error) {
	asked := make(map[int64]bool, len(holders))
	for _, h := range holders {
		asked[h] = true
	}
	var lost []*held
	l.mu.Lock()
	for id, h := range l.held {
		switch {
		case !asked[h.holder]: // taken since
		case ours[h.holder]:
			h.renewed = start
		case err == nil || time.Since(h.renewed) > leaseExpiry-leaseBeat:
			delete(l.held, id)
			lost = append(lost, h)
		}
	}
	l.mu.Unlock()
	for _, h := range lost {
		h.lose()
	}
}
