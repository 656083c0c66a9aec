package imap

import (
	"context"
)

// subscription is how a name is subscribed to: as LIST would say it, whether there is such a mailbox or not, and whether this
// user may know of it.
func subscription(name string) string {
	if p, ok := otherPath(name); ok && p.owner != "" {
		return ownerPrefix(p.owner) + p.name
	}
	return name
}

// subscribe answers SUBSCRIBE (RFC 3501 §6.3.6). The mailbox need not exist.
func (c *conn) subscribe(ctx context.Context, name string) error {
	c.owns(subscription(name))
	return c.account.Subscribe(ctx, subscription(name), true)
}

// unsubscribe answers UNSUBSCRIBE (RFC 3501 §6.3.7).
func (c *conn) unsubscribe(ctx context.Context, name string) error {
	c.owns(subscription(name))
	return c.account.Subscribe(ctx, subscription(name), false)
}
