package postgres

import (
	"context"
	"math/rand/v2"
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
}

type held struct {
	holder  int64
	lost    chan struct{}
	once    sync.Once // closes lost, or releases
	renewed time.Time // before the database was last asked; guarded by leases.mu
}

func newLeases() *leases { return &leases{held: make(map[store.AccountID]*held)} }

const sqlTakeLease = `
insert into pop3_lease as l (account_id, holder, expires_at)
select account_id, $2, now() + $3::interval
from accounts
where account_id = $1
on conflict (account_id) do update
set holder = excluded.holder, expires_at = excluded.expires_at
where l.expires_at <= now()`

// LockMaildrop implements store.Account.
func (a *account) LockMaildrop(ctx context.Context) (*store.Lease, error) {
	h := &held{holder: rand.Int64(), lost: make(chan struct{}), renewed: time.Now()}
	tag, err := a.s.pool.Exec(ctx, sqlTakeLease, a.id, h.holder, leaseExpiry)
	if err != nil {
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

// release gives the lease back. If the database is away it ends by itself.
func (a *account) release(h *held) {
	a.s.leases.drop(a.id, h)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := a.s.pool.Exec(ctx, sqlReleaseLease, a.id, h.holder)
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
