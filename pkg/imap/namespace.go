package imap

import (
	"context"

	"github.com/emersion/go-imap/v2"
)

// namespace answers NAMESPACE (RFC 2342 §5): the user's own, and other people's. The second is there whether anything is
// shared or not.
func (c *conn) namespace(context.Context, nothing) error {
	theirs := "NIL"
	if c.offers(imap.CapACL) {
		theirs = `(("` + others + `" "/"))`
	}
	c.enc.Atom(`* NAMESPACE (("" "/")) ` + theirs + ` NIL`).CRLF()
	return nil
}
