package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// The states of an account.
const (
	stateActive   = 0
	stateDisabled = 1 // no login; mail still arrives
	stateDeleting = 2 // gone for everyone but DeleteAccount
)

const sqlAccount = `
select address
from accounts
where account_id = $1 and state < 2`

// accountAge is how long an account that has been seen is not asked for again. Whoever uses one that was deleted meanwhile
// finds no mailboxes in it.
const accountAge = 5 * time.Second

// seenAccount is what is remembered of an account that was there.
type seenAccount struct {
	address string // which never changes
	until   time.Time
}

// Account implements store.Store. For an account in use it runs no SQL: a delivery begins with it.
func (s *Store) Account(ctx context.Context, id store.AccountID) (store.Account, error) {
	seen, ok := s.there.get(id)
	if !ok || time.Now().After(seen.until) {
		if err := s.pool.QueryRow(ctx, sqlAccount, id).Scan(&seen.address); err != nil {
			return nil, failed("account", err)
		}
		seen.until = time.Now().Add(accountAge)
		s.there.put(id, seen)
	}
	return &account{s: s, id: id, address: seen.address}, nil
}

const (
	routesCached = 16384
	routeAge     = 5 * time.Second
	aliasDepth   = 8    // of aliases that name aliases
	maxTargets   = 1000 // of one address
)

// route is what an address led to when it was looked up. Use is never kept: it changes with every message.
type route struct {
	targets []store.Target
	limited []bool // which targets have a quota
	until   time.Time
}

// Route implements store.Store. A disabled account still gets mail.
func (s *Store) Route(ctx context.Context, address string) (store.Route, error) {
	r, err := s.route(ctx, address)
	if err != nil {
		return store.Route{}, failed("route", err)
	}
	targets := append([]store.Target(nil), r.targets...)
	for i := range targets {
		if !r.limited[i] {
			continue
		}
		left, err := s.room(ctx, s.pool, targets[i].Account)
		if err != nil {
			return store.Route{}, failed("route", err)
		}
		one, limited := left[targets[i].Account]
		targets[i].OverQuota = limited && one.fits(1, 1) != nil
	}
	return store.Route{Targets: targets}, nil
}

func (s *Store) route(ctx context.Context, address string) (route, error) {
	a, ok := s.parseAddress(address)
	if !ok || a.Local == "" {
		return route{}, fmt.Errorf("address %q: %w", address, store.ErrNotFound)
	}
	key := a.String() + "\x00" + a.Detail // the detail's spelling matters
	if r, ok := s.routes.get(key); ok && time.Now().Before(r.until) {
		return r, nil
	}
	r, err := s.lookup(ctx, a)
	if err == nil {
		s.routes.put(key, r)
	}
	return r, err
}

// parseAddress is store.ParseAddress with the configured delimiter.
func (s *Store) parseAddress(address string) (store.Address, bool) {
	a, ok := store.ParseAddress(address)
	if delimiter := s.opts.RecipientDelimiter; ok && delimiter != "+" {
		a.Base, a.Detail = a.Local, ""
		at := strings.LastIndexByte(address, '@')
		if i := strings.Index(address[:at], delimiter); i > 0 {
			base, _ := store.ParseAddress(address[:i] + address[at:])
			a.Base, a.Detail = base.Local, address[i+len(delimiter):at]
		}
	}
	return a, ok
}

// The first of the candidates that is an account or an alias, and the accounts it leads to. union drops what is reached
// twice at one depth; the depth bounds the rest.
const sqlRoute = `
with recursive first as (
  select k.address, k.nth
  from unnest($1::text[]) with ordinality k(address, nth)
  where exists (select from accounts a where a.address = k.address and a.state < 2)
    or exists (select from aliases l where l.address = k.address)
  order by k.nth
  limit 1
), reach(address, depth) as (
  select address, 0
  from first
  union
  select l.target, r.depth + 1
  from reach r
  join aliases l on l.address = r.address
  where r.depth < $2
)
select (select nth from first), a.account_id, a.address, m.mailbox_id, a.quota_bytes is not null or a.quota_messages is not null
from accounts a
join mailboxes m on m.account_id = a.account_id and m.name = 'INBOX'
where a.state < 2 and a.address in (select address from reach)
order by a.account_id
limit $3`

func (s *Store) lookup(ctx context.Context, a store.Address) (route, error) {
	candidates := a.Candidates()
	rows, err := s.pool.Query(ctx, sqlRoute, candidates, aliasDepth, maxTargets)
	if err != nil {
		return route{}, err
	}
	r := route{until: time.Now().Add(routeAge)}
	var t store.Target
	var limited bool
	var nth int
	_, err = pgx.ForEachRow(rows, []any{&nth, &t.Account, &t.Address, &t.Inbox, &limited}, func() error {
		if a.Base != a.Local && nth == 2 {
			t.Detail = a.Detail
		}
		r.targets = append(r.targets, t)
		r.limited = append(r.limited, limited)
		return nil
	})
	if err == nil && len(r.targets) == 0 {
		err = fmt.Errorf("address %q: %w", a, store.ErrNotFound)
	}
	return r, err
}

// forget drops what is remembered of an account, after an administrator has changed it here. Other processes notice
// within seconds.
func (s *Store) forget(id store.AccountID) {
	s.routes.clear()
	s.unlimited.drop(id)
	s.there.drop(id)
}
