package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"go.uber.org/zap"

	"postern/migrations"
)

// ErrSchema is returned by Open and Migrate when the database's schema is not the program's.
var ErrSchema = errors.New("database schema does not fit this program")

// Migrate brings the database at url to the program's schema version. Several processes may call it at once: one works,
// the others wait. A database of a newer program is refused with ErrSchema. A nil log is allowed.
func Migrate(ctx context.Context, url string, log *zap.Logger) error {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	db := stdlib.OpenDB(*cfg)
	defer db.Close() //nolint:errcheck // nothing is under way
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 600))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS, goose.WithSessionLocker(locker))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return failed("migrate", err)
	}
	if have > want {
		return fmt.Errorf("migrate: %w", tooNew(have, want))
	}
	done, err := p.Up(ctx)
	if err != nil {
		return failed("migrate", err)
	}
	if log == nil {
		return nil
	}
	for _, r := range done {
		log.Info("migrated", zap.Int64("version", r.Source.Version), zap.Duration("took", r.Duration))
	}
	return nil
}

// SchemaVersion returns the version of the database at url, 0 when it is empty, and the version this program needs.
func SchemaVersion(ctx context.Context, url string) (have, want int64, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, 0, failed("schema version", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is under way
	have, err = schemaVersion(ctx, conn)
	return have, programVersion(), err
}

const sqlSchemaVersion = `
select coalesce(max(version_id), 0)
from goose_db_version
where is_applied`

func schemaVersion(ctx context.Context, q querier) (have int64, err error) {
	err = q.QueryRow(ctx, sqlSchemaVersion).Scan(&have)
	var pe *pgconn.PgError
	if errors.As(err, &pe) && pe.Code == undefinedTable {
		return 0, nil
	}
	return have, failed("schema version", err)
}

// programVersion is the number of the last migration in the program.
func programVersion() int64 {
	var last int64
	names, _ := fs.Glob(migrations.FS, "*.sql") // the pattern is well-formed: no error is possible
	for _, name := range names {
		digits, _, _ := strings.Cut(name, "_")
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
			last = max(last, n)
		}
	}
	return last
}

func checkSchema(ctx context.Context, q querier) error {
	have, err := schemaVersion(ctx, q)
	want := programVersion()
	switch {
	case err != nil:
		return err
	case have > want:
		return tooNew(have, want)
	case have < want:
		return fmt.Errorf("%w: it is version %d, the program needs %d; run `postern migrate`", ErrSchema, have, want)
	}
	return nil
}

func tooNew(have, want int64) error {
	return fmt.Errorf("%w: it is version %d, the program knows %d; `postern migrate` of a newer program made it, run that program",
		ErrSchema, have, want)
}
