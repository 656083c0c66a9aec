package pop3

import (
	"context"
	"net"
)

// upgrader is a connection without TLS on which it can begin; the listener decides that.
type upgrader interface {
	Upgrade() net.Conn
}

// plain is the connection if TLS can begin on it, else nil.
func (c *conn) plain() upgrader {
	u, ok := c.nc.(upgrader)
	if !ok || c.peer.TLS {
		return nil
	}
	return u
}

// STLS (RFC 2595 §4). Where it is not offered the session goes on, because clients try it on port 995. What has come before
// the handshake is thrown away: anybody may have put it there.
func (c *conn) stls(ctx context.Context, _ nothing) error {
	u := c.plain()
	if u == nil {
		return &refusal{text: "STLS is not offered, use the TLS port."}
	}
	c.ok("Begin TLS now.")
	if err := c.release(); err != nil {
		c.broken = err
		return err
	}
	defer c.acquire()
	over := u.Upgrade()
	c.mu.Lock()
	c.nc = over
	c.mu.Unlock()
	c.in.Reset(source{c})
	c.user, c.pushed = "", nil
	if err := c.handshake(ctx); err != nil {
		c.broken = err
	}
	return c.broken
}
