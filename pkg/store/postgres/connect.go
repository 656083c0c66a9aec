package postgres

import (
	"context"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// What is waited for before a server is taken for gone, so that we are with its successor within seconds.
const (
	connectTimeout = 3 * time.Second // for one host, unless the URL says otherwise
	pingTimeout    = 3 * time.Second // for a connection that has been idle
	silenceTimeout = 8 * time.Second // for the peer's TCP, in the middle of a statement
)

// warmTimeout bounds warm, and sqlWarmLimit each of its statements: one that takes longer is given up, and not the connection.
const (
	warmTimeout  = 10 * time.Second
	sqlWarmLimit = `set statement_timeout = '1s'`
)

// connsReady is how many connections are kept that nobody waits for.
const connsReady = 2

// keepWarm configures connections for everything but the lanes: some are always ready, and so many are there whether they
// are in use or not. Who finds none that is free waits for a new one, though others are given back meanwhile: on a machine
// that is busy for a quarter of a second.
func keepWarm(keep int32) func(*pgxpool.Config) {
	return func(cfg *pgxpool.Config) {
		cfg.MinConns, cfg.MinIdleConns = min(cfg.MaxConns, keep), min(cfg.MaxConns, connsReady)
		prepare := cfg.AfterConnect
		cfg.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
			if err := warm(ctx, c); err != nil {
				return err
			}
			return prepare(ctx, c)
		}
	}
}

// plansTried is how often PostgreSQL plans a statement anew, on each connection, before it keeps a plan.
const plansTried = 5

// warm has a new connection plan what the first command of a session asks for, and read the catalog for it: that takes
// many times as long as the statements, and else whoever is first would wait for it. That a statement fails is told to those who
// need its answer. The error is the connection's.
func warm(ctx context.Context, c *pgx.Conn) error {
	ctx = context.WithValue(ctx, tally{}, nil) // whoever opens the connection, these statements are nobody's
	ctx, cancel := context.WithTimeout(ctx, warmTimeout)
	defer cancel()
	if _, err := c.Exec(ctx, sqlWarmLimit); err != nil {
		return err
	}
	var b pgx.Batch
	var l loading
	for _, q := range l.queue(boxKey{}).QueuedQueries { // a transaction, so it comes first
		b.Queue(q.SQL, q.Arguments...)
	}
	for range plansTried + 1 {
		b.Queue(sqlStateByName, 0, "")
		b.Queue(sqlStateByID, 0, 0)
	}
	b.Queue(sqlParts, 0, []int64{}, true, true, []bool{})
	err := c.SendBatch(ctx, &b).Close()
	if !c.IsClosed() { // however far it came
		var end pgx.Batch
		end.Queue(`rollback`)
		end.Queue(`reset statement_timeout`)
		err = c.SendBatch(ctx, &end).Close()
	}
	return err
}

// prepareFailover makes connections survive a change of the server. A server that went without a word is noticed, and
// one that takes no writes is not connected to: a standby behind the address of the primary would otherwise keep the
// connection, and fail all that is asked of it, for as long as the pool keeps connections.
func prepareFailover(cfg *pgxpool.Config) {
	cfg.PingTimeout = pingTimeout
	c := cfg.ConnConfig
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	if c.ValidateConnect == nil {
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	dialer := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: silenceTimeout / 2, Interval: silenceTimeout / 8, Count: 4},
		Control:         limitSilence,
	}
	c.DialFunc = dialer.DialContext
}
