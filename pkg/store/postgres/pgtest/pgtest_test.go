package pgtest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { Main(m) }

// TestNew makes several databases at once: each is migrated, empty and its own.
func TestNew(t *testing.T) {
	t.Parallel()
	for range 4 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			conn, err := pgx.Connect(context.Background(), New(t))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.Background()) //nolint:errcheck // the database is dropped
			var accounts int
			const sql = "with a as (insert into accounts (address, dek, kek_id) values ('a@b', '', '')) select count(*) from accounts"
			if err := conn.QueryRow(context.Background(), sql).Scan(&accounts); err != nil || accounts != 0 {
				t.Errorf("%d accounts, %v", accounts, err)
			}
		})
	}
}

func TestWithDatabase(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{"postgres://u:p@h:1/old?sslmode=disable", "postgresql:///old?host=/run", "host=/run user=u dbname=old"} {
		cfg, err := pgx.ParseConfig(withDatabase(dsn, "new"))
		if err != nil || cfg.Database != "new" {
			t.Errorf("%s: database %q, %v", dsn, cfg.Database, err)
		}
	}
}
