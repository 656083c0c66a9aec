package imap

import "context"

// namespace answers NAMESPACE (RFC 2342 §5): everything is the user's own.
func (c *conn) namespace(context.Context, nothing) error {
	c.enc.Atom(`* NAMESPACE (("" "/")) NIL NIL`).CRLF()
	return nil
}
