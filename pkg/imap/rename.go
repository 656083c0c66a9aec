package imap

import (
	"context"

	"postern/pkg/imap/wire"
	"postern/pkg/store"
)

// RENAME (RFC 3501 §6.3.5).

type renameRequest struct{ from, to string }

func parseRename(d *wire.Decoder, _ flags) (renameRequest, error) {
	var r renameRequest
	r.from = d.SP().Mailbox()
	r.to = d.SP().Mailbox()
	return r, d.End()
}

// errInbox: RENAME of INBOX is a MOVE of all its messages to where other rights may hold, and takes more than the right to
// rename.
var errInbox = refusal{code: "CANNOT", text: "Only its owner renames an INBOX."}

func (c *conn) rename(ctx context.Context, r renameRequest) error {
	from, err := c.locate(ctx, r.from, store.RightDelete)
	if err != nil {
		return err
	}
	if !from.own() && from.name == store.Inbox {
		return errInbox
	}
	to, err := c.locateNew(ctx, r.to)
	if err != nil {
		return err
	}
	if from.account.ID() != to.account.ID() {
		return refusal{code: "CANNOT", text: "A mailbox cannot change its owner."}
	}
	c.owns(from.title(from.name), to.title(to.name))
	if err := from.account.Rename(ctx, from.name, to.name); err != nil {
		return err
	}
	name, err := store.CanonicalName(to.name)
	if err == nil {
		c.tellNewName(to.title(name), r.to)
	}
	return err
}
