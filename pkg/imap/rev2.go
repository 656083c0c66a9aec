// What changes for a client that has enabled IMAP4rev2 (RFC 9051) or UTF8=ACCEPT (RFC 6855). Until then it hears IMAP4rev1.

package imap

import (
	"strings"

	"github.com/emersion/go-imap/v2"
)

const (
	// capObsolete stands for what IMAP4rev2 has done away with (RFC 9051 Appendix E): LSUB, CHECK, \Recent, RFC822.TEXT and
	// their like are no words any more for a client that has enabled it.
	capObsolete imap.Cap = "(obsolete)"
	// capCharset stands for CHARSET in SEARCH, which is gone with UTF8=ACCEPT (RFC 6855 §3).
	capCharset imap.Cap = "(charset)"
)

// rev2 reports whether the client has enabled IMAP4rev2.
func (c *conn) rev2() bool { return c.has(imap.CapIMAP4rev2) }

// speakUTF8 makes strings and the names of mailboxes UTF-8, both ways (RFC 9051 §5.1, RFC 6855 §3).
func (c *conn) speakUTF8() { c.enc.UTF8 = true }

// enableRev2 begins IMAP4rev2.
func (c *conn) enableRev2() {
	c.speakUTF8()
	c.without(capObsolete)
	if c.sel != nil {
		c.sel.recent, c.sel.told = nil, 0
	}
}

// enableUTF8 begins UTF8=ACCEPT.
func (c *conn) enableUTF8() {
	c.speakUTF8()
	c.without(capCharset)
}

// without masks one more thing for the rest of the session.
func (c *conn) without(k imap.Cap) { c.mask = c.mask.and(mask{k: true}) }

// tellName writes LIST for a mailbox under the name that the client must use. If that is not what it said, as its spelling
// was not the normal one, OLDNAME says so (RFC 9051 §6.3.9.7).
func (c *conn) tellName(name, said string, attrs ...imap.MailboxAttr) {
	c.enc.Atom("* LIST ").List(len(attrs), func(i int) { c.enc.Atom(string(attrs[i])) })
	c.enc.Atom(` "/" `).Mailbox(name)
	if name != said && !strings.EqualFold(said, "INBOX") {
		c.enc.Atom(` ("OLDNAME" (`).Mailbox(said).Atom("))")
	}
	c.enc.CRLF()
}

// tellNewName is tellName after CREATE and RENAME, where it is needed only if the names differ (RFC 9051 §6.3.4).
func (c *conn) tellNewName(name, said string) {
	if c.rev2() && name != said {
		c.tellName(name, said)
	}
}
