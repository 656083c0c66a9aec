package wire

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
)

// maxQuoted is the longest string that is sent quoted; some clients have fixed buffers for lines.
const maxQuoted = 1000

// Encoder writes the tokens of responses. It keeps the first error and writes nothing more, and never flushes. An Encoder
// belongs to one goroutine.
type Encoder struct {
	UTF8 bool // quoted strings may hold UTF-8, mailbox names are UTF-8 (RFC 6855)
	w    *bufio.Writer
	err  error
	num  []byte // what is put together before it is written
}

// NewEncoder returns an Encoder that writes to w.
func NewEncoder(w *bufio.Writer) *Encoder { return &Encoder{w: w} }

// Reset makes the Encoder write to w, which may be nil while nothing is written. The error stays.
func (e *Encoder) Reset(w *bufio.Writer) { e.w = w }

// Err returns the first error.
func (e *Encoder) Err() error { return e.err }

// Atom writes s as it is: an atom, or any protocol text.
func (e *Encoder) Atom(s string) *Encoder {
	if e.err == nil {
		_, e.err = e.w.WriteString(s)
	}
	return e
}

// Byte writes one octet.
func (e *Encoder) Byte(b byte) *Encoder {
	if e.err == nil {
		e.err = e.w.WriteByte(b)
	}
	return e
}

// SP writes a space.
func (e *Encoder) SP() *Encoder { return e.Byte(' ') }

// CRLF ends a line.
func (e *Encoder) CRLF() *Encoder { return e.Atom("\r\n") }

// NIL writes NIL.
func (e *Encoder) NIL() *Encoder { return e.Atom("NIL") }

// Number writes a number.
func (e *Encoder) Number(n uint32) *Encoder { return e.Number64(int64(n)) }

// Number64 writes a number, which must not be negative.
func (e *Encoder) Number64(n int64) *Encoder {
	e.num = strconv.AppendInt(e.num[:0], n, 10)
	return e.scratch()
}

// scratch writes what is in num.
func (e *Encoder) scratch() *Encoder {
	if e.err == nil {
		_, e.err = e.w.Write(e.num)
	}
	return e
}

// String writes s quoted if it can be, else as a literal.
func (e *Encoder) String(s string) *Encoder {
	if !e.quotable(s) {
		return e.Byte('{').Number64(int64(len(s))).Atom("}\r\n").Atom(s)
	}
	e.Byte('"')
	for {
		i := strings.IndexAny(s, `"\`)
		if i < 0 {
			break
		}
		e.Atom(s[:i]).Byte('\\').Byte(s[i])
		s = s[i+1:]
	}
	return e.Atom(s).Byte('"')
}

func (e *Encoder) quotable(s string) bool {
	if len(s) > maxQuoted {
		return false
	}
	for i := range len(s) {
		switch b := s[i]; {
		case b == 0 || b == '\r' || b == '\n':
			return false
		case b >= utf8.RuneSelf && !e.UTF8:
			return false
		}
	}
	return !e.UTF8 || utf8.ValidString(s)
}

// NString writes *s as String does, or NIL.
func (e *Encoder) NString(s *string) *Encoder {
	if s == nil {
		return e.NIL()
	}
	return e.String(*s)
}

// AString writes s as an atom if it can be, else as String does.
func (e *Encoder) AString(s string) *Encoder {
	if s == "" || strings.EqualFold(s, "NIL") {
		return e.String(s)
	}
	for i := range len(s) {
		if !isAStringChar(s[i]) {
			return e.String(s)
		}
	}
	return e.Atom(s)
}

// Mailbox writes the name of a mailbox, given in UTF-8.
func (e *Encoder) Mailbox(name string) *Encoder {
	if e.UTF8 {
		return e.AString(name)
	}
	return e.AString(EncodeUTF7(name))
}

// Flags writes a parenthesised list of flags.
func (e *Encoder) Flags(fs []imap.Flag) *Encoder {
	return e.List(len(fs), func(i int) { e.Atom(string(fs[i])) })
}

// DateTime writes a date with time and zone, quoted.
func (e *Encoder) DateTime(t time.Time) *Encoder {
	e.num = t.AppendFormat(e.num[:0], dateTimeLayout)
	return e.Byte('"').scratch().Byte('"')
}

// NumSet writes a set of numbers, which must not be empty.
func (e *Encoder) NumSet(s imap.NumSet) *Encoder {
	switch s := s.(type) {
	case imap.SeqSet:
		for i, r := range s {
			e.numRange(i > 0, r.Start, r.Stop)
		}
	case imap.UIDSet:
		for i, r := range s {
			e.numRange(i > 0, uint32(r.Start), uint32(r.Stop))
		}
	default:
		e.Atom(s.String())
	}
	return e
}

// numRange writes one range of a set, in which 0 stands for "*". A set may have a great many.
func (e *Encoder) numRange(more bool, start, stop uint32) {
	if e.num = e.num[:0]; more {
		e.num = append(e.num, ',')
	}
	if e.num = appendNum(e.num, start); start != stop {
		e.num = appendNum(append(e.num, ':'), stop)
	}
	e.scratch()
}

func appendNum(b []byte, n uint32) []byte {
	if n == 0 {
		return append(b, '*')
	}
	return strconv.AppendUint(b, uint64(n), 10)
}

// List writes n items in parentheses, with spaces between.
func (e *Encoder) List(n int, item func(i int)) *Encoder {
	e.Byte('(')
	for i := range n {
		if i > 0 {
			e.SP()
		}
		item(i)
	}
	return e.Byte(')')
}

// Literal writes a literal of exactly size octets from r. An r that ends early is an error from which the connection cannot
// recover.
func (e *Encoder) Literal(size int64, r io.Reader) *Encoder {
	e.Byte('{').Number64(size).Atom("}\r\n")
	return e.copy(size, r)
}

// Literal8 writes a literal whose octets may include NUL (RFC 3516 §4.1).
func (e *Encoder) Literal8(size int64, r io.Reader) *Encoder {
	e.Atom("~{").Number64(size).Atom("}\r\n")
	return e.copy(size, r)
}

// window is how much of a literal is read at a time; it bounds what a client that reads slowly pins.
const window = 64 << 10

var windows = sync.Pool{New: func() any { return new([window]byte) }}

// inMemory writes octets that need not be read first.
func (e *Encoder) inMemory(size int64, r io.WriterTo) *Encoder {
	if e.err != nil {
		return e
	}
	var n int64
	if n, e.err = r.WriteTo(e.w); e.err == nil && n != size {
		e.err = io.ErrUnexpectedEOF
	}
	return e
}

func (e *Encoder) copy(size int64, r io.Reader) *Encoder {
	switch r := r.(type) {
	case *bytes.Reader:
		return e.inMemory(size, r)
	case *net.Buffers:
		return e.inMemory(size, r)
	}
	p := windows.Get().(*[window]byte)
	defer windows.Put(p)
	for e.err == nil && size > 0 {
		var n int
		if n, e.err = io.ReadFull(r, p[:min(size, window)]); e.err != nil {
			e.err = unexpected(e.err)
			return e
		}
		_, e.err = e.w.Write(p[:n])
		size -= int64(n)
	}
	return e
}
