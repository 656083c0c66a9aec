package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// Alias is another address of one or several accounts.
type Alias struct {
	Address string   // "@example.org" is what catches all other mail of the domain
	Targets []string // addresses of accounts and of other aliases
}

var (
	// ErrAliasLoop is returned for an alias that would lead back to itself, or through too many others.
	ErrAliasLoop = errors.New("alias leads to itself, or too far")
	// ErrAliasUsed is returned for an alias that another one names.
	ErrAliasUsed = errors.New("alias is the target of another")
)

const sqlInsertAlias = `
insert into aliases (address, target)
select $1, unnest($2::text[])
on conflict do nothing`

const sqlUnknownTargets = `
select t.address
from unnest($1::text[]) t(address)
where not exists (select from accounts a where a.address = t.address and a.state < 2)
  and not exists (select from aliases l where l.address = t.address)
limit 1`

const sqlIsAccount = `
select exists (select from accounts where address = $1)`

// The longest way from every alias that can lead to $1, through it: a loop goes on to the limit.
const sqlAliasDepth = `
with recursive up(address, depth) as (
  select $1::text, 0
  union
  select l.address, u.depth + 1
  from up u
  join aliases l on l.target = u.address
  where u.depth <= $2
), down(address, depth) as (
  select $1::text, 0
  union
  select l.target, d.depth + 1
  from down d
  join aliases l on l.address = d.address
  where d.depth <= $2
)
select (select max(depth) from up) + (select max(depth) from down)`

// AddAlias lets mail for an address, or with "@example.org" all other mail for a domain, go to the targets: accounts of
// this server and other aliases. Targets that the alias has already stay. store.ErrName for what is no address,
// store.ErrExists for an account's, store.ErrNotFound for an unknown target, ErrAliasLoop.
func (s *Store) AddAlias(ctx context.Context, address string, targets ...string) error {
	address, err := canonicalAddress(address, true)
	if err != nil {
		return fmt.Errorf("add alias: %w", err)
	}
	names := make([]string, len(targets))
	for i, target := range targets {
		if names[i], err = canonicalAddress(target, true); err != nil {
			return fmt.Errorf("add alias: %w", err)
		}
	}
	if len(names) == 0 || len(names) > maxTargets {
		return fmt.Errorf("add alias: %d targets: %w", len(names), store.ErrName)
	}
	err = s.transact(ctx, func(tx pgx.Tx) error { return addAlias(ctx, tx, address, names) })
	s.routes.clear()
	return failed("add alias", err)
}

func addAlias(ctx context.Context, tx pgx.Tx, address string, targets []string) error {
	if _, err := tx.Exec(ctx, sqlLockAddresses, addressesLock); err != nil {
		return err
	}
	var taken bool
	if err := tx.QueryRow(ctx, sqlIsAccount, address).Scan(&taken); err != nil {
		return err
	}
	if taken {
		return fmt.Errorf("%s is an account: %w", address, store.ErrExists)
	}
	if _, err := tx.Exec(ctx, sqlInsertAlias, address, targets); err != nil {
		return err
	}
	var unknown string
	if err := tx.QueryRow(ctx, sqlUnknownTargets, targets).Scan(&unknown); err == nil {
		return fmt.Errorf("%s is neither an account nor an alias: %w", unknown, store.ErrNotFound)
	} else if !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	var depth int
	if err := tx.QueryRow(ctx, sqlAliasDepth, address, aliasDepth).Scan(&depth); err != nil {
		return err
	}
	if depth > aliasDepth {
		return fmt.Errorf("%s: %w", address, ErrAliasLoop)
	}
	return nil
}

const sqlAliases = `
select address, array_agg(target order by target collate "C")
from aliases
group by address
order by address collate "C"`

// ListAliases returns all aliases in order.
func (s *Store) ListAliases(ctx context.Context) ([]Alias, error) {
	rows, err := s.pool.Query(ctx, sqlAliases)
	if err != nil {
		return nil, failed("list aliases", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Alias])
	return list, failed("list aliases", err)
}

const (
	sqlDeleteAlias = `
delete from aliases
where address = $1 and ($2::text[] is null or target = any($2))`

	sqlAliasUser = `
select l.address
from aliases l
where l.target = $1 and not exists (select from aliases o where o.address = $1)
limit 1`
)

// DeleteAlias removes targets of an alias, or, when none is given, the alias. store.ErrNotFound when there is nothing to
// remove, ErrAliasUsed when another alias would be left without a target.
func (s *Store) DeleteAlias(ctx context.Context, address string, targets ...string) error {
	address, err := canonicalAddress(address, true)
	if err != nil {
		return fmt.Errorf("delete alias: %w: %w", store.ErrNotFound, err)
	}
	var names []string
	for _, target := range targets {
		name, err := canonicalAddress(target, true)
		if err != nil {
			return fmt.Errorf("delete alias: %w: %w", store.ErrNotFound, err)
		}
		names = append(names, name)
	}
	err = s.transact(ctx, func(tx pgx.Tx) error { return deleteAlias(ctx, tx, address, names) })
	s.routes.clear()
	return failed("delete alias", err)
}

func deleteAlias(ctx context.Context, tx pgx.Tx, address string, targets []string) error {
	if _, err := tx.Exec(ctx, sqlLockAddresses, addressesLock); err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, sqlDeleteAlias, address, targets)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("alias %s: %w", address, store.ErrNotFound)
	}
	var user string
	if err := tx.QueryRow(ctx, sqlAliasUser, address).Scan(&user); err == nil {
		return fmt.Errorf("%s is a target of %s: %w", address, user, ErrAliasUsed)
	} else if !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	return nil
}
