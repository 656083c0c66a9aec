package listen

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"time"
)

// tlsConn is a server's TLS connection whose handshake has a deadline of its own, whatever deadlines the protocol sets:
// a peer that never finishes it holds a goroutine for so long and no longer.
type tlsConn struct {
	*tls.Conn
	limit  time.Duration
	closed <-chan struct{} // the listener's

	once sync.Once
	err  error // of the handshake
}

// HandshakeContext runs the handshake unless it has been run. It ends at the limit and with the listener too.
func (c *tlsConn) HandshakeContext(ctx context.Context) error {
	c.once.Do(func() { c.err = c.handshake(ctx) })
	return c.err
}

func (c *tlsConn) handshake(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	go func() {
		select {
		case <-c.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := c.Conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	return nil
}

func (c *tlsConn) Read(p []byte) (int, error) {
	if err := c.HandshakeContext(context.Background()); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *tlsConn) Write(p []byte) (int, error) {
	if err := c.HandshakeContext(context.Background()); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
