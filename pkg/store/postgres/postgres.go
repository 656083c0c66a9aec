package postgres

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"postern/pkg/store"
)

// DefaultUndelete is how long expunged messages stay recoverable unless Options say otherwise.
const DefaultUndelete = 14 * 24 * time.Hour

// DefaultLoginHistory is how long logins are kept unless Options say otherwise.
const DefaultLoginHistory = 90 * 24 * time.Hour

// Options says how a Store works. URL and MasterKey are required; every zero value else means the default.
type Options struct {
	URL       string // of the database; several hosts give failover
	MasterKey []byte // the key-encryption key, 32 octets: without it the mail cannot be read

	Compression        string        // of bodies: "s2" (default), "zstd" or "none"
	CacheBytes         int64         // memory for snapshots of mailboxes, and half as much for sort keys; 0 means 256 MiB
	BodyBytes          int64         // memory for messages that have been read of late; 0 means 64 MiB
	Undelete           time.Duration // how long expunged messages stay recoverable; 0 means DefaultUndelete, negative not at all
	LoginHistory       time.Duration // how long logins are kept; 0 means DefaultLoginHistory
	MaxConns           int32         // connections at most, a few for deliveries not counted; 0 means 32
	KeepConns          int32         // of those are there at all times; others come and go
	Warm               bool          // load the mailboxes that servers before this one had in memory, and keep such a list for the next
	RecipientDelimiter string        // between user and detail in an address; empty means "+"
	MaxMailboxes       int           // of one account; 0 means store.DefaultMaxMailboxes
	Poll               time.Duration // how often watched mailboxes are looked at should a notification be lost; 0 means 5 s
	IndexFrom          int           // messages from which on a mailbox is indexed for search; 0 means DefaultIndexFrom, negative none
	IndexLoad          int           // of a processor, in percent, for indexing; 0 means DefaultIndexLoad
	Node               int           // 1 to 1023, unique among processes; 0 takes a free one
	Alone              bool          // answer from memory while no other process is on the database; rows must not be changed by hand then

	Log        *zap.Logger           // nil means none
	Registerer prometheus.Registerer // for metrics; nil means none

	sizes       gramSizes     // tests set them
	openedEvery time.Duration // and this
	patience    patience      // and these
}

