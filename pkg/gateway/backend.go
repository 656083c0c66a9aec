package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"go.uber.org/zap"

	"postern/pkg/embedded"
	"postern/pkg/store"
	"postern/pkg/store/postgres"
)

// Backend is the store and, if it is private, the PostgreSQL below it.
type Backend struct {
	Store   *postgres.Store
	private *embedded.Server // nil with a configured database
	log     *zap.Logger
}

// connsKept is how many connections to the database a server has at all times: as many as logins may use at once (package
// auth). While they do, others are ready for those who are logged in (package postgres).
const connsKept = 8

// OpenBackend opens the store for serving. A private PostgreSQL becomes this process's own.
func OpenBackend(ctx context.Context, o Options) (*Backend, error) {
	return open(ctx, o, postgres.Options{KeepConns: connsKept, Warm: true, Alone: o.Config.Database.AnswerFromMemory}, embedded.Start)
}

// OpenForCommand opens the store for a command that works beside a running gateway and without one: a private PostgreSQL
// that runs is used, one that does not is started until Close.
func OpenForCommand(ctx context.Context, o Options) (*Backend, error) {
	return open(ctx, o, postgres.Options{}, embedded.Open)
}

type starter func(context.Context, embedded.Options) (*embedded.Server, error)

// open fills in what both uses of a store have in common.
func open(ctx context.Context, o Options, use postgres.Options, start starter) (*Backend, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if err := makeDataDir(o); err != nil {
		return nil, err
	}
	key, made, err := o.Config.MasterKey()
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w; run this as root, or as the user that \"postern serve\" runs as", err)
	case err != nil:
		return nil, err
	}
	if made {
		o.Log.Warn("a new master key was made: keep a copy apart from the database; losing it loses all mail",
			zap.String("file", o.Config.Crypt.MasterKeyFile))
	}
	b := &Backend{log: o.Log}
	url, err := b.database(ctx, o, start)
	if err != nil {
		return nil, err
	}
	if o.Config.Database.MigrateOnStart {
		if err := postgres.Migrate(ctx, url, o.Log.Named("migrate")); err != nil {
			b.Close()
			return nil, unreachable(o, err)
		}
	}
	use.URL, use.MasterKey, use.Log = url, key, o.Log.Named("store")
	if o.Registry != nil {
		use.Registerer = o.Registry
	}
	use.Compression, use.CacheBytes, use.Undelete = o.Config.Store.Compression, o.Config.Store.Cache, positive(o.Config.Store.Undelete)
	use.BodyBytes = o.Config.Store.Bodies
	use.IndexFrom, use.IndexLoad = positive(o.Config.Store.IndexFrom), o.Config.Store.IndexLoad
	use.MaxConns, use.MaxMailboxes = int32(o.Config.Database.MaxConns), o.Config.Limits.MailboxesPerAccount
	use.LoginHistory, use.RecipientDelimiter = o.Config.Auth.History, o.Config.LMTP.RecipientDelimiter
	b.Store, err = postgres.Open(ctx, use)
	if err != nil {
		b.Close()
		if errors.Is(err, postgres.ErrMasterKey) {
			return nil, wrongKey(err, o.Config.Crypt.MasterKeyFile, made)
		}
		return nil, unreachable(o, err)
	}
	return b, nil
}

// wrongKey says what to do about a key that the database refuses. One that was just made has sealed nothing and goes: it
// would be taken for the right one.
func wrongKey(err error, file string, made bool) error {
	if made {
		return errors.Join(fmt.Errorf("%w; there was none in %s: restore it from its backup", err, file), os.Remove(file))
	}
	return fmt.Errorf("%w; restore %s from its backup", err, file)
}

// unreachable says what to try when a configured database cannot be opened.
func unreachable(o Options, err error) error {
	if o.Config.Private() || !errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w\nIs database.url right, and does PostgreSQL let us in? Try: psql \"$POSTERN_DATABASE_URL\"", err)
}

// makeDataDir makes the data folder for us alone; as root the private PostgreSQL's user must be able to pass through it.
// A folder that is there is left as it is.
func makeDataDir(o Options) error {
	mode := os.FileMode(0o700)
	if o.Config.Private() && os.Geteuid() == 0 {
		mode = 0o711
	}
	if err := os.MkdirAll(o.Config.DataDir, mode); err != nil {
		return fmt.Errorf("data_dir: %w; make it for the user you run this as, or name another with --data-dir", err)
	}
	return nil
}

// database returns the URL of the configured database, or starts the private one.
func (b *Backend) database(ctx context.Context, o Options, start starter) (string, error) {
	if !o.Config.Private() {
		return o.Config.Database.URL, nil
	}
	log := o.Log.Named("postgresql").Sugar()
	var err error
	b.private, err = start(ctx, embedded.Options{
		DataDir: o.Config.ClusterDir(), BinDir: o.Config.Embedded.BinDir, User: o.Config.Embedded.User,
		Log: func(msg string, kv ...any) { log.Infow(msg, kv...) },
	})
	if err != nil {
		return "", fmt.Errorf("private PostgreSQL (database.url is empty): %w", err)
	}
	return b.private.DSN(), nil
}

// positive turns a setting in which 0 means off into an option in which 0 means the default.
func positive[T int | int64 | time.Duration](setting T) T {
	if setting == 0 {
		return -1
	}
	return setting
}

// Migrate brings the database to this program's schema.
func Migrate(ctx context.Context, o Options) error {
	b := &Backend{log: o.Log}
	defer b.Close()
	url, err := b.database(ctx, o, embedded.Open)
	if err != nil {
		return err
	}
	return unreachable(o, postgres.Migrate(ctx, url, o.Log))
}

// Close ends the store and then, if it is ours, the private PostgreSQL.
func (b *Backend) Close() {
	if b.Store != nil {
		b.Store.Close()
	}
	if b.private != nil {
		if err := b.private.Stop(context.Background()); err != nil {
			b.log.Error("the private PostgreSQL did not stop cleanly; it recovers at the next start", zap.Error(err))
		}
	}
}
