// Package floor does to a PostgreSQL the least that could be done for what the store does: rows of octets, one commit each.
// What the store needs beyond it is the store's own price.
package floor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Floor inserts octets into a table of its own, as plainly as can be: a row and a commit each.
type Floor struct {
	pool *pgxpool.Pool
	next atomic.Int64
}

const (
	// Compression by the server would be work that the store does not leave to it.
	sqlTable = `
create table if not exists floor (id bigint primary key, data bytea not null);
alter table floor alter data set storage external`

	sqlLast = `
select coalesce(max(id), 0)
from floor`

	sqlRow = `
insert into floor (id, data)
values ($1, $2)`

	sqlRead = `
select id
from floor
where id = $1`

	sqlEmpty = `
truncate floor`

	sqlSettings = `
select name, current_setting(name)
from pg_settings
where name = any($1)`
)

// Open makes the table, unless it is there, and opens the connections.
func Open(ctx context.Context, dsn string, conns int) (*Floor, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("floor: %w", err)
	}
	cfg.MaxConns, cfg.MinConns = int32(conns), int32(conns)
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("floor: %w", err)
	}
	f := &Floor{pool: pool}
	var last int64
	_, err = pool.Exec(ctx, sqlTable)
	if err == nil {
		err = pool.QueryRow(ctx, sqlLast).Scan(&last)
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("floor: make the table: %w", err)
	}
	f.next.Store(last)
	return f, nil
}

// Close closes the connections.
func (f *Floor) Close() { f.pool.Close() }

// Insert stores n rows, what octets makes of the numbers below n, over all connections at once.
func (f *Floor) Insert(ctx context.Context, n int, octets func(i int) []byte) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, f.pool.Config().MaxConns)
	for conn := range errs {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && errs[conn] == nil; i = int(next.Add(1)) - 1 {
				_, errs[conn] = f.pool.Exec(ctx, sqlRow, f.next.Add(1), octets(i))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("floor: insert: %w", err)
	}
	return nil
}

// Select runs the cheapest statement that reads: one row by its key.
func (f *Floor) Select(ctx context.Context) error {
	if _, err := f.pool.Exec(ctx, sqlRead, 1); err != nil {
		return fmt.Errorf("floor: select: %w", err)
	}
	return nil
}

// Empty removes the rows.
func (f *Floor) Empty(ctx context.Context) error {
	if _, err := f.pool.Exec(ctx, sqlEmpty); err != nil {
		return fmt.Errorf("floor: empty the table: %w", err)
	}
	return nil
}

// Settings asks the running server for settings by their names.
func (f *Floor) Settings(ctx context.Context, names ...string) (map[string]string, error) {
	rows, err := f.pool.Query(ctx, sqlSettings, names)
	if err != nil {
		return nil, fmt.Errorf("floor: settings: %w", err)
	}
	defer rows.Close()
	found := make(map[string]string)
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return nil, fmt.Errorf("floor: settings: %w", err)
		}
		found[name] = value
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("floor: settings: %w", err)
	}
	return found, nil
}
