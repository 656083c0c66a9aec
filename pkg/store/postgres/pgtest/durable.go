package pgtest

import (
	"context"
	"os"
	"testing"

	"postern/pkg/embedded"
	"postern/pkg/store/postgres/floor"
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

// Floor is floor.Floor for benchmarks: what goes wrong ends them.
type Floor struct{ *floor.Floor }

// NewFloor makes the table and opens the connections.
func NewFloor(b testing.TB, dsn string, conns int) Floor {
	b.Helper()
	f, err := floor.Open(context.Background(), dsn, conns)
	if err != nil {
		b.Fatalf("pgtest: %v", err)
	}
	b.Cleanup(f.Close)
	return Floor{f}
}

// Insert stores n rows, what octets makes of the numbers below n, over all connections at once.
func (f Floor) Insert(b testing.TB, n int, octets func(i int) []byte) {
	b.Helper()
	if err := f.Floor.Insert(context.Background(), n, octets); err != nil {
		b.Error(err)
	}
}

// Select runs the cheapest statement that reads: one row by its key.
func (f Floor) Select(b testing.TB) {
	b.Helper()
	if err := f.Floor.Select(context.Background()); err != nil {
		b.Fatal(err)
	}
}
