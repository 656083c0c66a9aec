package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// AccountInfo is what an administrator sees of an account.
type AccountInfo struct {
	ID       store.AccountID
	Address  string
	Disabled bool  // no login; mail still arrives
	Deleting bool  // a DeleteAccount was begun and not finished
	Quota    int64 // octets, 0 for no limit
	Used     int64 // octets
	Messages int64
	Created  time.Time
	Disable  string // capabilities of IMAP that are not there for it, with commas between

	MessageLimit int64 // 0 for no limit
	Mailboxes    int64
	MailboxLimit int64 // 0 for no limit

	SecondFactor string // "off"; "pending": not confirmed yet; "on"
}

// addressesLock is the advisory lock of those who give names to accounts and aliases: an address is one or the other.
const addressesLock = 0x706f7374 // any number of our own

const sqlLockAddresses = `
select pg_advisory_xact_lock($1)`

const sqlAddressTaken = `
select exists (select from accounts where address = $1) or exists (select from aliases where address = $1)`

const sqlNewAccountID = `
select nextval(pg_get_serial_sequence('accounts', 'account_id'))`

const sqlInsertAccount = `
insert into accounts (account_id, address, secret, quota_bytes, dek, kek_id)
values ($1, $2, $3, nullif($4::bigint, 0), $5, $6)`

const sqlSubscribeAll = `
insert into subscriptions (account_id, name)
select $1, unnest($2::text[])`

// CreateAccount makes an account with store.DefaultMailboxes, subscribed. secretPHC is a password hash in PHC form; empty
// means that no password works. quota is in octets, 0 for no limit. store.ErrName for what is no address, store.ErrExists
// for one that is an account's or an alias already.
func (s *Store) CreateAccount(ctx context.Context, address, secretPHC string, quota int64) (id store.AccountID, err error) {
	address, err = canonicalAddress(address, false)
	if err != nil {
		return 0, fmt.Errorf("create account: %w", err)
	}
	err = s.transact(ctx, func(tx pgx.Tx) error {
		if err := claimAddress(ctx, tx, address); err != nil {
			return err
		}
		if err := s.keys.checkSome(ctx, tx); err != nil {
			return err // another process with another key was first: this one opened an empty database too
		}
		if err := tx.QueryRow(ctx, sqlNewAccountID).Scan(&id); err != nil {
			return err
		}
		wrapped, err := s.keys.make(id)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sqlInsertAccount, id, address, secretPHC, quota, wrapped, s.keys.id); err != nil {
			return err
		}
		return (&account{s: s, id: id}).createDefaults(ctx, tx)
	})
	s.forget(id)
	return id, failed("create account", err)
}

// canonicalAddress is the form in which addresses are kept. store.ErrName.
func canonicalAddress(address string, catchAll bool) (string, error) {
	a, ok := store.ParseAddress(address)
	if !ok || a.Local == "" && !catchAll {
		return "", fmt.Errorf("address %q: %w", address, store.ErrName)
	}
	return a.String(), nil
}

// claimAddress holds the lock of addresses to the end of the transaction and makes sure that this one is free.
func claimAddress(ctx context.Context, tx pgx.Tx, address string) error {
	if _, err := tx.Exec(ctx, sqlLockAddresses, addressesLock); err != nil {
		return err
	}
	var taken bool
	if err := tx.QueryRow(ctx, sqlAddressTaken, address).Scan(&taken); err != nil {
		return err
	}
	if taken {
		return fmt.Errorf("address %s: %w", address, store.ErrExists)
	}
	return nil
}

func (a *account) createDefaults(ctx context.Context, tx pgx.Tx) error {
	var names []string
	var uses []int16
	for _, m := range store.DefaultMailboxes {
		names, uses = append(names, m.Name), append(uses, bitsOfUse(m.Use))
	}
	if err := a.insertMailboxes(ctx, tx, names, uses); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, sqlSubscribeAll, a.id, names)
	return err
}

