// OBJECTID (RFC 8474) and SAVEDATE (RFC 8514): what of a message or mailbox stays the same wherever it goes, and when it
// came to where it is.

package imap

import (
	"postern/pkg/imap/wire"
	"postern/pkg/store"
)

// maxObjectID is the length of an identifier (RFC 8474 §7).
const maxObjectID = 255

// objectID reads an identifier (RFC 8474 §7). One that nothing here has is found nowhere.
func objectID(d *wire.Decoder) string {
	id := d.SP().AString()
	ok := len(id) > 0 && len(id) <= maxObjectID
	for i := range len(id) {
		c := id[i]
		ok = ok && (c == '_' || c == '-' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z')
	}
	if !ok {
		d.Fail("an object identifier before this")
	}
	return id
}

// mailboxID is the response code that tells which mailbox a name stands for (RFC 8474 §4.1, §4.2).
func mailboxID(id store.MailboxID) string { return "MAILBOXID (" + id.String() + ")" }

var (
	emailIDItem = &simpleItem{put: func(w *fetchWriter, m *store.Message) {
		w.Atom("EMAILID (").Atom(m.ID.String()).Byte(')')
	}}
	threadIDItem = &simpleItem{put: func(w *fetchWriter, m *store.Message) {
		w.Atom("THREADID ")
		if id := store.ThreadID(m.Thread); id != "" {
			w.Byte('(').Atom(id).Byte(')')
		} else { // it came before threads were kept
			w.NIL()
		}
	}}
	saveDateItem = &simpleItem{put: func(w *fetchWriter, m *store.Message) {
		w.Atom("SAVEDATE ").DateTime(m.Saved)
	}}
)

// writeStatusItem writes one item of a STATUS response. All are numbers but the MAILBOXID (RFC 8474 §4.3).
func (c *conn) writeStatusItem(item string, box *store.Mailbox) {
	c.enc.Atom(item).SP()
	if item == "MAILBOXID" {
		c.enc.Byte('(').Atom(box.ID.String()).Byte(')')
		return
	}
	c.enc.Number64(statusItems[item](c, box))
}
