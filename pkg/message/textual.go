package message

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Textual returns the octets of a message that was spooled with Exact as a message made of lines: parts that say that they
// are binary come in base64 (RFC 3516 §4.4 leaves that to the server), so that they stay what they are where ends of lines
// are made CRLF. It returns nil when there is nothing to change: no such part, and no line end but CRLF.
//
// The reader reads from s, which must stay open as long as it is used.
func (s *Spooled) Textual() (io.Reader, error) {
	e := textualizer{src: s}
	if err := e.walk(s.part); err != nil {
		return nil, fmt.Errorf("look for binary parts: %w", err)
	}
	if len(e.pieces) == 0 && !s.bare {
		return nil, nil
	}
	e.keep(s.size)
	return io.MultiReader(e.pieces...), nil
}

// textualizer puts a message together from its octets and what replaces some of them.
type textualizer struct {
	src    *Spooled
	at     int64 // what comes before is in pieces
	pieces []io.Reader
}

// keep takes the octets up to an offset as they are.
func (e *textualizer) keep(to int64) {
	e.pieces = append(e.pieces, io.NewSectionReader(e.src, e.at, to-e.at))
	e.at = to
}

// replace takes r instead of the octets up to an offset.
func (e *textualizer) replace(to int64, r io.Reader) {
	e.pieces = append(e.pieces, r)
	e.at = to
}

func (e *textualizer) walk(p *Part) error {
	if p.Encoding == "BINARY" {
		if err := e.part(p); err != nil {
			return err
		}
	}
	for _, child := range p.Children {
		if err := e.walk(child); err != nil {
			return err
		}
	}
	return nil
}

// part changes a binary part. One that holds others is no more binary than they are (RFC 2045 §6.4).
func (e *textualizer) part(p *Part) error {
	leaf := len(p.Children) == 0
	encoding := "8bit"
	if leaf {
		encoding = "base64"
	}
	if err := e.header(p, encoding); err != nil || !leaf {
		return err
	}
	e.keep(p.Body)
	end, err := e.end(p)
	if err != nil {
		return err
	}
	e.replace(end, &base64Lines{r: io.NewSectionReader(e.src, p.Body, end-p.Body)})
	return nil
}

// header changes what the header of a part says of its encoding.
func (e *textualizer) header(p *Part, encoding string) error {
	scan := newFieldScanner(section(e.src, p.Header, p.Body))
	defer scan.release()
	at := p.Header
	for scan.next() {
		if strings.EqualFold(string(scan.name), "content-transfer-encoding") {
			e.keep(at)
			e.replace(at+scan.size, strings.NewReader("Content-Transfer-Encoding: "+encoding+"\r\n"))
		}
		at += scan.size
	}
	return scan.err
}

// end is where the content of a part ends: before the line end that belongs to the boundary, be it LF alone, which the tree
// does not expect.
func (e *textualizer) end(p *Part) (int64, error) {
	var b [2]byte
	n, err := e.src.ReadAt(b[:], p.End)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	if p.End > p.Body && n == 2 && b[0] != '\r' && b[1] == '\n' {
		return p.End + 1, nil
	}
	return p.End, nil
}

const (
	base64Line = 57 // octets that a line of base64 holds (RFC 2045 §6.8)
	base64Many = 64 // lines made at a time
)

// base64Lines reads r in base64, in lines.
type base64Lines struct {
	r   io.Reader
	in  [base64Line * base64Many]byte
	buf []byte
	out []byte // of buf, not yet read
	err error
}

// Read implements io.Reader.
func (b *base64Lines) Read(p []byte) (int, error) {
	for len(b.out) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		n, err := io.ReadFull(b.r, b.in[:])
		if b.err = err; errors.Is(err, io.ErrUnexpectedEOF) {
			b.err = io.EOF
		}
		b.encode(b.in[:n])
	}
	n := copy(p, b.out)
	b.out = b.out[n:]
	return n, nil
}

// encode makes lines, each but the very first behind a line end: the last one's is that of what follows.
func (b *base64Lines) encode(in []byte) {
	first := b.buf == nil
	b.buf = b.buf[:0]
	for len(in) > 0 {
		n := min(len(in), base64Line)
		if !first {
			b.buf = append(b.buf, "\r\n"...)
		}
		b.buf = base64.StdEncoding.AppendEncode(b.buf, in[:n])
		in, first = in[n:], false
	}
	b.out = b.buf
}
