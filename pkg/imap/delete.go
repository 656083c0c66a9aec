package imap

import (
	"context"

	"postern/pkg/store"
)

// deleteMailbox answers DELETE (RFC 3501 §6.3.4). A mailbox with others below it is refused rather than left without its
// messages. A session that deletes the mailbox it has selected leaves it.
func (c *conn) deleteMailbox(ctx context.Context, name string) error {
	at, err := c.mailbox(ctx, name, store.RightDelete)
	if err != nil {
		return err
	}
	c.owns(at.title(at.name))
	if err := at.account.Delete(ctx, at.name); err != nil {
		return err
	}
	if c.sel != nil && c.sel.is(at) {
		c.deselect()
		c.untagged("OK", "CLOSED", "The selected mailbox is gone.") // RFC 7162 §3.2.11
	}
	return nil
}
