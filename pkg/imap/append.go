// APPEND (RFC 3501 §6.3.11; UIDPLUS, RFC 4315; BINARY, RFC 3516 §4.4).

package imap

import (
	"context"
	"fmt"
	"time"

	"postern/pkg/imap/wire"
	"postern/pkg/message"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
	"go.uber.org/zap"
)

type appendRequest struct {
	mailbox  string
	flags    []imap.Flag
	received time.Time // zero means now
	literal  *wire.Literal
	d        *wire.Decoder // what follows the literal is still to be read
}

// parseAppend reads as far as the literal: the one command that needs its decoder while it runs, because it streams.
func parseAppend(d *wire.Decoder, _ flags) (appendRequest, error) {
	r := appendRequest{d: d}
	r.mailbox = d.SP().Mailbox()
	d.SP()
	if d.Peek() == '(' {
		r.flags = d.Flags()
		d.SP()
	}
	if d.Peek() == '"' {
		r.received = d.DateTime()
		d.SP()
	}
	r.literal = d.Literal()
	return r, d.Err()
}

func (c *conn) append(ctx context.Context, r appendRequest) error {
	to, err := c.mailbox(ctx, r.mailbox, store.RightInsert)
	if err != nil {
		return tryCreate(err) // before a client that waits sends the message
	}
	if r.literal.Size == 0 {
		return refusal{code: "CANNOT", text: "A message cannot be empty."}
	}
	spooled, err := c.spool(r)
	if err != nil {
		return err
	}
	defer c.discard(spooled)
	draft := &store.Draft{Spooled: spooled, Flags: to.denied().Permitted(r.flags), Received: or(r.received, time.Now())}
	uids, err := to.account.Append(ctx, to.box.ID, draft)
	if err != nil {
		return tryCreate(err)
	}
	c.answer("", "Appended.")
	if c.offers(imap.CapUIDPlus) {
		c.done.code = fmt.Sprintf("APPENDUID %d %d", to.box.UIDValidity, uids[0])
	}
	return nil
}

// spool reads the literal, and the end of the command.
func (c *conn) spool(r appendRequest) (*message.Spooled, error) {
	o := c.srv.Spool
	o.Limit = c.srv.maxMessage()
	spooled, err := message.Spool(r.literal, o)
	if err != nil {
		return nil, fmt.Errorf("spool a message: %w", err)
	}
	if err := r.d.End(); err != nil {
		c.discard(spooled)
		return nil, err
	}
	return spooled, nil
}

// discard lets go of a spooled message. A temporary file that stays behind is the operator's concern, not the client's.
func (c *conn) discard(spooled *message.Spooled) {
	if err := spooled.Close(); err != nil {
		c.log.Warn("close a spooled message", zap.Error(err))
	}
}
