package imap

import (
	"context"
)

// deleteMailbox answers DELETE (RFC 3501 §6.3.4). A mailbox with others below it is refused rather than left without its
// messages. A session that deletes the mailbox it has selected leaves it.
func (c *conn) deleteMailbox(ctx context.Context, name string) error {
	box, err := c.account.Mailbox(ctx, name)
	if err != nil {
		return err
	}
	if err := c.account.Delete(ctx, name); err != nil {
		return err
	}
	if c.sel != nil && c.sel.box.ID == box.ID {
		c.deselect()
		c.untagged("OK", "CLOSED", "The selected mailbox is gone.") // RFC 7162 §3.2.11
	}
	return nil
}
