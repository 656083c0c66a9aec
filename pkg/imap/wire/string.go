package wire

import (
	"errors"
	"io"
	"strings"
)

// AString reads an atom, a quoted string or a literal.
func (d *Decoder) AString() string {
	switch d.Peek() {
	case '"', '{':
		return d.Text()
	}
	s := d.run(isAStringChar)
	if s == "" {
		d.Fail("a string")
	}
	return s
}

// Text reads a quoted string or a literal. Octets above 127 are taken as they come; a caller who cares must check them.
func (d *Decoder) Text() string {
	switch d.Peek() {
	case '"':
		return d.quoted()
	case '{':
		return d.literalText()
	}
	d.Fail("a quoted string or a literal")
	return ""
}

// NString reads a quoted string, a literal, or NIL, for which ok is false.
func (d *Decoder) NString() (s string, ok bool) {
	switch d.Peek() {
	case 'n', 'N':
		if !strings.EqualFold(d.Atom(), "NIL") {
			d.Fail("NIL before this")
		}
		return "", false
	}
	s = d.Text()
	return s, d.err == nil
}

// NString8 is NString that also takes a literal8 (RFC 3516), whose octets may include NUL.
func (d *Decoder) NString8() (s string, ok bool) {
	if !d.Try('~') {
		return d.NString()
	}
	s = d.literalText()
	return s, d.err == nil
}

func (d *Decoder) quoted() string {
	d.Expect('"')
	d.buf = d.buf[:0]
	for d.err == nil {
		switch b := d.Peek(); b {
		case '"':
			if d.next(); d.err != nil {
				return ""
			}
			return string(d.buf)
		case '\r', 0:
			d.Fail("the end of the quoted string")
		case '\\':
			d.next()
			if b = d.Peek(); b != '"' && b != '\\' {
				d.Fail("a quote or a backslash") // RFC 3501 §9, quoted-specials
			}
			d.buf = append(d.buf, d.next())
		default:
			d.buf = append(d.buf, d.next())
		}
	}
	return ""
}

// literalText reads a literal into memory, which grows with the octets that arrive and not with those announced (rule 11).
func (d *Decoder) literalText() string {
	size, sync := d.literalHeader()
	if d.err != nil {
		return ""
	}
	if size > int64(d.limits.Line-d.at) {
		d.refuse(&LimitError{Max: int64(d.limits.Line)}, size, sync)
		return ""
	}
	d.pending = size
	if sync && !d.askFor() {
		return ""
	}
	var b strings.Builder
	for d.pending > 0 {
		n, err := io.CopyN(&b, d.r, min(d.pending, 4096))
		d.pending -= n
		d.at += int(n)
		if err != nil {
			d.err = unexpected(err)
			return ""
		}
	}
	return b.String()
}

// unexpected turns an end of input in the middle of something into an error that says so.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