const selectAccounts = `
select a.account_id, a.address, a.state = 1, a.state = 2, coalesce(a.quota_bytes, 0),
  coalesce(sum(s.bytes), 0)::bigint, coalesce(sum(s.n_msgs), 0)::bigint, a.created_at,
  a.imap_disable, coalesce(a.quota_messages, 0), count(s.mailbox_id), coalesce(a.quota_mailboxes, 0),
  case when a.totp_on then 'on' when a.totp <> '' then 'pending' else 'off' end
from accounts a
left join mailbox_state s using (account_id)`

const (
	sqlAccounts = selectAccounts + `
group by a.account_id
order by a.address collate "C"`

	sqlAccountByAddress = selectAccounts + `
where a.address = $1
group by a.account_id`
)

// ListAccounts returns all accounts in order of their addresses.
func (s *Store) ListAccounts(ctx context.Context) ([]AccountInfo, error) {
	rows, err := s.pool.Query(ctx, sqlAccounts)
	if err != nil {
		return nil, failed("list accounts", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[AccountInfo])
	return list, failed("list accounts", err)
}

// AccountByAddress returns one account, also one that is being deleted, or store.ErrNotFound.
func (s *Store) AccountByAddress(ctx context.Context, address string) (AccountInfo, error) {
	address, err := canonicalAddress(address, false)
	if err != nil {
		return AccountInfo{}, fmt.Errorf("account: %w: %w", store.ErrNotFound, err)
	}
	rows, err := s.pool.Query(ctx, sqlAccountByAddress, address)
	if err != nil {
		return AccountInfo{}, failed("account", err)
	}
	info, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[AccountInfo])
	return info, failed("account", err)
}

const (
	sqlSetSecret = `
update accounts
set secret = $2, scram = $3, login_epoch = login_epoch + 1
where account_id = $1 and state < 2`

	sqlSetDisabled = `
update accounts
set state = $2
where account_id = $1 and state < 2`

	sqlSetQuota = `
update accounts
set quota_bytes = nullif($2::bigint, 0)
where account_id = $1 and state < 2`

	sqlSetCapabilities = `
update accounts
set imap_disable = $2
where account_id = $1 and state < 2`
)

// SetSecret replaces an account's password hash and forgets its keys of SCRAM. Sessions of the former password end. store.ErrNotFound.
func (s *Store) SetSecret(ctx context.Context, id store.AccountID, secretPHC string) error {
	return s.setLogin(ctx, "set secret", sqlSetSecret, id, secretPHC, "")
}

// SetDisabled ends or restores an account's right to log in. Sessions that are open end; mail still arrives.
// store.ErrNotFound.
func (s *Store) SetDisabled(ctx context.Context, id store.AccountID, disabled bool) error {
	state := stateActive
	if disabled {
		state = stateDisabled
	}
	return s.setLogin(ctx, "set state", sqlSetDisabled, id, state)
}

// SetQuota sets an account's limit in octets, 0 for none. Other processes follow within seconds. store.ErrNotFound.
func (s *Store) SetQuota(ctx context.Context, id store.AccountID, quota int64) error {
	return s.setAccount(ctx, "set quota", sqlSetQuota, id, quota)
}

// SetCapabilities says which capabilities of IMAP are not there for an account, with commas between. Sessions that are open go
// on with those they have. store.ErrNotFound.
func (s *Store) SetCapabilities(ctx context.Context, id store.AccountID, disable string) error {
	return s.setAccount(ctx, "set capabilities", sqlSetCapabilities, id, disable)
}

func (s *Store) setAccount(ctx context.Context, op, sql string, id store.AccountID, values ...any) error {
	tag, err := s.pool.Exec(ctx, sql, append([]any{id}, values...)...)
	if err == nil && tag.RowsAffected() == 0 {
		err = fmt.Errorf("account %d: %w", id, store.ErrNotFound)
	}
	s.forget(id)
	return failed(op, err)
}
