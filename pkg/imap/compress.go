// COMPRESS (RFC 4978).

package imap

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"sync"

	"postern/pkg/imap/wire"

	"github.com/klauspost/compress/flate"
)

// deflateHistory is how much of what was said last a compressed session remembers, so that what is said again takes little.
const deflateHistory = 8 << 10

// deflated lends memory for what is on its way to the client. It is small enough never to be more than a write of the
// session's buffer.
var deflated = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func parseCompress(d *wire.Decoder, _ flags) (string, error) {
	mechanism := d.SP().Keyword()
	return mechanism, d.End()
}

// compress agrees to compress; it begins behind the tagged OK, in both directions (RFC 4978 §3).
func (c *conn) compress(_ context.Context, mechanism string) error {
	switch {
	case mechanism != "DEFLATE":
		return badf("There is no such compression.")
	case c.stream.deflate != nil:
		return refusal{code: "COMPRESSIONACTIVE", text: "Compression is active already."}
	case !c.srv.admitCompressed():
		return refusal{code: "LIMIT", text: "Too many sessions are compressed, go on without."}
	}
	c.then = c.startCompressing
	c.answer("", "Compressing from here on.")
	return nil
}

// startCompressing sends what has been said as it is and takes all that follows, and all that has come, as compressed.
func (c *conn) startCompressing() {
	_ = c.stream.flush()                    // an error is the stream's from then on
	behind, _ := c.in.Peek(c.in.Buffered()) // which cannot fail
	c.stream.compress(bytes.Clone(behind))  // before it is discarded
	_, _ = c.in.Discard(len(behind))        // nor can this
}

// compress switches both directions of a stream; behind has been read already.
func (s *stream) compress(behind []byte) {
	s.deflate = &deflater{w: writerFunc(s.send)}
	s.inflate = newInflater(readerFunc(s.receive), behind)
}

type (
	readerFunc func([]byte) (int, error)
	writerFunc func([]byte) (int, error)
)

// Read implements io.Reader.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Write implements io.Writer.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// deflater compresses each write on its own and whole: whatever was written can be inflated by the client at once. Between
// writes it holds no more than deflateHistory octets; the tables of the compressor are shared by all sessions that compress
// just then, and no one keeps them while a client is waited for.
type deflater struct {
	w    io.Writer
	said []byte // the last octets written
}

// Write implements io.Writer.
func (z *deflater) Write(p []byte) (int, error) {
	buf := deflated.Get().(*bytes.Buffer)
	defer deflated.Put(buf)
	n := 0
	for n < len(p) {
		piece := p[n:min(len(p), n+writeBuffer)]
		buf.Reset()
		if err := flate.StatelessDeflate(buf, piece, false, z.said); err != nil {
			return n, fmt.Errorf("deflate: %w", err)
		}
		z.remember(piece)
		if _, err := z.w.Write(buf.Bytes()); err != nil {
			return n, err
		}
		n += len(piece)
	}
	return n, nil
}

// remember keeps the end of what has been said.
func (z *deflater) remember(p []byte) {
	p = p[max(0, len(p)-deflateHistory):]
	if need := min(len(z.said)+len(p), deflateHistory); need > cap(z.said) {
		z.said = append(make([]byte, 0, min(2*need, deflateHistory)), z.said...)
	}
	if over := len(z.said) + len(p) - deflateHistory; over > 0 {
		z.said = z.said[:copy(z.said, z.said[over:])]
	}
	z.said = append(z.said, p...)
}

// admitCompressed counts a compressed session, or reports that there are too many in this process.
func (s *Server) admitCompressed() bool {
	if s.compressed.Add(1) <= int64(cmp.Or(s.MaxCompressed, DefaultMaxCompressed)) {
		return true
	}
	s.compressed.Add(-1)
	return false
}
