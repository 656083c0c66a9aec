package pop3

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"postern/pkg/auth"
	"postern/pkg/store"
)

// refusal is a command's -ERR: a response code (RFC 2449 §8; empty for none) and a plain sentence.
type refusal struct {
	code, text string
	result     result // for the metrics; zero is resultRefused
}

func (r *refusal) Error() string { return r.text }

// errCutShort ends a session in the middle of a reply: what has been sent cannot be taken back, and the client must not
// take half a message for a whole one.
var errCutShort = errors.New("reply cut short")

var errNoSuchMessage = &refusal{text: "No such message."}

// refusal turns an error into what the client is told. The cause goes to the log, once.
func (c *conn) refusal(err error) *refusal {
	var r *refusal
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, auth.ErrDenied):
		return &refusal{code: "AUTH", text: "Wrong name or password."}
	case errors.Is(err, auth.ErrThrottled):
		return &refusal{code: "LOGIN-DELAY", text: "Too many failures, try again later."}
	case errors.Is(err, auth.ErrBusy): // those who guess passwords decide how many come: nothing of ours has failed
		return &refusal{code: "SYS/TEMP", text: "Too many log in at once, try again later."}
	case errors.Is(err, auth.ErrMechanism):
		return &refusal{text: "This mechanism is not offered."}
	case errors.Is(err, auth.ErrCancelled):
		return &refusal{text: "Authentication cancelled."}
	case errors.Is(err, store.ErrInUse):
		return &refusal{code: "IN-USE", text: "Another session has this maildrop open."}
	case errors.Is(err, store.ErrNotFound):
		c.log.Info("message is gone", zap.Error(err))
		return &refusal{text: "That message is no longer there."}
	}
	c.log.Error("command failed", zap.Error(err))
	if errors.Is(err, auth.ErrAway) {
		return &refusal{code: "SYS/TEMP", text: "The login cannot be checked now, try again later.", result: resultError}
	}
	if temporary(err) {
		return &refusal{code: "SYS/TEMP", text: "The mail store cannot be reached, try again later.", result: resultError}
	}
	return &refusal{code: "SYS/PERM", text: "Internal error.", result: resultError}
}

func temporary(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// result says how a command went, for the metrics.
func (c *conn) result(err error) result {
	var r *refusal
	switch {
	case err == nil, errors.Is(err, errQuit):
		return resultOK
	case errors.As(err, &r):
		return r.result
	case errors.Is(err, auth.ErrDenied), errors.Is(err, auth.ErrThrottled), errors.Is(err, auth.ErrBusy), errors.Is(err, auth.ErrMechanism),
		errors.Is(err, auth.ErrCancelled), errors.Is(err, store.ErrInUse), errors.Is(err, store.ErrNotFound):
		return resultRefused
	}
	return resultError
}

// The methods that write ignore errors: c.out keeps the first, and the next read returns it.

func (c *conn) ok(text string) { c.line("+OK " + text) }

func (c *conn) refuse(r *refusal) {
	if r.code != "" {
		c.line("-ERR [" + r.code + "] " + r.text)
		return
	}
	c.line("-ERR " + r.text)
}

func (c *conn) line(text string) {
	c.out.WriteString(text)   //nolint:errcheck // sticky, see above
	c.out.WriteString("\r\n") //nolint:errcheck // sticky, see above
}

// lines ends a multi-line reply. None of them begins with a dot.
func (c *conn) lines(text ...string) {
	for _, l := range text {
		c.line(l)
	}
	c.line(".")
}
