package imap

import "context"

// noop answers NOOP and CHECK (RFC 3501 §6.1.2, §6.4.1): what they are for, sync does.
func (c *conn) noop(context.Context, nothing) error { return nil }

// logout answers LOGOUT (RFC 3501 §6.1.3).
func (c *conn) logout(context.Context, nothing) error {
	c.untagged("BYE", "", "Goodbye.")
	c.leaving = true
	return nil
}
