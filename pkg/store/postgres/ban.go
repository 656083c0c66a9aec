package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/pkg/auth"
	"postern/pkg/store"
)

var _ auth.BanList = (*Store)(nil)

const (
	longestBan = 24 * time.Hour
	banKept    = 24 * time.Hour // after its end; who comes back is banned for longer
	bansRead   = 100_000        // at most, which would be some 20 MB
)

// A ban that is in force is another process's word for the same thing.
const sqlAddBan = `
insert into bans as b (who, reason, until)
values ($1, $2, now() + $3::interval)
on conflict (who) do update
set reason = excluded.reason, since = now(), times = b.times + 1,
  until = now() + least($4::interval, $3::interval * power(2, least(b.times, 16)))
where b.until <= now()`

// AddBans implements auth.BanList.
func (s *Store) AddBans(ctx context.Context, bans []auth.Ban) error {
	b := new(pgx.Batch)
	for _, ban := range bans {
		b.Queue(sqlAddBan, ban.Who, ban.Reason, ban.Until.Sub(ban.Since), longestBan)
	}
	return failed("add bans", s.pool.SendBatch(ctx, b).Close())
}

const sqlBans = `
select who, reason, since, until, times
from bans
where until > now()
order by until desc
limit $1`

// Bans implements auth.BanList.
func (s *Store) Bans(ctx context.Context) ([]auth.Ban, error) {
	rows, err := s.pool.Query(ctx, sqlBans, bansRead)
	if err != nil {
		return nil, failed("list bans", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[auth.Ban])
	return list, failed("list bans", err)
}

const sqlLiftBan = `
with gone as (
  delete from bans
  where who = $1
  returning until
)
select count(*)
from gone
where until > now()`

// LiftBan ends the ban of a prefix or an account, and forgets that there was one. All processes let go of it within some
// seconds. store.ErrNotFound.
func (s *Store) LiftBan(ctx context.Context, who string) error {
	var n int
	err := s.pool.QueryRow(ctx, sqlLiftBan, strings.ToLower(who)).Scan(&n)
	if err == nil && n == 0 {
		err = store.ErrNotFound
	}
	return failed("lift ban", err)
}

const sqlOldBans = `
delete from bans
where ctid = any(array(select ctid from bans where until < $1 limit $2))`

func (sw *sweeper) bans(ctx context.Context) error {
	return failed("delete old bans", sw.repeat(ctx, sqlOldBans, sw.now.Add(-banKept)))
}
