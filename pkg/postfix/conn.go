package postfix

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"go.uber.org/zap"
)

// conn is one connection of Postfix. Its goroutine owns it; mu guards what Shutdown looks at.
type conn struct {
	server *Server
	nc     net.Conn
	in     *bufio.Reader
	log    *zap.Logger

	mu       sync.Mutex
	stopping bool
}

func newConn(s *Server, nc net.Conn) *conn {
	return &conn{
		server: s, nc: nc, in: bufio.NewReaderSize(nc, 512),
		log: s.logger().With(zap.String("remote", nc.RemoteAddr().String())),
	}
}

// Serve answers requests to the end of the connection.
func (c *conn) Serve(ctx context.Context) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("panic", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
		}
	}()
	if err := c.converse(ctx); err != nil {
		c.log.Warn("connection closed", zap.Error(err))
	}
}

func (c *conn) converse(ctx context.Context) error {
	for c.await() {
		request, err := readNetstring(c.in)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed):
			return nil // Postfix has left, was silent for long, or we stop
		case errors.Is(err, errNotNetstring):
			c.server.Metrics.observe("unknown", badRequest.result)
			return errors.Join(err, c.reply(badRequest)) // where the next request would begin is not known
		case err != nil:
			return err
		}
		if err := c.reply(c.lookup(ctx, request)); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) reply(a answer) error {
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.server.writeTimeout())); err != nil {
		return err
	}
	return writeNetstring(c.nc, a.String())
}

// await grants the time to wait for a request, unless the server stops.
func (c *conn) await() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.stopping && c.nc.SetReadDeadline(time.Now().Add(c.server.idleTimeout())) == nil
}

// Stop implements serve.Session: a request that has not wholly arrived is not answered, and Postfix asks again elsewhere.
func (c *conn) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // a closed connection needs none
}

// Abort implements serve.Session.
func (c *conn) Abort() { _ = c.nc.Close() } // it may be closed
