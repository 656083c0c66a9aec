// Package wire turns bytes into IMAP tokens and back (RFC 3501 §9, RFC 9051 §9). It knows limits, and no command.
package wire

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// maxDepth is how deep lists may nest.
const maxDepth = 64

// DecoderOptions is what a Decoder needs of its connection.
type DecoderOptions struct {
	// Continue asks the client for a synchronising literal ("+ …"). It is called before the literal is read. The request
	// must have reached the client by the time the Decoder's reader waits for input.
	Continue func() error
}

// Limits bounds one command.
type Limits struct {
	Line    int   // octets of the command held in memory: its lines and the literals among its strings
	Literal int64 // octets of the biggest literal that is streamed, see Literal
	UTF8    bool  // mailbox names may be UTF-8 (RFC 6855); strings may in any case
	NonSync int64 // octets that Discard skips before it gives the connection up; 0 means any number

	Without map[imap.Cap]bool // capabilities that the grammar must do without, see Knows
}

// SyntaxError is a command that does not follow the grammar.
type SyntaxError struct {
	Expected string // in words
	At       int    // octets of the command before the fault
}

// Error implements error.
func (e *SyntaxError) Error() string { return fmt.Sprintf("expected %s at octet %d", e.Expected, e.At) }

// LimitError is a command that exceeds one of its Limits.
type LimitError struct {
	Literal bool // the literal was too big; otherwise the command was too long
	Max     int64
}

// Error implements error.
func (e *LimitError) Error() string {
	if e.Literal {
		return fmt.Sprintf("literal exceeds %d octets", e.Max)
	}
	return fmt.Sprintf("command exceeds %d octets", e.Max)
}

// Decoder reads the tokens of commands. It keeps the first error and yields zero values from then on, so that grammar can be
// written straight down and End returns what went wrong. A Decoder belongs to one goroutine.
type Decoder struct {
	r       *bufio.Reader
	o       DecoderOptions
	limits  Limits
	err     error
	at      int    // octets of this command consumed, streamed literals excepted
	depth   int    // of the list being read
	pending int64  // octets of a literal on their way and not read
	ended   bool   // no octet of this command is left to read
	buf     []byte // the token being read
}

// NewDecoder returns a Decoder of what comes from r.
func NewDecoder(r *bufio.Reader, o DecoderOptions) *Decoder { return &Decoder{r: r, o: o} }

// Begin starts a command: it forgets the error of the last one and sets limits. It reads nothing.
func (d *Decoder) Begin(l Limits) {
	d.limits, d.err, d.at, d.depth, d.pending, d.ended = l, nil, 0, 0, 0, false
	if cap(d.buf) > 1024 {
		d.buf = nil // an idle connection keeps no more than it needs
	}
}

// Knows reports whether words that belong to a capability are part of the grammar.
func (d *Decoder) Knows(k imap.Cap) bool { return !d.limits.Without[k] }

// At is how many octets of the command have been read.
func (d *Decoder) At() int { return d.at }

// Err returns the first error: a *SyntaxError, a *LimitError, or what the reader returned.
func (d *Decoder) Err() error { return d.err }

// Lost returns the first error if it is one of the connection, from which there is no recovery.
func (d *Decoder) Lost() error {
	var syntax *SyntaxError
	var limit *LimitError
	var refused *RefusedError
	if errors.As(d.err, &syntax) || errors.As(d.err, &limit) || errors.As(d.err, &refused) {
		return nil
	}
	return d.err
}

// Fail records that something else was expected here, unless there is an error already.
func (d *Decoder) Fail(format string, a ...any) {
	if d.err == nil {
		d.err = &SyntaxError{Expected: fmt.Sprintf(format, a...), At: d.at}
	}
}

// RefusedError is what Reject was given.
type RefusedError struct{ Err error }

// Error implements error.
func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns what Reject was given.
func (e *RefusedError) Unwrap() error { return e.Err }

// Reject records why what is understood is not accepted, unless there is an error already. The rest of the command is
// skipped as after Fail.
func (d *Decoder) Reject(err error) {
	if d.err == nil {
		d.err = &RefusedError{err}
	}
}

// Peek returns the next octet without consuming it: '\r' at the end of the command, 0 after an error.
func (d *Decoder) Peek() byte {
	if d.err != nil {
		return 0
	}
	p, err := d.r.Peek(1)
	if err != nil {
		d.err = err
		return 0
	}
	if p[0] == '\n' {
		return '\r'
	}
	return p[0]
}

