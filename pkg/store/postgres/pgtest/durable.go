package pgtest

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/pkg/embedded"
)

// Durable returns the connection string of a migrated database on a server of its own that flushes every commit to disk:
// what a commit costs is what a benchmark of writing measures. The server ends with the benchmark.
func Durable(b testing.TB) string {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	folder, err := os.MkdirTemp("", folderPrefix)
	if err != nil {
		b.Fatalf("pgtest: %v", err)
	}
	b.Cleanup(func() { os.RemoveAll(folder) }) //nolint:errcheck // swept later
	srv, err := embedded.Start(ctx, embedded.Options{
		DataDir:  folder,
		Settings: map[string]string{"shared_buffers": "256MB", "max_wal_size": "4GB"},
	})
	if err != nil {
		b.Fatalf("pgtest: %v", err)
	}
	b.Cleanup(func() { srv.Stop(context.Background()) }) //nolint:errcheck // the folder is removed
	if err := migrate(ctx, srv.DSN()); err != nil {
		b.Fatalf("pgtest: %v", err)
	}
	return srv.DSN()
}

// Floor inserts octets into a table of its own, as plainly as can be: a row and a commit each.
type Floor struct {
	pool *pgxpool.Pool
	next atomic.Int64
}

const (
	// Compression by the server would be work that the store does not leave to it.
	sqlFloor = `
create table if not exists floor (id bigint primary key, data bytea not null);
alter table floor alter data set storage external`

	sqlFloorRow = `
insert into floor (id, data)
values ($1, $2)`

	sqlFloorRead = `
select id
from floor
where id = $1`
)

// NewFloor makes the table and opens the connections.
func NewFloor(b testing.TB, dsn string, conns int) *Floor {
	b.Helper()
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		b.Fatalf("pgtest: %v", err)
	}
	cfg.MaxConns, cfg.MinConns = int32(conns), int32(conns)
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		b.Fatalf("pgtest: %v", err)
	}
	b.Cleanup(pool.Close)
	if _, err := pool.Exec(context.Background(), sqlFloor); err != nil {
		b.Fatalf("pgtest: %v", err)
	}
	return &Floor{pool: pool}
}

// Insert stores n rows, what octets makes of the numbers below n, over all connections at once.
func (f *Floor) Insert(b testing.TB, n int, octets func(i int) []byte) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range f.pool.Config().MaxConns {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if _, err := f.pool.Exec(context.Background(), sqlFloorRow, f.next.Add(1), octets(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// Select runs the cheapest statement that reads: one row by its key.
func (f *Floor) Select(b testing.TB) {
	b.Helper()
	if _, err := f.pool.Exec(context.Background(), sqlFloorRead, 1); err != nil {
		b.Fatal(err)
	}
}
