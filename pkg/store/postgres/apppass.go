package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/pkg/auth"
	"postern/pkg/store"
)

// loginBox stands in a notification for the logins of an account, where a mailbox's number stands else.
const loginBox store.MailboxID = -1

// loginFeed tells of changes to who may log in.
type loginFeed struct {
	f atomic.Pointer[func(store.AccountID)]
}

func (l *loginFeed) changed(id store.AccountID) {
	if f := l.f.Load(); f != nil {
		(*f)(id)
	}
}

// OnLoginChange has f called whenever the logins of an account may have changed, in whatever process: a password, a state, an
// app password. 0 stands for any account. f must not block.
func (s *Store) OnLoginChange(f func(store.AccountID)) { s.logins.f.Store(&f) }

// This one notification is part of the transaction, unlike those about mail: the process that changes a login may end right
// after. It names no node, so that every one hears it, our own too.
const sqlNotifyLogin = `
select pg_notify($1, $2)`

func notifyLogin(ctx context.Context, tx pgx.Tx, id store.AccountID) error {
	note := "0|" + strconv.FormatInt(int64(id), 36) + "." + strconv.FormatInt(int64(loginBox), 36) + ";"
	_, err := tx.Exec(ctx, sqlNotifyLogin, channel, note)
	return err
}

// setLogin is setAccount for what decides about logins.
func (s *Store) setLogin(ctx context.Context, op, sql string, id store.AccountID, values ...any) error {
	err := s.transact(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sql, append([]any{id}, values...)...)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return fmt.Errorf("account %d: %w", id, store.ErrNotFound)
		}
		return notifyLogin(ctx, tx, id)
	})
	s.forget(id)
	return failed(op, err)
}

const sqlSetAppOnly = `
update accounts
set app_only = $2
where account_id = $1 and state < 2`

// SetAppOnly says whether only app passwords log in to an account. Sessions of its own password end then. store.ErrNotFound.
func (s *Store) SetAppOnly(ctx context.Context, id store.AccountID, only bool) error {
	return s.setLogin(ctx, "set app passwords only", sqlSetAppOnly, id, only)
}

// MaxAppPasswords is how many an account may have.
const MaxAppPasswords = 100

const sqlAddAppPassword = `
insert into app_passwords (account_id, name, digest, scope, expires_at, scram)
select $1, $2, $3, $4, $5, $7
where (select count(*) from app_passwords where account_id = $1) < $6
returning password_id`

// AddAppPassword keeps an app password: its Name, Digest, SCRAM, Scope and Expires. store.ErrOverQuota when there are
// MaxAppPasswords.
func (s *Store) AddAppPassword(ctx context.Context, id store.AccountID, p auth.AppPassword) (int64, error) {
	var expires *time.Time
	if !p.Expires.IsZero() {
		expires = &p.Expires
	}
	sealed, err := s.sealSCRAM(id, p.SCRAM)
	if err != nil {
		return 0, failed("add app password", err)
	}
	var number int64
	err = s.pool.QueryRow(ctx, sqlAddAppPassword, id, p.Name, p.Digest, strings.Join(p.Scope, ","), expires, MaxAppPasswords, sealed).
		Scan(&number)
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("account %d has %d: %w", id, MaxAppPasswords, store.ErrOverQuota)
	}
	return number, failed("add app password", err)
}

const sqlAppPasswords = `
select password_id, name, digest, scope, created_at, expires_at, used_at, used_from, used_by, scram
from app_passwords
where account_id = $1
order by password_id`

// AppPasswords implements auth.Directory.
func (s *Store) AppPasswords(ctx context.Context, id store.AccountID) ([]auth.AppPassword, error) {
	rows, err := s.pool.Query(ctx, sqlAppPasswords, id)
	if err != nil {
		return nil, failed("app passwords", err)
	}
	all, err := pgx.CollectRows(rows, scanAppPassword)
	for i := range all {
		all[i].Last.Account = id
		all[i].SCRAM = s.openSCRAM(id, all[i].SCRAM)
	}
	return all, failed("app passwords", err)
}

func scanAppPassword(row pgx.CollectableRow) (p auth.AppPassword, err error) {
	var scope, from string
	var expires, used *time.Time
	err = row.Scan(&p.ID, &p.Name, &p.Digest, &scope, &p.Created, &expires, &used, &from, &p.Last.Client, &p.SCRAM)
	if err != nil {
		return p, err
	}
	if scope != "" {
		p.Scope = strings.Split(scope, ",")
	}
	if expires != nil {
		p.Expires = *expires
	}
	p.Last.Password = p.ID
	if used == nil {
		return p, nil
	}
	p.Last.At = *used
	if from != "" {
		p.Last.From, err = netip.ParseAddr(from)
	}
	return p, err
}

const sqlUsedAppPasswords = `
update app_passwords p
set used_at = greatest(p.used_at, u.used_at), used_from = u.used_from,
  used_by = case when u.used_by = '' then p.used_by else u.used_by end
from unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[])
  as u (account_id, password_id, used_at, used_from, used_by)
where p.account_id = u.account_id and p.password_id = u.password_id`

// UsedAppPasswords implements auth.Directory. A use of a password that is gone is nothing.
func (s *Store) UsedAppPasswords(ctx context.Context, uses []auth.Use) error {
	n := len(uses)
	accounts, passwords := make([]int64, n), make([]int64, n)
	times, from, by := make([]time.Time, n), make([]string, n), make([]string, n)
	for i, u := range uses {
		accounts[i], passwords[i], times[i] = int64(u.Account), u.Password, u.At
		by[i] = cleanText(u.Client)
		if u.From.IsValid() {
			from[i] = u.From.String()
		}
	}
	_, err := s.pool.Exec(ctx, sqlUsedAppPasswords, accounts, passwords, times, from, by)
	return failed("uses of app passwords", err)
}

// cleanText is what PostgreSQL takes as text.
func cleanText(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
}

const sqlRevokeAppPassword = `
delete from app_passwords
where account_id = $1 and ($2::bigint = 0 or password_id = $2)`

// RevokeAppPassword removes an app password, or all with 0; their sessions end. store.ErrNotFound.
func (s *Store) RevokeAppPassword(ctx context.Context, id store.AccountID, number int64) error {
	return s.setLogin(ctx, "revoke app password", sqlRevokeAppPassword, id, number)
}
