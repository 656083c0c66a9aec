// Package pgtest gives tests a PostgreSQL database of their own, migrated and empty.
//
// The server is the one that TEST_DATABASE_URL names (a role that may create databases), or a private one that does not
// flush to disk, started with the first New of a test binary and gone with the binary, whichever way that ends.
package pgtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"postern/migrations"
	"postern/pkg/embedded"
)

const (
	patience     = 2 * time.Minute
	folderPrefix = "postern-pgtest-"
)

// server is what a test binary shares between its tests.
type server struct {
	dsn      string
	admin    *pgxpool.Pool
	template string
	private  *embedded.Server // nil for TEST_DATABASE_URL's
	folder   string           // of the private server
}

// shared starts the server once a test binary. A cluster for each test would cost seconds.
var shared = sync.OnceValues(func() (*server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return start(ctx)
})

// asked says whether shared was ever called, so that Main need not start what nobody used.
var asked = make(chan struct{}, 1)

// New returns the connection string of a new database with the program's schema, which is dropped when the test ends. It
// may be called by any number of tests at once.
func New(t testing.TB) string {
	t.Helper()
	select {
	case asked <- struct{}{}:
	default:
	}
	s, err := shared()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	name := "postern_test_" + strings.ToLower(rand.Text())
	if _, err := s.admin.Exec(ctx, fmt.Sprintf("create database %s template %s", name, s.template)); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if _, err := s.admin.Exec(ctx, fmt.Sprintf("drop database if exists %s with (force)", name)); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return withDatabase(s.dsn, name)
}

// Main runs a package's tests and then stops the private server: func TestMain(m *testing.M) { pgtest.Main(m) }.
func Main(m *testing.M) {
	code := m.Run()
	select {
	case <-asked:
		if s, err := shared(); err == nil {
			s.stop()
		}
	default:
	}
	os.Exit(code)
}

func start(ctx context.Context) (*server, error) {
	s := &server{dsn: os.Getenv("TEST_DATABASE_URL")}
	if s.dsn == "" {
		if err := s.startPrivate(ctx); err != nil {
			return nil, err
		}
	}
	cfg, err := pgxpool.ParseConfig(s.dsn)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = 4
	if s.admin, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return nil, err
	}
	return s, s.makeTemplate(ctx)
}

func (s *server) startPrivate(ctx context.Context) error {
	sweepFolders()
	folder, err := os.MkdirTemp("", folderPrefix)
	if err != nil {
		return err
	}
	s.folder = folder
	s.private, err = embedded.Start(ctx, embedded.Options{
		DataDir:  folder,
		Volatile: true,
		Settings: map[string]string{"max_connections": "400", "shared_buffers": "64MB", "autovacuum_naptime": "5min"},
	})
	if err != nil {
		return errors.Join(err, os.RemoveAll(folder))
	}
	s.dsn = s.private.DSN()
	return nil
}

// stop ends the private server. It reports nothing: the tests are over and the folder is a temporary one.
func (s *server) stop() {
	s.admin.Close()
	if s.private == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.private.Stop(ctx); err == nil {
		os.RemoveAll(s.folder) //nolint:errcheck // swept later
	}
}

// sweepFolders removes what test binaries that were killed have left behind.
func sweepFolders() {
	old, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*")) // the pattern is well-formed
	for _, folder := range old {
		if info, err := os.Stat(folder); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			os.RemoveAll(folder) //nolint:errcheck // swept later
		}
	}
}

// makeTemplate makes the database that the others are copies of, once for each schema and server.
func (s *server) makeTemplate(ctx context.Context) error {
	sum, err := schemaHash()
	if err != nil {
		return err
	}
	s.template = "postern_template_" + sum
	conn, err := s.admin.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "select pg_advisory_lock(hashtext($1))", s.template); err != nil {
		return err
	}
	defer conn.Exec(ctx, "select pg_advisory_unlock(hashtext($1))", s.template) //nolint:errcheck // ends with the connection
	var there bool
	if err := conn.QueryRow(ctx, "select exists (select from pg_database where datname = $1)", s.template).Scan(&there); err != nil || there {
		return err
	}
	draft := s.template + "_draft" // renamed when finished: a template that exists is complete
	for _, sql := range []string{"drop database if exists " + draft, "create database " + draft + " template template0"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	if err := migrate(ctx, withDatabase(s.dsn, draft)); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, fmt.Sprintf("alter database %s rename to %s", draft, s.template))
	return err
}

func migrate(ctx context.Context, dsn string) error {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*cfg)
	defer db.Close() //nolint:errcheck // nothing is under way
	p, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS)
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

func schemaHash() (string, error) {
	h := sha256.New()
	names, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		return "", err
	}
	for _, name := range names {
		text, err := fs.ReadFile(migrations.FS, name)
		if err != nil {
			return "", err
		}
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

// withDatabase is dsn with another database, whichever of the two forms it has.
func withDatabase(dsn, name string) string {
	if u, err := url.Parse(dsn); err == nil && u.Scheme != "" {
		u.Path = "/" + name
		return u.String()
	}
	return dsn + " dbname=" + name
}
