package lmtp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"postern/pkg/message"
)

// DATA (RFC 5321 §4.1.1.4, RFC 2033 §4.2).
func (c *conn) data(ctx context.Context, _ nothing) error {
	if r := c.ready(); r != nil {
		return r
	}
	c.say(&reply{354, "", "Send the message, end it with CRLF.CRLF."})
	r := &dataReader{r: c.in, lineStart: true}
	spooled, err := c.spool(r)
	if r.err == nil { // refused before its end: read on, to be in step with the client again
		if _, err := io.Copy(io.Discard, r); err != nil {
			c.broken = err
		}
	}
	if c.broken == nil && !errors.Is(r.err, io.EOF) {
		c.broken = r.err
	}
	return c.finish(ctx, spooled, err)
}

// ready refuses a message for which there is nobody (RFC 2033 §4.2: DATA must fail when every RCPT has).
func (c *conn) ready() error {
	switch {
	case c.env == nil:
		return &reply{503, "5.5.1", "MAIL comes first."}
	case len(c.env.recipients) == 0:
		return &reply{503, "5.5.1", "No recipient has been accepted."}
	}
	return nil
}

func (c *conn) spool(r io.Reader) (*message.Spooled, error) {
	o := c.server.Spool
	o.Limit = c.server.maxSize()
	return message.Spool(r, o)
}

// finish ends the transaction with one reply for each recipient, or with silence if the client is gone (rule 3).
func (c *conn) finish(ctx context.Context, spooled *message.Spooled, err error) error {
	env := c.env
	c.env = nil
	if spooled != nil {
		defer c.discard(spooled)
	}
	if c.broken != nil {
		return c.broken
	}
	c.tally.messages++
	if err != nil {
		c.refuseAll(env, fmt.Errorf("receive message: %w", err))
		return nil
	}
	c.deliver(ctx, env, spooled)
	return nil
}

func (c *conn) discard(m *message.Spooled) {
	if err := m.Close(); err != nil {
		c.log.Warn("cannot release a message's temporary file", zap.Error(err))
	}
}

// dataReader undoes the dots of DATA and ends at CRLF.CRLF alone (rule 1, RFC 5321 §4.5.2).
type dataReader struct {
	r         *bufio.Reader
	lineStart bool   // what comes next follows CRLF, or is the beginning
	cr        bool   // what came last was CR
	rest      []byte // read, not yet returned
	err       error  // io.EOF after the end
}

func (d *dataReader) Read(p []byte) (int, error) {
	for len(d.rest) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		d.fill()
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// fill takes what needs no second look, or else a line, or as much of it as the buffer holds: enough to see whether it is a
// single dot.
func (d *dataReader) fill() {
	if d.rest = d.plain(); len(d.rest) > 0 {
		return
	}
	line, err := d.r.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF):
		d.err = io.ErrUnexpectedEOF
		return
	case err != nil && !errors.Is(err, bufio.ErrBufferFull):
		d.err = err
		return
	case d.lineStart && string(line) == ".\r\n":
		d.err = io.EOF
		return
	}
	d.rest = line
	if d.lineStart && line[0] == '.' {
		d.rest = line[1:]
	}
	d.lineStart = bytes.HasSuffix(line, []byte("\r\n")) || d.cr && string(line) == "\n"
	d.cr = line[len(line)-1] == '\r'
}

var crlfDot = []byte("\r\n.")

// plain takes all that the buffer holds up to the next line that begins with a dot. Line by line a message would take
// several times as long.
func (d *dataReader) plain() []byte {
	b, err := d.r.Peek(d.r.Buffered())
	if err != nil || len(b) == 0 || d.lineStart && b[0] == '.' || d.cr && b[0] == '\n' {
		return nil
	}
	if i := bytes.Index(b, crlfDot); i >= 0 {
		b = b[:i+2]
	}
	d.lineStart = bytes.HasSuffix(b, crlfDot[:2])
	d.cr = b[len(b)-1] == '\r'
	_, d.err = d.r.Discard(len(b)) // they are in the buffer
	return b
}

// chunk is what BDAT announces.
type chunk struct {
	size int64
	last bool
}

// badChunk ends the session: where the next command begins cannot be known.
var badChunk = &reply{501, "5.5.4", "BDAT size [LAST] is expected."}

func parseChunk(args string) (chunk, error) {
	words := strings.Fields(args)
	if len(words) < 1 || len(words) > 2 || len(words) == 2 && !strings.EqualFold(words[1], "LAST") {
		return chunk{}, badChunk
	}
	size, err := strconv.ParseUint(words[0], 10, 63)
	if err != nil {
		return chunk{}, badChunk
	}
	return chunk{int64(size), len(words) == 2}, nil
}

// BDAT (RFC 3030 §2). The message is spooled from the first chunk to the last in this one call; the commands between the
// chunks are read by chunkReader.
func (c *conn) bdat(ctx context.Context, first chunk) error {
	r := &chunkReader{c: c, chunk: first}
	if refused := c.ready(); refused != nil {
		r.skip()
		c.env = nil
		return refused
	}
	spooled, err := c.spool(r)
	switch {
	case errors.Is(err, errChunksAborted):
		c.env = nil
		return nil // the command that came instead has its own reply
	case errors.Is(err, badChunk):
		return badChunk
	case err == nil || c.broken != nil:
		return c.finish(ctx, spooled, err)
	}
	r.skip()
	if r.chunk.last {
		return c.finish(ctx, nil, err)
	}
	env := c.env
	c.env = nil // the chunks still to come are refused for want of a transaction
	return c.refuseMessage(env, err)
}

var errChunksAborted = errors.New("message given up between chunks")

// chunkReader reads the octets of chunk after chunk, answering those that are complete.
type chunkReader struct {
	c     *conn
	chunk chunk // size is what is left of it
}

func (r *chunkReader) Read(p []byte) (int, error) {
	for r.chunk.size == 0 {
		if r.chunk.last {
			return 0, io.EOF
		}
		r.c.say(&reply{250, "2.0.0", "Chunk received."})
		if err := r.nextChunk(); err != nil {
			return 0, err
		}
	}
	n, err := r.c.in.Read(p[:min(int64(len(p)), r.chunk.size)])
	r.chunk.size -= int64(n)
	if err != nil {
		r.c.broken = err
	}
	return n, err
}

// nextChunk reads commands until the next BDAT. NOOP is the one that leaves the message alone (RFC 3030 §2).
func (r *chunkReader) nextChunk() error {
	for {
		line, err := r.c.readLine()
		if err != nil {
			return err
		}
		switch cmd, args, _ := r.c.lookUp(line); cmd.name {
		case "BDAT":
			r.chunk, err = parseChunk(args)
			return err
		case "NOOP":
			r.c.say(&reply{250, "2.0.0", "Nothing done."})
		default:
			r.c.pushed = &line
			return errChunksAborted
		}
	}
}

// skip passes over the rest of a chunk that is refused: its octets come whatever is replied.
func (r *chunkReader) skip() {
	n, err := io.CopyN(io.Discard, r.c.in, r.chunk.size)
	r.chunk.size -= n
	if err != nil {
		r.c.broken = err
	}
}
