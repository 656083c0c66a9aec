package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/zap"
)

// Every process holds presenceLock, shared, on the connection on which it listens: from before its first write until after its
// last. One that holds it for itself as well knows that nobody else writes. Then what is in its memory, which each of its own
// commits keeps up to date, is what the database has, and SELECT and NOOP need not ask. Who comes later asks it to make
// room, and begins when it has.
//
// To hold the lock is not enough. The server takes it from a connection that it believes lost, and of that the holder may
// hear late: it counts for aloneFor after the connection has last answered, and who waits longer than that has the
// connection closed. And a process that was killed, or whose connection was lost, may have transactions that are still under
// way: it is among the nodes, and while another is, nobody is alone.
const presenceLock = 0x706f737465726e // "postern"

const (
	aloneBeat = 3 * time.Second  // between signs of life of the connection that holds the lock
	aloneFor  = 10 * time.Second // after a sign of life
)

// patience is what is waited for with others.
type patience struct {
	try   time.Duration // between attempts to be alone
	evict time.Duration // for one who does not make room; more than aloneFor
}

var defaultPatience = patience{try: time.Second, evict: 15 * time.Second}

// noteRoom asks whoever is alone to make room.
const noteRoom = "?"

// presence says whether this process is alone on the database. It is safe for concurrent use.
type presence struct {
	begun time.Time
	until atomic.Int64 // nanoseconds since begun; 0: it is not
}

func newPresence() *presence { return &presence{begun: time.Now()} }

// alone reports whether all that is committed by now is known here.
func (p *presence) alone() bool { return int64(time.Since(p.begun)) < p.until.Load() }

// held reports whether the lock has been had for ourselves, and not been given back.
func (p *presence) held() bool { return p.until.Load() != 0 }

// lives is called when the connection that holds the lock has answered something that was asked at a time.
func (p *presence) lives(asked time.Time) { p.until.Store(int64(asked.Add(aloneFor).Sub(p.begun))) }

func (p *presence) ends() { p.until.Store(0) }

const (
	sqlTryEnter = `
select pg_try_advisory_lock_shared($1)`

	sqlEnter = `
select pg_advisory_lock_shared($1)`

	sqlAskForRoom = `
select pg_notify($1, $2)`

	// A lock with a key of 64 bits shows as two halves. This ends the connections of our own role, which takes no rights.
	sqlEvict = `
select pg_terminate_backend(pid)
from pg_locks
where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database()) and objsubid = 1
  and classid::bigint = $1::bigint >> 32 and objid::bigint = $1::bigint & 4294967295 and mode = 'ExclusiveLock' and granted`

	sqlOthers = `
select exists (
  select
  from nodes
  where node_id <> $1 and not released and seen_at > now() - $2::interval
)`

	sqlTryAlone = `
select pg_try_advisory_lock($1)`

	sqlMakeRoom = `
select pg_advisory_unlock($1)`
)

// enter takes the lock, shared, when nobody has it for himself any more.
func (s *Store) enter(ctx context.Context, conn *pgx.Conn) error {
	var entered bool
	err := conn.QueryRow(ctx, sqlTryEnter, presenceLock).Scan(&entered)
	for err == nil && !entered {
		if _, err = conn.Exec(ctx, sqlAskForRoom, channel, strconv.Itoa(s.ids.number())+"|"+noteRoom); err != nil {
			return err
		}
		err = s.waitForRoom(ctx, conn)
		entered = err == nil
		if hasCode(err, lockNotAvailable) {
			s.log.Warn("another process has the database for itself and does not answer: its connection is closed")
			_, err = conn.Exec(ctx, sqlEvict, presenceLock)
		}
	}
	return err
}

func (s *Store) waitForRoom(ctx context.Context, conn *pgx.Conn) error {
	var b pgx.Batch
	b.Queue(`select set_config('lock_timeout', $1, true)`, strconv.FormatInt(s.opts.patience.evict.Milliseconds(), 10))
	b.Queue(sqlEnter, presenceLock)
	return conn.SendBatch(ctx, &b).Close()
}