// PeekList reports whether a space and a list come next.
func (d *Decoder) PeekList() bool {
	if d.Peek() != ' ' {
		return false
	}
	p, err := d.r.Peek(2) // a line does not end in a space: there is another octet, or none at all
	if err != nil {
		d.err = err
		return false
	}
	return p[1] == '('
}

// next consumes the octet that Peek has shown.
func (d *Decoder) next() byte {
	if d.err != nil {
		return 0
	}
	if d.at >= d.limits.Line {
		d.err = &LimitError{Max: int64(d.limits.Line)}
		return 0
	}
	b, err := d.r.ReadByte()
	if err != nil {
		d.err = err
		return 0
	}
	d.at++
	return b
}

// Try consumes b if it is next.
func (d *Decoder) Try(b byte) bool {
	if d.Peek() != b {
		return false
	}
	d.next()
	return d.err == nil
}

// TrySP consumes a space if it is next.
func (d *Decoder) TrySP() bool { return d.Try(' ') }

// Expect consumes b.
func (d *Decoder) Expect(b byte) *Decoder {
	if !d.Try(b) {
		d.Fail("%q", b)
	}
	return d
}

// SP consumes a space.
func (d *Decoder) SP() *Decoder {
	if !d.Try(' ') {
		d.Fail("a space")
	}
	return d
}

// AtEnd reports whether the command ends here. It does after an error.
func (d *Decoder) AtEnd() bool { return d.Peek() == '\r' || d.err != nil }

// End consumes the CRLF that ends the command and returns the first error. A bare LF is tolerated.
func (d *Decoder) End() error {
	d.crlf("the end of the command")
	if d.err == nil {
		d.ended = true
	}
	return d.err
}

func (d *Decoder) crlf(what string) {
	if d.Peek() != '\r' {
		d.Fail("%s", what)
		return
	}
	if d.next() == '\r' {
		if p, err := d.r.Peek(1); err == nil && p[0] != '\n' {
			d.Fail("LF after CR")
			return
		}
		d.next()
	}
}

// Discard skips what is left of the command after an error, non-synchronising literals included, so that the next command can
// be read. A synchronising literal ends the command: its client waits for a reply. An error means that the connection is lost.
func (d *Decoder) Discard() error {
	if err := d.Lost(); err != nil {
		return err
	}
	left := d.limits.NonSync
	for !d.ended {
		if err := d.drain(&left); err != nil {
			return err
		}
		size, more, err := d.skipLine(&left)
		if err != nil {
			return err
		}
		d.pending, d.ended = size, !more
	}
	return nil
}

// drain skips the rest of a literal.
func (d *Decoder) drain(left *int64) error {
	for d.pending > 0 {
		if err := d.spend(left, d.pending); err != nil {
			return err
		}
		n, err := d.r.Discard(int(min(d.pending, 1<<30)))
		d.pending -= int64(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// skipLine skips to the end of a line and reports whether a non-synchronising literal follows.
func (d *Decoder) skipLine(left *int64) (size int64, more bool, err error) {
	var tail []byte // of the line, as much as a literal's announcement takes
	for {
		p, err := d.r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return 0, false, err
		}
		tail = append(tail, p...)
		tail = tail[max(0, len(tail)-32):]
		if err == nil {
			size, more = announced(strings.TrimRight(string(tail), "\r\n"))
			return size, more, nil
		}
		if err := d.spend(left, int64(len(p))); err != nil {
			return 0, false, err
		}
	}
}

// spend takes n octets from what Discard may skip.
func (d *Decoder) spend(left *int64, n int64) error {
	if d.limits.NonSync == 0 {
		return nil
	}
	if *left -= min(n, 1<<30); *left < 0 || n > d.limits.NonSync {
		return fmt.Errorf("skip the rest of a command: %w", &LimitError{Max: d.limits.NonSync})
	}
	return nil
}

// List reads "(" [item *(SP item)] ")", calling item at the start of each.
func (d *Decoder) List(item func()) {
	if d.depth++; d.depth > maxDepth {
		d.Fail("fewer than %d nested lists", maxDepth)
	}
	defer func() { d.depth-- }()
	if d.Expect('('); d.Try(')') {
		return
	}
	for d.err == nil {
		item()
		if d.Try(')') {
			return
		}
		if !d.TrySP() {
			d.Fail("a space or \")\"")
		}
	}
}

// run consumes octets while ok says so and returns them.
func (d *Decoder) run(ok func(byte) bool) string {
	d.buf = d.buf[:0]
	for {
		b := d.Peek()
		if d.err != nil || !ok(b) {
			break
		}
		d.buf = append(d.buf, d.next())
	}
	if d.err != nil {
		return ""
	}
	return string(d.buf)
}
