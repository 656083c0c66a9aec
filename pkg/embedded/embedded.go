package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	superuser = "postern" // the role that owns the cluster
	database  = "postern"
	port      = "5432" // part of the socket's name only

	pollEvery   = 50 * time.Millisecond
	lockWait    = 10 * time.Second // a short command may hold the folder; another server holds it for good
	stopWait    = 60 * time.Second // for a fast shutdown, which writes a checkpoint
	quitWait    = 15 * time.Second // for an immediate one; postgres kills what is left after five seconds
	attachGrace = 5 * time.Second  // for those who use our server to finish
)

var (
	// ErrNoBinaries is returned when no PostgreSQL server is installed; the message says what to install.
	ErrNoBinaries = errors.New("no PostgreSQL server found")
	// ErrVersion is returned when the data folder belongs to another major version than the binaries, or the binaries
	// are too old; the message names both and what to do.
	ErrVersion = errors.New("unsuitable PostgreSQL version")
	// ErrInUse is returned by Start when another process owns the data folder.
	ErrInUse = errors.New("data folder is in use")
	// ErrNotRunning is returned by Attach when no process runs a server on the data folder.
	ErrNotRunning = errors.New("no private PostgreSQL is running")
	// ErrUnreachable is returned when the unprivileged user cannot reach the data folder.
	ErrUnreachable = errors.New("data folder cannot be reached")
)

// Options says where and how to run the server. Only DataDir is required.
type Options struct {
	DataDir  string            // folder for the cluster, its log and its socket; made when absent
	BinDir   string            // folder of initdb and postgres; empty: PATH, then the usual places
	User     string            // whom to run as when we are root; empty: owner of the cluster, or postern, postgres, nobody
	Settings map[string]string // added to the command line of postgres; strongest
	Volatile bool              // do not flush to disk: for tests; survives kill -9, not a halt of the machine

	// Log is told of starts, stops and deaths, with alternating keys and values; nil means nobody is. It must be safe
	// for concurrent use.
	Log func(msg string, kv ...any)
}

func (o Options) log(msg string, kv ...any) {
	if o.Log != nil {
		o.Log(msg, kv...)
	}
}

// Server is a running private PostgreSQL, our own or one that another process runs. It is safe for concurrent use.
type Server struct {
	opt  Options
	dir  layout
	bin  binaries
	as   *runAs // nil: as ourselves
	dsn  string
	held *fileLock // our own: the lock; attached: our share in the other file
	gate *fileLock // our own, while it stops: the other file, so that nobody attaches any more

	socket string // folder of the socket

	owned bool
	life  context.Context // ends when Stop is called
	end   context.CancelFunc
	hurry chan struct{} // closed when Stop has waited long enough
	done  chan struct{}
	once  sync.Once

	mu  sync.Mutex
	err error // guarded by mu; why the server is down, nil while it is up
}

// Open attaches to the server that another process runs on the folder, or starts one. It is for commands that work
// beside a running gateway and without one. ctx bounds the wait, not the life of the server; Stop it when done.
func Open(ctx context.Context, opt Options) (*Server, error) {
	for {
		s, err := Attach(ctx, opt)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, ErrNotRunning) {
			return nil, err
		}
		s, err = start(ctx, opt, 0)
		if !errors.Is(err, ErrInUse) {
			return s, err
		}
		if err := pause(ctx, pollEvery); err != nil { // its owner is starting, stopping or restarting it
			return nil, fmt.Errorf("wait for the private PostgreSQL: %w", err)
		}
	}
}

// Start makes the cluster if there is none, starts the server and returns when it accepts connections. From then on it
// is restarted whenever it dies, until Stop. ctx bounds the start, not the life of the server. While a short command
// owns the folder Start waits for it; if another server does, it returns ErrInUse.
func Start(ctx context.Context, opt Options) (*Server, error) {
	return start(ctx, opt, lockWait)
}

func start(ctx context.Context, opt Options, wait time.Duration) (*Server, error) {
	s, err := prepare(opt)
	if err != nil {
		return nil, err
	}
	if s.held, err = acquire(ctx, s.dir.lock(), wait); err != nil {
		return nil, err
	}
	p, err := s.begin(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the private PostgreSQL: %w", err), s.held.release())
	}
	s.life, s.end = context.WithCancel(context.WithoutCancel(ctx))
	go s.supervise(p)
	return s, nil
}

// prepare finds out all that can be known before the folder is ours.
func prepare(opt Options) (*Server, error) {
	dir, err := newLayout(opt.DataDir)
	if err != nil {
		return nil, err
	}
	s := &Server{opt: opt, dir: dir, owned: true, hurry: make(chan struct{}), done: make(chan struct{})}
	if s.bin, err = findBinaries(opt.BinDir, dir.version()); err != nil {
		return nil, err
	}
	if s.as, err = chooseUser(opt.User, dir.cluster()); err != nil {
		return nil, err
	}
	return s, dir.make(s.as)
}