// attend serves the connection on which the process listens until it is lost or ctx ends. In the end it makes room: those who come
// need not wait until our last write is done.
func (s *Store) attend(ctx context.Context, conn *pgx.Conn) error {
	defer s.presence.ends()
	due := time.Now().Add(aloneBeat) // of the next upkeep; the first was when the connection was made
	for {
		room, err := s.hear(ctx, conn, due)
		switch {
		case ctx.Err() != nil && s.presence.held():
			return s.makeRoom(ctx, conn)
		case err != nil:
			return err
		case room && s.presence.held():
			due = time.Now().Add(s.opts.patience.try)
			err = s.makeRoom(ctx, conn)
		case !time.Now().Before(due):
			var pause time.Duration
			pause, err = s.upkeep(ctx, conn)
			due = time.Now().Add(pause)
		}
		if err != nil {
			return err
		}
	}
}

// hear waits for a notification, until upkeep is due. It reports whether another process asks for room.
func (s *Store) hear(ctx context.Context, conn *pgx.Conn, due time.Time) (room bool, err error) {
	quiet, cancel := context.WithDeadline(ctx, due)
	defer cancel()
	n, err := conn.WaitForNotification(quiet)
	if err == nil {
		return s.heard(n), nil
	}
	if ctx.Err() == nil && (pgconn.Timeout(err) || errors.Is(err, context.DeadlineExceeded)) {
		return false, nil
	}
	return false, err
}

// lasting is for statements on the connection that holds the lock. To give one up would cost the connection, and others would
// not know of our last writes.
func lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), aloneFor)
}

// upkeep sees whether the connection lives, tries to be alone if we are not, and says when to come back.
func (s *Store) upkeep(ctx context.Context, conn *pgx.Conn) (time.Duration, error) {
	ctx, cancel := lasting(ctx)
	defer cancel()
	asked := time.Now()
	if s.opts.Alone && s.opts.Node == 0 && !s.presence.held() { // a number that was given may be that of one who was killed a moment ago
		return s.opts.patience.try, s.tryAlone(ctx, conn)
	}
	if !s.presence.held() {
		return listenPing, conn.Ping(ctx)
	}
	others, err := s.others(ctx, conn)
	switch {
	case err != nil:
		return 0, err
	case others: // about to ask, or of a version that does not
		return s.opts.patience.try, s.makeRoom(ctx, conn)
	}
	s.presence.lives(asked)
	return aloneBeat, nil
}

// tryAlone takes the lock for this process if nobody else is there.
func (s *Store) tryAlone(ctx context.Context, conn *pgx.Conn) error {
	if others, err := s.others(ctx, conn); others || err != nil {
		return err
	}
	asked := time.Now()
	var ours bool
	if err := conn.QueryRow(ctx, sqlTryAlone, presenceLock).Scan(&ours); err != nil || !ours {
		return err
	}
	// From here on nobody comes. Who has come meanwhile and is gone already has left the lock, or his row.
	others, err := s.others(ctx, conn)
	if err != nil {
		return err
	}
	if others {
		return s.makeRoom(ctx, conn)
	}
	s.cache.hearAll() // what others did before is looked for once
	s.presence.lives(asked)
	s.log.Debug("alone on the database")
	return nil
}

func (s *Store) others(ctx context.Context, conn *pgx.Conn) (others bool, err error) {
	err = conn.QueryRow(ctx, sqlOthers, s.ids.number(), nodeExpiry).Scan(&others)
	return others, err
}

// makeRoom lets others in. They see what we have committed, and we no longer rely on our memory.
func (s *Store) makeRoom(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := lasting(ctx)
	defer cancel()
	s.presence.ends()
	if _, err := conn.Exec(ctx, sqlMakeRoom, presenceLock); err != nil {
		return fmt.Errorf("make room: %w", err)
	}
	s.log.Debug("no longer alone on the database", zap.Int("node", s.ids.number()))
	return nil
}
