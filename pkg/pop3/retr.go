package pop3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"postern/pkg/store"
)

const (
	retrWindow = 64 << 10 // octets read from the store at a time
	topWindow  = 8 << 10  // the same for the lines that TOP sends of a body
	allLines   = -1
)

var windows = sync.Pool{New: func() any { return new([retrWindow]byte) }}

// RETR (RFC 1939 §5).
func (c *conn) retr(ctx context.Context, n uint32) error {
	if err := c.send(ctx, n, store.WithBody, allLines); err != nil {
		return err
	}
	c.tally.retrieved++
	return nil
}

// TOP (RFC 1939 §7): the header, its empty line, and so many lines of the body.
func (c *conn) top(ctx context.Context, r topRequest) error {
	return c.send(ctx, r.number, store.WithHeader, int64(r.lines))
}

// send sends a message, or the header and some lines. The first window is read before anything is promised: a message
// that cannot be read is -ERR, and the session goes on.
func (c *conn) send(ctx context.Context, n uint32, want store.Fields, lines int64) error {
	i, err := c.drop.find(n)
	if err != nil {
		return err
	}
	m, err := c.drop.ahead.fetch(ctx, n, i, want)
	if err != nil {
		return fmt.Errorf("read message %d: %w", c.drop.snap.UID(i), err)
	}
	buf := windows.Get().(*[retrWindow]byte)
	defer windows.Put(buf)
	o := octets{body: m.Body, buf: buf[:], size: m.Size, lines: lines}
	if lines != allLines {
		o.header = int64(c.drop.snap.Row(i).Header)
	}
	window, err := o.next()
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read message %d: %w", m.UID, err)
	}
	c.ok(fmt.Sprintf("%d octets follow.", c.drop.wireSize(i)))
	return c.copy(window, &o, c.drop.snap.Padding(i))
}

// copy sends window and what follows it.
func (c *conn) copy(window []byte, o *octets, padding int) error {
	w := newDotWriter(c.out)
	for err := error(nil); ; window, err = o.next() {
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			_, err = w.Write(window)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errCutShort, err)
		}
	}
	if !o.atEnd() {
		padding = 0
	}
	return w.close(padding)
}

// octets reads a message window by window, or its header and some lines of its body.
type octets struct {
	body   io.ReaderAt
	buf    []byte
	off    int64
	size   int64
	header int64 // windows end here, so that TOP does not touch the body before it must
	lines  int64 // of the body, still to come; negative for all
}

func (o *octets) atEnd() bool { return o.off == o.size }

// next returns the next window, valid until the next call, or io.EOF.
func (o *octets) next() ([]byte, error) {
	window, inBody := o.buf, o.off >= o.header
	switch {
	case o.atEnd(), inBody && o.lines == 0:
		return nil, io.EOF
	case !inBody:
		window = o.buf[:min(int64(len(o.buf)), o.header-o.off)]
	case o.lines > 0:
		window = o.buf[:topWindow]
	}
	window = window[:min(int64(len(window)), o.size-o.off)]
	if n, err := o.body.ReadAt(window, o.off); n < len(window) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if inBody && o.lines > 0 {
		window = o.take(window)
	}
	o.off += int64(len(window))
	return window, nil
}

// take cuts window after the last line that is wanted.
func (o *octets) take(window []byte) []byte {
	for end := 0; ; {
		i := bytes.IndexByte(window[end:], '\n')
		if i < 0 {
			return window
		}
		end += i + 1
		if o.lines--; o.lines == 0 {
			return window[:end]
		}
	}
}