// begin does, as the owner of the lock, what must be done before the supervisor takes over.
func (s *Server) begin(ctx context.Context) (*process, error) {
	if err := checkReach(s.bin, s.as, s.dir.root); err != nil {
		return nil, err
	}
	if err := s.makeCluster(ctx); err != nil {
		return nil, err
	}
	if err := s.dir.rotateLog(); err != nil {
		return nil, err
	}
	if err := s.settleOrphan(ctx); err != nil {
		return nil, err
	}
	var err error
	if s.socket, err = s.socketFolder(); err != nil {
		return nil, err
	}
	s.dsn = dsn(s.socket)
	return s.run(ctx)
}

// Attach returns the server that another process runs on the folder, without owning it, or ErrNotRunning.
func Attach(ctx context.Context, opt Options) (*Server, error) {
	dir, err := newLayout(opt.DataDir)
	if err != nil {
		return nil, err
	}
	if locked, err := isLocked(dir.lock()); err != nil || !locked {
		return nil, errors.Join(ErrNotRunning, err)
	}
	pm, err := readPostmaster(dir.cluster())
	if err != nil || pm.socketDir == "" {
		return nil, errors.Join(ErrNotRunning, err)
	}
	share, err := lockShared(dir.attached())
	if err != nil {
		return nil, fmt.Errorf("attach to the private PostgreSQL: %w", err)
	}
	if err := probe(ctx, pm.socketDir); err != nil {
		return nil, errors.Join(ErrNotRunning, err, share.release())
	}
	s := &Server{opt: opt, dir: dir, dsn: dsn(pm.socketDir), held: share, done: make(chan struct{})}
	return s, nil
}

// DSN is the connection string of the database, in the keyword form that pgx and libpq read.
func (s *Server) DSN() string { return s.dsn }

// Owned reports whether this process runs the server; false if it is another's.
func (s *Server) Owned() bool { return s.owned }

// Done is closed when the server has been stopped (for an attached one: when we have let go of it).
func (s *Server) Done() <-chan struct{} { return s.done }

// Err says why the server is down at the moment, and nil while it is up. A server that is down is being restarted.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *Server) setErr(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// Stop ends the server: a fast shutdown, and an immediate one (which needs recovery at the next start, but loses
// nothing) when ctx ends or a minute has passed. It first gives those who are attached a few seconds to finish. An
// attached Server is only let go of. Further calls wait for the first.
func (s *Server) Stop(ctx context.Context) error {
	if !s.owned {
		var err error
		s.once.Do(func() {
			err = s.held.release()
			close(s.done)
		})
		return err
	}
	s.once.Do(func() {
		s.awaitAttached(ctx)
		s.end()
		go s.hasten(ctx)
	})
	select {
	case <-s.done:
		return s.Err()
	case <-s.hurry:
	}
	select {
	case <-s.done:
		return s.Err()
	case <-time.After(quitWait):
		return errors.New("the private PostgreSQL does not stop")
	}
}

// hasten ends the supervisor's patience when the caller's is at an end.
func (s *Server) hasten(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stopWait)
	defer cancel()
	select {
	case <-ctx.Done():
		close(s.hurry)
	case <-s.done:
	}
}

func (s *Server) awaitAttached(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, attachGrace)
	defer cancel()
	l, err := acquire(ctx, s.dir.attached(), attachGrace)
	if err != nil {
		s.opt.log("others still use the private PostgreSQL", "cause", err.Error())
		return
	}
	s.gate = l
}

func dsn(socketDir string) string {
	quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(socketDir)
	return fmt.Sprintf("host='%s' port=%s user=%s dbname=%s sslmode=disable", quoted, port, superuser, database)
}

// pause waits, or returns why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// layout is where things are in the data folder; see the package comment.
type layout struct{ root string }

func newLayout(dataDir string) (layout, error) {
	if dataDir == "" {
		return layout{}, errors.New("private PostgreSQL: no data folder given")
	}
	root, err := filepath.Abs(dataDir)
	if err != nil {
		return layout{}, fmt.Errorf("data folder: %w", err)
	}
	if resolved, err := filepath.EvalSymlinks(root); err == nil { // else it is yet to be made
		root = resolved
	}
	return layout{root}, nil
}

func (l layout) cluster() string   { return filepath.Join(l.root, "cluster") }
func (l layout) lock() string      { return filepath.Join(l.root, "lock") }
func (l layout) attached() string  { return filepath.Join(l.root, "attached") }
func (l layout) run() string       { return filepath.Join(l.root, "run") }
func (l layout) socketDir() string { return filepath.Join(l.root, "socket_dir") }
func (l layout) log() string       { return filepath.Join(l.root, "postgres.log") }

// version is the major version of the cluster, 0 when there is none.
func (l layout) version() int {
	text, err := os.ReadFile(filepath.Join(l.cluster(), "PG_VERSION"))
	if err != nil {
		return 0
	}
	return leadingNumber(string(text))
}
