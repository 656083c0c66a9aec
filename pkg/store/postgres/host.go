package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/net/idna"

	"postern/pkg/store"
)

// Host is a name of a customer's for which a certificate may be ordered when a client first asks for it.
type Host struct {
	Name    string // as DNS has it
	Created time.Time
}

const sqlAddHost = `
insert into hosts (name)
values ($1)
on conflict do nothing`

// AddHost lets certificates be ordered for a name, given in any alphabet. Adding one twice is no error. store.ErrName for
// what is no host name.
func (s *Store) AddHost(ctx context.Context, name string) error {
	ascii, err := hostName(name)
	if err == nil {
		_, err = s.pool.Exec(ctx, sqlAddHost, ascii)
	}
	return failed("add host", err)
}

const sqlRemoveHost = `
delete from hosts
where name = $1`

// RemoveHost ends that. The certificate there is serves until it expires. store.ErrNotFound.
func (s *Store) RemoveHost(ctx context.Context, name string) error {
	ascii, err := hostName(name)
	if err != nil {
		return failed("remove host", err)
	}
	tag, err := s.pool.Exec(ctx, sqlRemoveHost, ascii)
	if err == nil && tag.RowsAffected() == 0 {
		err = store.ErrNotFound
	}
	return failed("remove host", err)
}

const sqlHosts = `
select name, created_at
from hosts
order by name`

// Hosts returns all names.
func (s *Store) Hosts(ctx context.Context) ([]Host, error) {
	rows, err := s.pool.Query(ctx, sqlHosts)
	if err != nil {
		return nil, failed("list hosts", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Host])
	return list, failed("list hosts", err)
}

const sqlHasHost = `
select exists (select from hosts where name = $1)`

// HasHost reports whether a name, as a client wrote it in its handshake, is one of them.
func (s *Store) HasHost(ctx context.Context, name string) (found bool, err error) {
	ascii, err := hostName(name)
	if err != nil {
		return false, nil //nolint:nilerr // what is no name is not one of them
	}
	err = s.pool.QueryRow(ctx, sqlHasHost, ascii).Scan(&found)
	return found, failed("look for host", err)
}

// hostName brings a name into the form of DNS.
func hostName(name string) (string, error) {
	ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(strings.ToLower(name), "."))
	if err != nil || !strings.Contains(ascii, ".") || len(ascii) > 253 {
		return "", fmt.Errorf("%q is no host name: %w", name, store.ErrName)
	}
	return ascii, nil
}
