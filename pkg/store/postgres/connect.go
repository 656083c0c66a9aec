package postgres

import (
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// What is waited for before a server is taken for gone, so that we are with its successor within seconds.
const (
	connectTimeout = 3 * time.Second // for one host, unless the URL says otherwise
	pingTimeout    = 3 * time.Second // for a connection that has been idle
	silenceTimeout = 8 * time.Second // for the peer's TCP, in the middle of a statement
)

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
