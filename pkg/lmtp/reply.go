package lmtp

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"postern/pkg/message"
	"postern/pkg/store"
)

// reply is a status and its sentence. As an error it is the answer to a command that failed.
type reply struct {
	code     int
	enhanced string // RFC 3463; empty for none
	text     string
}

func (r *reply) Error() string { return fmt.Sprintf("%d %s %s", r.code, r.enhanced, r.text) }

// bad reports whether the client did not speak LMTP, rather than being refused something. A command out of order is no such
// sign: one that pipelines says DATA before it hears that nobody was accepted, message after message.
func (r *reply) bad() bool { return r.code >= 500 && r.code < 503 }

var unavailable = &reply{451, "4.3.0", "The mail store cannot be reached, try again later."}

// verdict turns an error of the store, or of reading the message, into a reply. ok is false if it was not foreseen and
// somebody should look at it.
func (s *Server) verdict(err error) (r *reply, foreseen bool) {
	switch {
	case errors.As(err, &r):
		return r, true
	case errors.Is(err, store.ErrNotFound):
		return &reply{550, "5.1.1", "No such account."}, true
	case errors.Is(err, store.ErrOverQuota):
		return s.overQuota(), true
	case errors.Is(err, store.ErrTooBig), errors.Is(err, message.ErrTooBig):
		return &reply{552, "5.3.4", "Message too big."}, true
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return unavailable, false
	}
	return &reply{451, "4.3.0", "Internal error, try again later."}, false
}

func (s *Server) overQuota() *reply {
	if s.QuotaReject {
		return &reply{552, "5.2.2", "Mailbox full."}
	}
	return &reply{452, "4.2.2", "Mailbox full."}
}

// The methods that write ignore errors: c.out keeps the first, and the next read returns it.

func (c *conn) ok(enhanced, text string) error {
	c.say(&reply{250, enhanced, text})
	return nil
}

func (c *conn) say(r *reply) {
	b := append(strconv.AppendInt(c.out.AvailableBuffer(), int64(r.code), 10), ' ')
	if r.enhanced != "" {
		b = append(append(b, r.enhanced...), ' ')
	}
	c.out.Write(append(append(b, r.text...), "\r\n"...)) //nolint:errcheck // sticky, see above
}

// lines is a reply of several lines (RFC 5321 §4.2.1).
func (c *conn) lines(code int, text ...string) {
	for i, line := range text {
		separator := '-'
		if i == len(text)-1 {
			separator = ' '
		}
		fmt.Fprintf(c.out, "%d%c%s\r\n", code, separator, line) //nolint:errcheck // sticky, see above
	}
}
