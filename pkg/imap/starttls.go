// STARTTLS (RFC 3501 §6.2.1, RFC 9051 §6.2.1).

package imap

import (
	"context"
	"net"
)

// upgrader is a connection without TLS on which it can begin; the listener decides that.
type upgrader interface {
	Upgrade() net.Conn
}

// plain is the connection if TLS can begin on it, else nil. It is not to be called once it has.
func (c *conn) plain() upgrader {
	u, ok := c.stream.net.(upgrader)
	if !ok || c.peer.TLS {
		return nil
	}
	return u
}

func (c *conn) startTLS(context.Context, nothing) error {
	u := c.plain()
	if u == nil {
		return badf("TLS does not begin here.")
	}
	c.answer("", "Begin TLS now.")
	c.then = func() { c.upgrade(u) }
	return nil
}

// upgrade begins TLS. What has come before the handshake is thrown away: anybody may have put it there, and it must not be
// taken for the client's (RFC 9051 §11.1). The handshake runs with the next read, which fails if it does.
func (c *conn) upgrade(u upgrader) {
	_ = c.stream.flush() // an error is the stream's from then on
	c.stream.secure(u.Upgrade())
	c.in.Reset(c.stream)
	c.peer.TLS = true
	c.peer.Client, c.client = "", "" // an ID from before proves nothing
}
