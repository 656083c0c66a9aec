// UNAUTHENTICATE (RFC 8437).

package imap

import (
	"cmp"
	"context"
	"time"
)

// unauthenticate takes the connection back to where it was before the login. TLS and COMPRESS stay (RFC 8437 §4). The next
// login must come as soon as the first, and failures of login count on.
func (c *conn) unauthenticate(context.Context, nothing) error {
	c.forget()
	c.state, c.log = notAuthenticated, c.base
	c.stream.limit, c.stream.early = time.Now().Add(cmp.Or(c.srv.LoginTimeout, DefaultLoginTimeout)), true
	c.stream.most = c.stream.in + c.srv.Limits.MaxEarly()
	c.answer(c.capabilities(), "Who are you?")
	return nil
}

// forget lets go of everything that belongs to a login: of all that the fields of conn from user to notified hold, of what
// was enabled and of what is known of the quota.
func (c *conn) forget() {
	c.deselect()
	c.unwatchMetadata()
	c.unnotify()
	c.stay.Leave()
	c.stay, c.pace = nil, nil
	if c.account != nil {
		c.srv.dismiss(c.account.ID(), c.peer.Addr)
	}
	c.account, c.user, c.enabled = nil, "", nil
	c.freeable, c.warned = nil, false
	c.mask, c.enc.UTF8 = c.srv.mask(), false
}
