package wire

import (
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// Literal is a literal that is streamed: an io.Reader of exactly Size octets. It must be read, or the command abandoned
// with Discard, before another token is asked for.
type Literal struct {
	Size    int64
	Binary  bool // literal8, "~{n}" (RFC 3516): the octets may include NUL
	d       *Decoder
	waiting bool // for us to ask for it
}

// Literal reads the announcement of a literal of at most Limits.Literal octets: {n}, {n+}, ~{n} or ~{n+} (RFC 7888,
// RFC 3516). It returns nil after an error. A synchronising literal is asked for by Accept, or the first Read.
func (d *Decoder) Literal() *Literal {
	binary := d.Knows(imap.CapBinary) && d.Try('~')
	size, sync := d.literalHeader()
	if d.err != nil {
		return nil
	}
	if size > d.limits.Literal {
		d.refuse(&LimitError{Literal: true, Max: d.limits.Literal}, size, sync)
		return nil
	}
	if sync {
		d.ended = true // until we ask for it, the client waits
	} else {
		d.pending = size
	}
	return &Literal{Size: size, Binary: binary, d: d, waiting: sync}
}

// Waits reports whether the client has not been asked for it yet.
func (l *Literal) Waits() bool { return l.waiting }

// Accept asks the client for a synchronising literal. Before it, the command can still be refused without the octets being
// sent.
func (l *Literal) Accept() error {
	if l.waiting {
		l.waiting = false
		l.d.ended, l.d.pending = false, l.Size
		l.d.askFor()
	}
	return l.d.err
}

// Read implements io.Reader.
func (l *Literal) Read(p []byte) (int, error) {
	if err := l.Accept(); err != nil {
		return 0, err
	}
	if l.d.pending == 0 {
		return 0, io.EOF
	}
	n, err := l.d.r.Read(p[:min(int64(len(p)), l.d.pending)])
	l.d.pending -= int64(n)
	if err != nil {
		l.d.err = unexpected(err)
	}
	return n, l.d.err
}

func (d *Decoder) askFor() bool {
	if err := d.o.Continue(); err != nil {
		d.err = err
	}
	return d.err == nil
}

// refuse records err in place of a literal of the given size, which Discard must skip if it comes anyway.
func (d *Decoder) refuse(err error, size int64, sync bool) {
	if d.ended = sync; !sync {
		d.pending = size
	}
	d.err = err
}

// literalHeader reads "{" number ["+"] "}" CRLF.
func (d *Decoder) literalHeader() (size int64, sync bool) {
	const what = "a literal"
	if !d.Try('{') {
		d.Fail(what)
	}
	digits := d.run(isDigit)
	if digits == "" {
		d.Fail("the size of the literal")
	}
	sync = !d.Try('+')
	if !d.Try('}') {
		d.Fail(what)
	}
	d.crlf("the end of the line after " + what)
	size = literalSize(digits)
	if !sync && d.err == nil && !d.Knows(imap.CapLiteralMinus) {
		d.refuse(&SyntaxError{Expected: "a literal that is asked for", At: d.at}, size, sync)
	}
	return size, sync
}

// literalSize gives the size a literal was announced with; what is beyond measure is beyond every limit.
func literalSize(digits string) int64 {
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		return n
	}
	return math.MaxInt64
}

// announced reports whether line ends in the announcement of a non-synchronising literal, and its size.
func announced(line string) (int64, bool) {
	s, ok := strings.CutSuffix(line, "+}")
	i := strings.LastIndexByte(s, '{')
	if !ok || i < 0 || i+1 == len(s) {
		return 0, false
	}
	for j := i + 1; j < len(s); j++ {
		if !isDigit(s[j]) {
			return 0, false
		}
	}
	return literalSize(s[i+1:]), true
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }
