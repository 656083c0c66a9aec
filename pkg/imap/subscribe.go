package imap

import (
	"context"

	"postern/pkg/store"
)

// asListed is a name as LIST would say it, whether there is such a mailbox or not, and whether this user may know of it: it is
// what names are subscribed under, and what can be held against the names of mailboxes.
func asListed(name string) string {
	name = store.NormalText(name)
	if p, ok := otherPath(name); ok && p.owner != "" {
		return ownerPrefix(p.owner) + p.name
	}
	return name
}

// subscribe answers SUBSCRIBE (RFC 3501 §6.3.6). The mailbox need not exist.
func (c *conn) subscribe(ctx context.Context, name string) error {
	c.owns(name)
	return c.account.Subscribe(ctx, asListed(name), true)
}

// unsubscribe answers UNSUBSCRIBE (RFC 3501 §6.3.7).
func (c *conn) unsubscribe(ctx context.Context, name string) error {
	c.owns(name)
	return c.account.Subscribe(ctx, asListed(name), false)
}
