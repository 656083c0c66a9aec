package bench

import (
	"bytes"
	"errors"
	"io"
)

const (
	bufferSize = 64 << 10
	maxLine    = 64 << 20 // a SEARCH may answer with a million numbers in one line
)

var errLongLine = errors.New("the server sends a line without an end")

// reader reads what a server sends: lines, and octets that only count.
type reader struct {
	src  io.Reader
	buf  []byte
	from int // buf[from:to] has been read from src and not yet handed out
	to   int
}

func newReader(src io.Reader) *reader { return &reader{src: src, buf: make([]byte, bufferSize)} }

// more reads from src, after making room.
func (r *reader) more() error {
	switch {
	case r.from == r.to:
		r.from, r.to = 0, 0
	case r.to == len(r.buf) && r.from > 0:
		r.to = copy(r.buf, r.buf[r.from:r.to])
		r.from = 0
	case r.to == len(r.buf) && len(r.buf) >= maxLine:
		return errLongLine
	case r.to == len(r.buf):
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
	n, err := r.src.Read(r.buf[r.to:])
	r.to += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// line returns the next line without its end. It is valid until the next call.
func (r *reader) line() ([]byte, error) {
	for seen := 0; ; {
		if i := bytes.IndexByte(r.buf[r.from+seen:r.to], '\n'); i >= 0 {
			line := r.buf[r.from : r.from+seen+i]
			r.from += seen + i + 1
			return bytes.TrimSuffix(line, []byte{'\r'}), nil
		}
		seen = r.to - r.from
		if err := r.more(); err != nil {
			return nil, err
		}
	}
}

// skip passes over n octets.
func (r *reader) skip(n int64) error {
	for {
		have := min(n, int64(r.to-r.from))
		r.from += int(have)
		if n -= have; n == 0 {
			return nil
		}
		if err := r.more(); err != nil {
			return err
		}
	}
}

// dotted passes over what ends with a line of one dot, and returns how many octets it had before dots were doubled
// (RFC 1939 §3).
func (r *reader) dotted() (int64, error) {
	for n := int64(0); ; {
		line, err := r.line()
		switch {
		case err != nil:
			return n, err
		case len(line) == 1 && line[0] == '.':
			return n, nil
		case len(line) > 0 && line[0] == '.':
			n--
		}
		n += int64(len(line)) + 2
	}
}
