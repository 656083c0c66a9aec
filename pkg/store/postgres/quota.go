package postgres

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// Use is the sum of a few mailbox rows, so no delivery has to lock a row of the account's.
const sqlQuota = `
select coalesce(a.quota_bytes, 0), coalesce(sum(s.bytes), 0)::bigint, coalesce(sum(s.n_msgs), 0)::bigint,
  coalesce(a.quota_messages, 0), count(s.mailbox_id), coalesce(a.quota_mailboxes, 0)
from accounts a
left join mailbox_state s using (account_id)
where a.account_id = $1
group by a.account_id`

// Quota implements store.Account.
func (a *account) Quota(ctx context.Context) (q store.Quota, err error) {
	err = a.s.pool.QueryRow(ctx, sqlQuota, a.id).
		Scan(&q.Limit, &q.Used, &q.Messages, &q.MessageLimit, &q.Mailboxes, &q.MailboxLimit)
	return q, failed("quota", err)
}

const sqlSetLimits = `
update accounts
set quota_bytes = nullif($2::bigint, 0), quota_messages = nullif($3::bigint, 0), quota_mailboxes = nullif($4::bigint, 0)
where account_id = $1 and state < 2`

// SetLimits implements store.Store.
func (s *Store) SetLimits(ctx context.Context, id store.AccountID, l store.Limits) error {
	return s.setAccount(ctx, "set limits", sqlSetLimits, id, l.Octets, l.Messages, l.Mailboxes)
}

const sqlMailboxRoom = `
select coalesce(a.quota_mailboxes, $2::bigint) - c.n
from accounts a
cross join lateral (
  select count(*) as n
  from mailboxes m
  where m.account_id = a.account_id
) c
where a.account_id = $1`

// mayAdd is store.ErrOverQuota when an account may not have n more mailboxes. The tree must be locked.
func (a *account) mayAdd(ctx context.Context, tx pgx.Tx, n int) error {
	var left int64
	err := tx.QueryRow(ctx, sqlMailboxRoom, a.id, int64(math.MaxInt64)).Scan(&left)
	if err == nil && int64(n) > left {
		err = fmt.Errorf("%d mailboxes more, %d left: %w", n, max(left, 0), store.ErrOverQuota)
	}
	return err
}

const sqlRoom = `
select a.account_id, coalesce(a.quota_bytes - u.bytes, $2), coalesce(a.quota_messages - u.messages, $2)
from accounts a
cross join lateral (
  select coalesce(sum(s.bytes), 0)::bigint as bytes, coalesce(sum(s.n_msgs), 0)::bigint as messages
  from mailbox_state s
  where s.account_id = a.account_id
) u
where a.account_id = any($1) and (a.quota_bytes is not null or a.quota_messages is not null)`

// limitAge is how long an account found to have no limit is not asked again.
const limitAge = 5 * time.Second

// space is what more an account may hold; it may be negative.
type space struct{ octets, messages int64 }

// fits is store.ErrOverQuota when that is too much.
func (left space) fits(octets int64, messages int) error {
	switch {
	case octets > 0 && octets > left.octets:
		return fmt.Errorf("%d octets more, %d left: %w", octets, max(left.octets, 0), store.ErrOverQuota)
	case messages > 0 && int64(messages) > left.messages:
		return fmt.Errorf("%d messages more, %d left: %w", messages, max(left.messages, 0), store.ErrOverQuota)
	}
	return nil
}

// room returns what more the accounts may hold, of those that have a limit. Accounts without a limit cost nothing most of
// the time.
func (s *Store) room(ctx context.Context, q querier, ids ...store.AccountID) (map[store.AccountID]space, error) {
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
	rows, err := q.Query(ctx, sqlRoom, ask, int64(math.MaxInt64))
	if err != nil {
		return nil, err
	}
	left := make(map[store.AccountID]space)
	var id store.AccountID
	var one space
	if _, err = pgx.ForEachRow(rows, []any{&id, &one.octets, &one.messages}, func() error {
		left[id] = one
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

// mayGrow is store.ErrOverQuota when an account has a limit that octets and messages more would exceed. What does not grow
// may be.
func (s *Store) mayGrow(ctx context.Context, q querier, id store.AccountID, octets int64, messages int) error {
	if octets <= 0 && messages <= 0 {
		return nil
	}
	left, err := s.room(ctx, q, id)
	if err != nil {
		return err
	}
	if one, limited := left[id]; limited {
		return one.fits(octets, messages)
	}
	return nil
}