func (o Options) withDefaults() Options {
	setDefault(&o.Compression, "s2")
	setDefault(&o.CacheBytes, 256<<20)
	setDefault(&o.BodyBytes, 64<<20)
	setDefault(&o.Undelete, DefaultUndelete)
	setDefault(&o.LoginHistory, DefaultLoginHistory)
	setDefault(&o.MaxConns, 32)
	setDefault(&o.RecipientDelimiter, "+")
	setDefault(&o.MaxMailboxes, store.DefaultMaxMailboxes)
	setDefault(&o.Poll, 5*time.Second)
	setDefault(&o.IndexFrom, DefaultIndexFrom)
	setDefault(&o.IndexLoad, DefaultIndexLoad)
	setDefault(&o.sizes, gramSizes{docs: segmentDocs, merge: mergeCount, read: readAtOnce, batch: batchOctets})
	setDefault(&o.openedEvery, openedEvery)
	setDefault(&o.patience, defaultPatience)
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	return o
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// undelete is the period in force; 0 means that nothing is kept.
func (o Options) undelete() time.Duration { return max(o.Undelete, 0) }

// Store keeps mail in PostgreSQL. It implements store.Store and auth.Directory, and is safe for concurrent use.
type Store struct {
	opts      Options
	log       *zap.Logger
	pool      *pgxpool.Pool
	keys      *keyring
	ids       *idSource
	instance  int64 // tells the process from others that have had its number
	routes    *lru[string, route]
	unlimited *lru[store.AccountID, time.Time] // accounts known to have no quota, until when

	lanes      []*lane
	deliveries *pgxpool.Pool // the lanes' own
	alone      chan struct{} // holds a token for each delivery outside the lanes
	buffers    sync.Pool     // of *buffer
	reading

	stop    context.CancelFunc // ends the background goroutines
	running sync.WaitGroup     // them
}

// Open connects to a database of this program's schema version and starts the store's background work. Close it when
// done.
func Open(ctx context.Context, o Options) (*Store, error) {
	o = o.withDefaults()
	keys, err := newKeyring(o)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	metrics, err := NewMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	pool, err := newPool(ctx, o, metrics, keepWarm(o.KeepConns))
	if err != nil {
		return nil, failed("open store", err)
	}
	metrics.pool.Store(pool)
	deliveries, err := newPool(ctx, o, metrics, forLanes)
	if err != nil {
		pool.Close()
		return nil, failed("open store", err)
	}
	s := &Store{
		opts: o, log: o.Log, pool: pool, deliveries: deliveries, keys: keys, alone: make(chan struct{}, aloneCount),
		routes: newLRU[string, route](routesCached), unlimited: newLRU[store.AccountID, time.Time](keysCached),
		reading: newReading(o, metrics),
	}
	if err := s.start(ctx); err != nil {
		s.Close()
		return nil, failed("open store", err)
	}
	return s, nil
}

// byKey are settings of PostgreSQL's planner for statements all of which find their rows by a key. It takes them for many where a few
// large mailboxes are most of a table: it knows how common each mailbox is, and each UID, but not which UIDs are in which mailbox.
// Then it would read all of the table, by several processes, to see whether there is a new message in one of them.
var byKey = map[string]string{"enable_seqscan": "off", "max_parallel_workers_per_gather": "0", "jit": "off"}

// newPool makes a pool of connections for a use; it connects when it is first used.
func newPool(ctx context.Context, o Options, m *Metrics, use func(*pgxpool.Config)) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = o.MaxConns
	cfg.ConnConfig.RuntimeParams["application_name"] = "postern"
	maps.Copy(cfg.ConnConfig.RuntimeParams, byKey)
	cfg.ConnConfig.Tracer = m
	cfg.AfterConnect = func(_ context.Context, c *pgx.Conn) error {
		registerOctets(c.TypeMap())
		return nil
	}
	prepareFailover(cfg)
	use(cfg)
	return pgxpool.NewWithConfig(ctx, cfg)
}

func (s *Store) start(ctx context.Context) error {
	if err := checkSchema(ctx, s.pool); err != nil {
		return err
	}
	if err := s.keys.check(ctx, s.pool); err != nil {
		return err
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	if err := s.register(ctx, background); err != nil {
		return err
	}
	if err := s.startReaders(ctx, background); err != nil { // others make room before we write
		s.leaveNode(s.pool)
		return err
	}
	s.startLanes(background)
	if s.opts.Warm {
		s.background(background, s.warmUp)
		s.background(background, s.keepOpened)
	}
	return nil
}

// Close waits for the background work to end and closes the connections. Calls that are under way fail with
// store.ErrUnavailable, or are finished.
func (s *Store) Close() {
	if s.stop != nil {
		s.stop()
	}
	s.running.Wait()
	s.deliveries.Close()
	s.pool.Close()
	s.leave()
}

// leave tells others that this process writes no more. Of one that is in doubt about a write of its own they are not told: its row
// among the nodes keeps them from being alone until nothing can come any more.
func (s *Store) leave() {
	if s.listener == nil {
		return
	}
	if !s.cache.doubts() {
		s.leaveNode(s.listener)
	}
	closeConn(s.listener)
}

// background runs f in a goroutine that Close waits for. f must return soon after its context ends.
func (s *Store) background(ctx context.Context, f func(context.Context)) {
	s.running.Go(func() { f(ctx) })
}

// querier is what *pgxpool.Pool, *pgxpool.Conn and pgx.Tx have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// account is a handle on one user's mail. It holds no connection.
type account struct {
	s       *Store
	id      store.AccountID
	address string // of a handle that Store.Account gave out
	// behind says that what is read is read behind the sessions: it is not work that such work should give way to.
	behind bool
	pace   pace
}

// ID implements store.Account.
func (a *account) ID() store.AccountID { return a.id }
