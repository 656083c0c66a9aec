package listen

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"
)

// tlsConn is a server's TLS connection whose handshake has a deadline of its own, whatever deadlines the protocol sets:
// a peer that never finishes it holds a goroutine for so long and no longer.
type tlsConn struct {
	*tls.Conn
	limit time.Duration

	once sync.Once
	err  error // of the handshake
}

func newTLSConn(c net.Conn, conf *tls.Config, limit time.Duration) *tlsConn {
	return &tlsConn{Conn: tls.Server(c, conf), limit: limit}
}

func (c *tlsConn) handshake() error {
	c.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), c.limit)
		defer cancel()
		if err := c.HandshakeContext(ctx); err != nil {
			c.err = fmt.Errorf("TLS handshake: %w", err)
		}
	})
	return c.err
}

func (c *tlsConn) Read(p []byte) (int, error) {
	if err := c.handshake(); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *tlsConn) Write(p []byte) (int, error) {
	if err := c.handshake(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
