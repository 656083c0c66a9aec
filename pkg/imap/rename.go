package imap

import (
	"context"

	"postern/pkg/imap/wire"
)

// RENAME (RFC 3501 §6.3.5).

type renameRequest struct{ from, to string }

func parseRename(d *wire.Decoder, _ flags) (renameRequest, error) {
	var r renameRequest
	r.from = d.SP().Mailbox()
	r.to = d.SP().Mailbox()
	return r, d.End()
}

func (c *conn) rename(ctx context.Context, r renameRequest) error {
	return c.account.Rename(ctx, r.from, r.to)
}
