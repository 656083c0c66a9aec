package postgres

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"postern/pkg/store/postgres/pgtest"
)

// emptied gives a database without a schema.
func emptied(t testing.TB) (url string, conn *pgx.Conn) {
	t.Helper()
	url = pgtest.New(t)
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) }) //nolint:errcheck // the database is dropped
	if _, err := conn.Exec(context.Background(), "drop schema public cascade; create schema public"); err != nil {
		t.Fatal(err)
	}
	return url, conn
}

// TestMigrate brings an empty database up, from several processes at once, and refuses to touch one from the future.
func TestMigrate(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url, conn := emptied(t)
	have, want, err := SchemaVersion(ctx, url)
	if err != nil || have != 0 || want != programVersion() || want < 1 {
		t.Fatalf("version %d of %d, %v", have, want, err)
	}
	_, err = Open(ctx, Options{URL: url, MasterKey: masterKey})
	if !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "postern migrate") {
		t.Errorf("Open of an empty database: %v", err)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := Migrate(ctx, url, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if have, _, err = SchemaVersion(ctx, url); err != nil || have != want {
		t.Errorf("version %d after migration, %v", have, err)
	}
	reopen(t, url)
	if _, err := conn.Exec(ctx, "insert into goose_db_version (version_id, is_applied) values ($1, true)", want+1); err != nil {
		t.Fatal(err)
	}
	_, openErr := Open(ctx, Options{URL: url, MasterKey: masterKey})
	for name, err := range map[string]error{"Open": openErr, "Migrate": Migrate(ctx, url, nil)} {
		if !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "newer") {
			t.Errorf("%s of a database from the future: %v", name, err)
		}
	}
}
