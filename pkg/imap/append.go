// APPEND (RFC 3501 §6.3.11; UIDPLUS, RFC 4315; BINARY, RFC 3516 §4.4; MULTIAPPEND, RFC 3502; CATENATE, RFC 4469).

package imap

import (
	"context"
	"fmt"
	"io"
	"time"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

type appendRequest struct {
	mailbox string
	first   appendMessage
	d       *wire.Decoder // what follows is still to be read
}

// appendMessage is one message of a command, as far as its octets.
type appendMessage struct {
	flags    []imap.Flag
	received time.Time     // zero means now
	literal  *wire.Literal // its octets
	form     appendForm    // or what they are to be made of
}

// appendForm opens the octets of a message that does not come as one literal. What it reads from ends with the closing
// parenthesis.
type appendForm func(ctx context.Context, in *incoming) appendOctets

// appendOctets is a message while it is read.
type appendOctets interface {
	io.Reader
	// binary reports whether some of it was a literal8. It is asked at the end.
	binary() bool
}

// appendForms are the extensions of append-data (RFC 4466 §3), each with the capability it belongs to.
var appendForms = map[string]struct {
	of   imap.Cap
	open appendForm
}{
	"CATENATE": {imap.CapCatenate, catenate},
	"UTF8":     {imap.CapUTF8Accept, appendUTF8},
}

// parseAppend reads as far as the first message's octets: a command that needs its decoder while it runs, because it
// streams.
func parseAppend(d *wire.Decoder, _ flags) (appendRequest, error) {
	r := appendRequest{d: d}
	r.mailbox = d.SP().Mailbox()
	d.SP()
	r.first = parseAppendMessage(d)
	return r, d.Err()
}

// parseAppendMessage reads flags and date, and how the octets come.
func parseAppendMessage(d *wire.Decoder) (m appendMessage) {
	if d.Peek() == '(' {
		m.flags = d.Flags()
		d.SP()
	}
	if d.Peek() == '"' {
		m.received = d.DateTime()
		d.SP()
	}
	if b := d.Peek(); b == '{' || b == '~' {
		m.literal = d.Literal()
		return m
	}
	name := d.Keyword()
	form, ok := appendForms[name]
	if !ok || !d.Knows(form.of) {
		d.Fail("a literal before this")
	}
	d.SP().Expect('(')
	m.form = form.open
	return m
}

// append stores the messages of a command, all or none (RFC 3502 §3).
func (c *conn) append(ctx context.Context, r appendRequest) error {
	to, err := c.mailbox(ctx, r.mailbox, store.RightInsert)
	if err != nil {
		return tryCreate(err) // before a client that waits sends the message
	}
	in := &incoming{c: c, d: r.d, to: to}
	defer in.close()
	if err := in.takeAll(ctx, r.first); err != nil {
		return err
	}
	if err := c.still(ctx, to, store.RightInsert); err != nil {
		return tryCreate(err)
	}
	uids, err := to.account.Append(ctx, to.box.ID, in.drafts...)
	if err != nil {
		return tryCreate(err)
	}
	c.brought(to, store.UIDSetOf(uids))
	c.warnQuota(ctx, to)
	c.answer("", "Appended.")
	c.done.code = c.appendUID(to, uids...)
	return nil
}

// appendUID is the response code that tells where messages are now, nothing if UIDs of the mailbox are not for this user to know
// (RFC 4315 §3).
func (c *conn) appendUID(to target, uids ...imap.UID) string {
	if !c.offers(imap.CapUIDPlus) || !to.rights.Has(store.RightRead) {
		return ""
	}
	return fmt.Sprintf("APPENDUID %d %s", to.box.UIDValidity, store.Normalize(imap.UIDSetNum(uids...)))
}
