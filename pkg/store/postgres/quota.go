package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// Use is the sum of a few mailbox rows, so no delivery has to lock a row of the account's.
const sqlQuota = `
select coalesce(a.quota_bytes, 0), coalesce(sum(s.bytes), 0)::bigint, coalesce(sum(s.n_msgs), 0)::bigint
from accounts a
left join mailbox_state s using (account_id)
where a.account_id = $1
group by a.quota_bytes`

// Quota implements store.Account.
func (a *account) Quota(ctx context.Context) (q store.Quota, err error) {
	err = a.s.pool.QueryRow(ctx, sqlQuota, a.id).Scan(&q.Limit, &q.Used, &q.Messages)
	return q, failed("quota", err)
}

const sqlRoom = `
select a.account_id, a.quota_bytes - (select coalesce(sum(bytes), 0) from mailbox_state s where s.account_id = a.account_id)::bigint
from accounts a
where a.account_id = any($1) and a.quota_bytes is not null`

// limitAge is how long an account found to have no limit is not asked again.
const limitAge = 5 * time.Second

// room returns how many octets more the accounts may hold, of those that have a limit. It may be negative. Accounts
// without a limit cost nothing most of the time.
func (s *Store) room(ctx context.Context, q querier, ids ...store.AccountID) (map[store.AccountID]int64, error) {
	now := time.Now()
	var ask []int64
	for _, id := range ids {
		if until, ok := s.unlimited.get(id); !ok || now.After(until) {
			ask = append(ask, int64(id))
		}
	}
	if len(ask) == 0 {
		return nil, nil
	}
	rows, err := q.Query(ctx, sqlRoom, ask)
	if err != nil {
		return nil, err
	}
	left := make(map[store.AccountID]int64)
	var id store.AccountID
	var octets int64
	if _, err = pgx.ForEachRow(rows, []any{&id, &octets}, func() error {
		left[id] = octets
		return nil
	}); err != nil {
		return nil, err
	}
	for _, id := range ask {
		if _, limited := left[store.AccountID(id)]; !limited {
			s.unlimited.put(store.AccountID(id), now.Add(limitAge))
		}
	}
	return left, nil
}

// mayGrow is store.ErrOverQuota when an account has a limit and size more octets would exceed it. What does not grow may be.
func (s *Store) mayGrow(ctx context.Context, q querier, id store.AccountID, size int64) error {
	if size <= 0 {
		return nil
	}
	left, err := s.room(ctx, q, id)
	if err != nil {
		return err
	}
	if octets, limited := left[id]; limited && size > octets {
		return overQuota(size, octets)
	}
	return nil
}

func overQuota(size, left int64) error {
	return fmt.Errorf("%d octets more, %d left: %w", size, max(left, 0), store.ErrOverQuota)
}
