package imap

import (
	"context"
)

// subscribe answers SUBSCRIBE (RFC 3501 §6.3.6). The mailbox need not exist.
func (c *conn) subscribe(ctx context.Context, name string) error {
	return c.account.Subscribe(ctx, name, true)
}

// unsubscribe answers UNSUBSCRIBE (RFC 3501 §6.3.7).
func (c *conn) unsubscribe(ctx context.Context, name string) error {
	return c.account.Subscribe(ctx, name, false)
}
