package listen

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
)

// maxRecord is how much one TLS record carries (RFC 8446 §5.1).
const maxRecord = 16 << 10

// tlsConn is a server's TLS connection whose handshake has a deadline of its own, whatever deadlines the protocol sets:
// a peer that never finishes it holds a goroutine for so long and no longer.
type tlsConn struct {
	*tls.Conn
	below *records
	l     *listener

	once sync.Once
	err  error // of the handshake
}

func newTLSConn(c net.Conn, l *listener) *tlsConn {
	below := &records{Conn: c}
	return &tlsConn{Conn: tls.Server(below, l.tls), below: below, l: l}
}

// plainConn is a connection on which TLS may begin when the protocol says so.
type plainConn struct {
	net.Conn
	l *listener
}

// Upgrade returns the connection on which TLS begins, with the same limit. Nothing is read or written beside it from then on.
func (c *plainConn) Upgrade() net.Conn {
	return newTLSConn(c.Conn, c.l)
}

// HandshakeContext runs the handshake unless it has been run. It ends at the limit and with the listener too.
func (c *tlsConn) HandshakeContext(ctx context.Context) error {
	c.once.Do(func() { c.err = c.handshake(ctx) })
	return c.err
}

// handshake has another goroutine do the work: it takes a deep stack, which goes with it, where the session's own would keep
// what it has grown to.
func (c *tlsConn) handshake(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.l.o.Handshake)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- c.shake(ctx) }()
	var err error
	select {
	case err = <-done:
	case <-c.l.closed:
		cancel()
		err = <-done
	}
	if err != nil {
		c.l.refused(Unshaken, "")
		return fmt.Errorf("TLS handshake: %w", err)
	}
	return nil
}

// shake ends in an error where it would panic: what recovers from a session's panics is in another goroutine.
func (c *tlsConn) shake(ctx context.Context) (err error) {
	defer c.below.leave()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return c.Conn.HandshakeContext(ctx)
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
	if len(p) <= maxRecord {
		return c.Conn.Write(p)
	}
	c.below.hold()
	n, err := c.Conn.Write(p)
	if ferr := c.below.flush(); err == nil && ferr != nil {
		return 0, ferr
	}
	return n, err
}
