// UIDONLY (RFC 9586): a client that has enabled it neither says nor hears message numbers.

package imap

import (
	"postern/pkg/imap/wire"

	"github.com/emersion/go-imap/v2"
)

// capNumbers stands for message numbers, which are gone with UIDONLY.
const capNumbers imap.Cap = "(numbers)"

// codeUIDRequired tells a client that it has used a message number all the same (RFC 9586 §3.1).
const codeUIDRequired = "UIDREQUIRED"

var errUIDRequired = &badError{code: codeUIDRequired, text: "Message numbers are not used once UIDONLY is enabled."}

// numbers reads a set of message numbers, where they are used at all.
func numbers(d *wire.Decoder) imap.SeqSet {
	if !d.Knows(capNumbers) {
		d.Reject(errUIDRequired)
		return nil
	}
	set, _ := d.NumSet(false).(imap.SeqSet)
	return set
}

// beginFetch begins a FETCH response, or UIDFETCH (RFC 9586 §3.3), up to the parenthesis. It reports whether the client knows
// of the message.
func (c *conn) beginFetch(uid imap.UID) bool {
	seq, ok := c.sel.view.Seq(uid)
	switch {
	case !ok:
	case c.has(imap.CapUIDOnly):
		c.enc.Atom("* ").Number(uint32(uid)).Atom(" UIDFETCH (")
	default:
		c.enc.Atom("* ").Number(seq).Atom(" FETCH (")
	}
	return ok
}
