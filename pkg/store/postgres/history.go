package postgres

import (
	"context"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/pkg/auth"
	"postern/pkg/store"
)

var _ auth.History = (*Store)(nil)

const (
	loginsKept  = 1000                 // of one account, and as many that failed
	placeKept   = 180 * 24 * time.Hour // after the last login from there
	loginsShown = 2 * loginsKept
)

const sqlAddLogins = `
insert into logins (account_id, ok, at, count, address, protocol, mechanism, client, result)
select r.account_id, r.result = 'ok', r.at, r.count, r.address, r.protocol, r.mechanism, r.client, r.result
from unnest($1::bigint[], $2::timestamptz[], $3::int[], $4::inet[], $5::text[], $6::text[], $7::text[], $8::text[])
  as r (account_id, at, count, address, protocol, mechanism, client, result)
join accounts a on a.account_id = r.account_id and a.state < 2`

// What goes is found first, once for each account: an attack is many records of the same one.
const sqlTrimLogins = `
with last as materialized (
  select a as account_id, o as ok, (
    select login_id
    from logins x
    where x.account_id = a and x.ok = o
    order by login_id desc
    offset $2
    limit 1
  ) as login_id
  from (select distinct unnest($1::bigint[])) as accounts (a), unnest(array[true, false]) o
)
delete from logins l
using last
where l.account_id = last.account_id and l.ok = last.ok and l.login_id <= last.login_id`

// All of it sees the places as they were before.
const sqlAddPlaces = `
with r as (
  select r.account_id, r.place, r.client, max(r.at) as at, min(r.nr) as nr
  from unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[]) with ordinality as r (account_id, place, client, at, nr)
  join accounts a on a.account_id = r.account_id and a.state < 2
  group by 1, 2, 3
), added as (
  insert into login_places (account_id, place, client, last_at)
  select account_id, place, client, at
  from r
  order by 1, 2, 3
  on conflict (account_id, place, client) do update
  set last_at = excluded.last_at
)
select r.nr
from r
where exists (select from login_places p where p.account_id = r.account_id)
  and (not exists (select from login_places p where p.account_id = r.account_id and p.place = r.place)
    or r.client <> '' and not exists (select from login_places p where p.account_id = r.account_id and p.client = r.client))
order by r.nr`

// AddLogins implements auth.History.
func (s *Store) AddLogins(ctx context.Context, records []auth.Record) (novel []auth.Record, err error) {
	accounts, ok := columnsOf(records), columnsOf(successes(records))
	var places []string
	for i := range ok.records {
		places = append(places, ok.records[i].Place())
	}
	var numbers []int
	err = s.transact(ctx, func(tx pgx.Tx) error {
		c := accounts
		if _, err := tx.Exec(ctx, sqlAddLogins, c.account, c.at, c.count, c.addr, c.protocol, c.mechanism, c.client, c.result); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sqlTrimLogins, c.account, loginsKept); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, sqlAddPlaces, ok.account, places, ok.client, ok.at)
		if err != nil {
			return err
		}
		numbers, err = pgx.CollectRows(rows, pgx.RowTo[int])
		return err
	})
	if err != nil {
		return nil, failed("add logins", err)
	}
	for _, n := range numbers {
		novel = append(novel, ok.records[n-1])
	}
	return novel, nil
}

func successes(records []auth.Record) (ok []auth.Record) {
	for _, r := range records {
		if r.OK() {
			ok = append(ok, r)
		}
	}
	return ok
}

// loginColumns is logins as arrays for PostgreSQL.
type loginColumns struct {
	records                             []auth.Record
	account                             []store.AccountID
	at                                  []time.Time
	count                               []int
	addr                                []*netip.Addr
	protocol, mechanism, client, result []string
}

func columnsOf(records []auth.Record) loginColumns {
	c := loginColumns{records: records}
	for i := range records {
		r := &records[i]
		var addr *netip.Addr
		if r.Addr.IsValid() {
			plain := r.Addr.WithZone("")
			addr = &plain
		}
		c.account, c.at, c.count, c.addr = append(c.account, r.Account), append(c.at, r.At), append(c.count, r.Count), append(c.addr, addr)
		c.protocol, c.mechanism = append(c.protocol, r.Protocol), append(c.mechanism, r.Mechanism)
		c.client, c.result = append(c.client, r.Client), append(c.result, r.Result)
	}
	return c
}

const sqlLogins = `
select account_id, '', at, count, address, protocol, mechanism, client, result
from logins
where account_id = $1
order by at desc, login_id desc
limit $2`

// Logins returns the login history of an account, the latest first.
func (s *Store) Logins(ctx context.Context, id store.AccountID) ([]auth.Record, error) {
	rows, err := s.pool.Query(ctx, sqlLogins, id, loginsShown)
	if err != nil {
		return nil, failed("list logins", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r auth.Record, err error) {
		var addr *netip.Addr
		err = row.Scan(&r.Account, &r.User, &r.At, &r.Count, &addr, &r.Protocol, &r.Mechanism, &r.Client, &r.Result)
		if addr != nil {
			r.Addr = addr.Unmap()
		}
		return r, err
	})
	return list, failed("list logins", err)
}

const sqlPlaces = `
select a.address, l.address
from logins l
join accounts a on a.account_id = l.account_id and a.state < 2
where l.at > $1 and l.ok and l.address is not null
group by a.address, l.address
order by max(l.at) desc
limit $2`

// Places implements auth.History.
func (s *Store) Places(ctx context.Context, since time.Time, most int) ([]auth.Record, error) {
	rows, err := s.pool.Query(ctx, sqlPlaces, since, most)
	if err != nil {
		return nil, failed("list places of logins", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r auth.Record, err error) {
		err = row.Scan(&r.User, &r.Addr)
		r.Addr = r.Addr.Unmap()
		return r, err
	})
	return list, failed("list places of logins", err)
}

const sqlOldLogins = `
delete from logins
where ctid = any(array(select ctid from logins where at < $1 limit $2))`

const sqlOldPlaces = `
delete from login_places
where ctid = any(array(select ctid from login_places where last_at < $1 limit $2))`

// logins forgets the history beyond its time.
func (sw *sweeper) logins(ctx context.Context) error {
	return failed("delete old logins", sw.repeat(ctx, sqlOldLogins, sw.now.Add(-sw.s.opts.LoginHistory)))
}
