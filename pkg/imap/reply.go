package imap

import (
	"context"
	"errors"
	"fmt"

	"postern/pkg/auth"
	"postern/pkg/imap/wire"
	"postern/pkg/message"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// refusal is an error that becomes a tagged NO. code is without brackets, "" for none.
type refusal struct{ code, text string }

// Error implements error.
func (r refusal) Error() string { return r.text }

// badError is an error that becomes a tagged BAD.
type badError struct{ code, text string }

// Error implements error.
func (e *badError) Error() string { return e.text }

// badf returns an error that becomes a tagged BAD. Nothing that a client sent belongs in its text.
func badf(format string, a ...any) error { return &badError{text: fmt.Sprintf(format, a...)} }

// farewell is an error that ends the session with BYE.
type farewell struct {
	text   string // for the client
	reason string // for the log
	limit  string // which it is, for the metrics; "" for none
}

// Error implements error.
func (f *farewell) Error() string { return f.reason }

// lost is an error of the connection, after which there is nobody to tell.
type lost struct{ error }

// Unwrap makes the cause known to errors.Is.
func (l *lost) Unwrap() error { return l.error }

// reply is a status response.
type reply struct {
	status string // OK, NO, BAD
	code   string // without brackets
	text   string
	result result
	modSeq bool // HIGHESTMODSEQ is to be the code
	gone   bool // messages may have been expunged, which the client must hear
}

// result is how a command ended, a label of metrics.
type result string

const (
	resultOK      result = "ok"
	resultRefused result = "refused"
	resultBad     result = "bad"
	resultError   result = "error"
)

// refusals gives the errors that a caller may act on their replies (RFC 5530). The first that fits counts.
var refusals = []struct {
	err  error
	code string
	text string
}{
	{store.ErrNotFound, "NONEXISTENT", "There is no such mailbox."},
	{store.ErrExists, "ALREADYEXISTS", "There is such a mailbox already."},
	{store.ErrName, "CANNOT", "That name is not allowed."},
	{store.ErrUse, "USEATTR", "That special use is not available."}, // RFC 6154 §3
	{store.ErrExpunged, "EXPUNGEISSUED", "That message has been expunged."},
	{store.ErrHasChildren, "HASCHILDREN", "The mailbox has others below it."},
	{store.ErrNoPermission, "NOPERM", "You may not do that in this mailbox."}, // RFC 4314 §6
	{store.ErrACLFull, "LIMIT", "The list of rights is full."},
	{store.ErrReadOnly, "READ-ONLY", "The mailbox is open for reading only."},
	{store.ErrOverQuota, "OVERQUOTA", "The quota is used up."},
	{store.ErrTooBig, "TOOBIG", "The message is too big."},
	{message.ErrTooBig, "TOOBIG", "The message is too big."},
	{store.ErrTooManyKeywords, "LIMIT", "The mailbox has too many keywords."},
	{store.ErrTooManyMailboxes, "LIMIT", "There are too many mailboxes."},
	{store.ErrTooManySubscribed, "LIMIT", "There are too many subscriptions."},
	{store.ErrTooManyAnnotations, "METADATA TOOMANY", "There are too many annotations."}, // RFC 5464 §4.3
	{auth.ErrDenied, "AUTHENTICATIONFAILED", "Wrong name or password."},
	{auth.ErrThrottled, "UNAVAILABLE", "Too many failures of late, try again later."},
	{auth.ErrMechanism, "CANNOT", "That mechanism is not offered."},
	{auth.ErrCancelled, "", "Authentication cancelled."},
}

// replyFor says what a client is told of err.
func replyFor(err error) reply {
	var (
		no     refusal
		bad    *badError
		syntax *wire.SyntaxError
		limit  *wire.LimitError
	)
	switch {
	case errors.As(err, &no):
		return reply{status: "NO", code: no.code, text: no.text, result: resultRefused}
	case errors.As(err, &bad):
		return reply{status: "BAD", code: bad.code, text: bad.text, result: resultBad}
	case errors.As(err, &syntax):
		return reply{status: "BAD", code: "", text: fmt.Sprintf("Expected %s at octet %d.", syntax.Expected, syntax.At), result: resultBad}
	case errors.As(err, &limit) && limit.Literal:
		return reply{status: "NO", code: "TOOBIG", text: fmt.Sprintf("The literal exceeds %d octets.", limit.Max), result: resultRefused}
	case errors.As(err, &limit):
		return reply{status: "BAD", code: "TOOBIG", text: fmt.Sprintf("The command exceeds %d octets.", limit.Max), result: resultBad}
	case errors.Is(err, store.ErrNoSuchNumber):
		return reply{status: "BAD", code: "", text: "There is no message with that number.", result: resultBad}
	case errors.Is(err, auth.ErrBusy): // those who guess passwords decide how many come: nothing of ours has failed
		return reply{status: "NO", code: "UNAVAILABLE", text: "Too many log in at once, try again.", result: resultRefused}
	case errors.Is(err, auth.ErrAway):
		return reply{status: "NO", code: "UNAVAILABLE", text: "The login cannot be checked now, try again.", result: resultError}
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return reply{status: "NO", code: "UNAVAILABLE", text: "The mail store cannot be reached, try again.", result: resultError}
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return reply{status: "NO", code: r.code, text: r.text, result: resultRefused}
		}
	}
	return reply{status: "NO", code: "SERVERBUG", text: "Internal error; it has been logged.", result: resultError}
}

// answer sets the tagged OK of the running command: code without brackets, "" for none. Dispatch sends it after sync.
func (c *conn) answer(code, text string) {
	c.done = reply{status: "OK", code: code, text: text, result: resultOK}
}

// answerModSeq sets the tagged OK of a command that may have expunged: with the HIGHESTMODSEQ up to which the client will by
// then have been told everything, if it keeps mod-sequences (RFC 7162 §3.2.7).
func (c *conn) answerModSeq(text string) {
	c.answer("", text)
	c.done.modSeq, c.done.gone = c.has(imap.CapCondStore), true
}

// untagged writes an untagged status response: status is OK, NO, BAD or BYE; code is without brackets, "" for none.
func (c *conn) untagged(status, code, text string) {
	c.tagged("*", reply{status: status, code: code, text: text})
}

// tagged writes a status response.
func (c *conn) tagged(tag string, r reply) {
	c.enc.Atom(tag).SP().Atom(r.status).SP()
	if r.code != "" {
		c.enc.Byte('[').Atom(r.code).Atom("] ")
	}
	c.enc.Atom(r.text).CRLF()
}

// continuation asks the client to go on (RFC 3501 §7.5). It leaves when the session next waits for input.
func (c *conn) continuation() error { return c.enc.Atom("+ Go ahead.\r\n").Err() }
