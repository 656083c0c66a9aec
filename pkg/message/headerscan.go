package message

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"
)

const scanBuffer = 4 << 10 // octets of a header read at once

// fieldScanner goes through a header field by field, with the same memory whatever the length of the fields. It stops at
// the empty line or the end.
type fieldScanner struct {
	r     *bufio.Reader
	piece func([]byte) // if set, gets the current field's value in pieces, line ends included

	name  []byte // of the current field, as written; empty if its first line has no colon among its first scanBuffer octets
	size  int64  // of the current field, name and line ends included
	ended bool   // the last line of the current field has its line end
	err   error  // of reading; nil at the end
}

// fieldScanners are used one after another: a header is often smaller than the buffer.
var fieldScanners = sync.Pool{New: func() any { return &fieldScanner{r: bufio.NewReaderSize(nil, scanBuffer)} }}

// newFieldScanner returns a scanner of r, to be released when it is done.
func newFieldScanner(r io.Reader) *fieldScanner {
	s := fieldScanners.Get().(*fieldScanner)
	s.r.Reset(r)
	return s
}

// release gives s back. Nothing of it may be used any more.
func (s *fieldScanner) release() {
	s.r.Reset(nil)
	*s = fieldScanner{r: s.r, name: s.name[:0]}
	fieldScanners.Put(s)
}

// next goes to the next field, and through it. It returns false at the end and after an error.
func (s *fieldScanner) next() bool {
	s.name, s.size = s.name[:0], 0
	line := s.read()
	if len(line) == 0 || isEmptyLine(line) {
		return false
	}
	name, rest := splitField(line)
	s.name = append(s.name, name...)
	if name == nil {
		rest = line
	}
	for s.take(rest); s.continues(); {
		s.take(s.read())
	}
	return s.err == nil
}

// read returns a line or, if it is long, a piece of it.
func (s *fieldScanner) read() []byte {
	line, err := s.r.ReadSlice('\n')
	if err != nil && !isEOF(err) && !errors.Is(err, bufio.ErrBufferFull) {
		s.err = err
		return nil
	}
	s.size += int64(len(line))
	s.ended = err == nil
	return line
}

func (s *fieldScanner) take(piece []byte) {
	if s.piece != nil && len(piece) > 0 {
		s.piece(piece)
	}
}

// continues tells whether more of the current field follows: of its line, or a line that begins with white space.
func (s *fieldScanner) continues() bool {
	if s.err != nil {
		return false
	}
	b, err := s.r.Peek(1)
	if err != nil {
		if !isEOF(err) {
			s.err = err
		}
		return false
	}
	return !s.ended || b[0] == ' ' || b[0] == '\t'
}

// Field returns the value of the first field with the given name (any case), unfolded, "" if there is none. It is cut at the
// length at which the envelope's fields are. The error is one of reading.
func (p *Part) Field(body io.ReaderAt, name string) (string, error) {
	scan := newFieldScanner(section(body, p.Header, p.Body))
	defer scan.release()
	var raw []byte
	scan.piece = func(b []byte) {
		if strings.EqualFold(string(scan.name), name) {
			raw = append(raw, b[:min(len(b), maxField-len(raw))]...)
		}
	}
	for scan.next() {
		if raw != nil {
			break
		}
	}
	if scan.err != nil {
		return "", fmt.Errorf("read header: %w", scan.err)
	}
	return clean(raw), nil
}

// DecodeHeader is the function of that name, where octets that are no UTF-8 are likely in the charset of the message's text.
func (p *Part) DecodeHeader(value string) string {
	if plainASCII(value) {
		return value
	}
	return decodeHeader(value, p.firstCharset())
}

// plainASCII reports whether there is nothing to decode in a value.
func plainASCII(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || c == '=' || c == 0x1b || c == '\r' || c == '\n' {
			return false
		}
	}
	return true
}
