package message

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// DefaultMemory is how much of a message is kept in memory.
const DefaultMemory = 256 << 10

const (
	largeRead     = 64 << 10 // of a message read at a time
	maxEmptyReads = 100      // before a reader that yields nothing is given up, as in bufio
)

// SpoolOptions says how much Spool may take and where it keeps it.
type SpoolOptions struct {
	Limit  int64  // octets, as received; 0 means none
	Memory int    // a longer message goes to a temporary file; 0 means 256 KiB
	Dir    string // for temporary files; empty means os.TempDir()
	Shelf  *Shelf // where messages too long for memory go, instead of a file each; nil for none
	Exact  bool   // line ends are kept as they are; see Spooled.Textual
}

// Spooled is a message on its way in, with CRLF line ends. It is safe for concurrent reading until Close.
type Spooled struct {
	memory  memory
	file    *os.File // nil while the message is in memory; already unlinked
	shelf   *Shelf   // whose file it is; nil for none
	base    int64    // where in the file the message begins
	bare    bool     // some line ends are LF alone: only if they were to be kept
	size    int64
	hash    [32]byte
	part    *Part
	thread  uint64
	padding int
}

// Spool reads a message to its end, once. Bare LF become CRLF; everything else (NUL, lone CR, 8-bit) is kept as it
// came. When the message exceeds the limit the error is ErrTooBig and what follows is left unread in r. An error of r is
// returned wrapped. The caller must Close what it gets; after an error there is nothing to close.
func Spool(r io.Reader, o SpoolOptions) (*Spooled, error) {
	if o.Memory <= 0 {
		o.Memory = DefaultMemory
	}
	s := &Spooled{}
	if err := s.fill(r, o); err != nil {
		return nil, errors.Join(fmt.Errorf("spool message: %w", err), s.Close())
	}
	return s, nil
}

// fill hashes, normalises, keeps and parses each chunk as it comes.
func (s *Spooled) fill(r io.Reader, o SpoolOptions) error {
	buf := buffers.Get().(*[largeRead]byte)
	defer buffers.Put(buf)
	in := chunkReader{r: r, limit: o.Limit, buf: buf[:]}
	hash := sha256.New()
	parse := newParser()
	defer parse.release()
	var lines normaliser
	for {
		raw, err := in.next()
		hash.Write(raw)
		b := lines.next(raw)
		if o.Exact {
			s.bare = s.bare || len(b) != len(raw)
			b = raw
		}
		if len(b) > 0 {
			parse.write(b)
			if err := s.keep(b, o); err != nil {
				return err
			}
		}
		if isEOF(err) {
			break
		}
		if err != nil {
			return err
		}
	}
	hash.Sum(s.hash[:0])
	s.part, s.padding = parse.finish()
	s.thread = parse.thread
	preview, err := s.part.MakePreview(s)
	if err != nil {
		return err
	}
	s.part.Preview = &preview
	return nil
}

// keep stores octets in memory, or in a file once they are too many.
func (s *Spooled) keep(b []byte, o SpoolOptions) error {
	if s.file == nil && len(s.memory)+len(b) > o.Memory {
		if err := s.overflow(o); err != nil {
			return err
		}
	}
	s.size += int64(len(b))
	if s.file == nil {
		if s.memory == nil {
			s.memory = *memories.Get().(*memory)
		}
		s.memory = s.memory.with(b)
		return nil
	}
	return s.write(b)
}

// memories are what messages are kept in, one after another: at some thousand a second, garbage would be what takes longest.
var memories = sync.Pool{New: func() any { m := make(memory, 0, largeRead); return &m }}

// with adds octets. It makes room for twice as many when there is too little: append alone makes it for a quarter more, and a
// message would be copied at every step.
func (m memory) with(b []byte) memory {
	if len(b) > cap(m)-len(m) {
		m = append(make(memory, 0, max(len(m)+len(b), 2*cap(m))), m...)
	}
	return append(m, b...)
}

// recycle gives memory back, unless it has grown beyond what a message in memory needs by default.
func (m memory) recycle() {
	if m == nil || cap(m) > DefaultMemory {
		return
	}
	m = m[:0]
	memories.Put(&m)
}

// write adds octets to the file.
func (s *Spooled) write(b []byte) error {
	if s.shelf != nil {
		return s.shelf.write(b)
	}
	_, err := s.file.Write(b)
	return err
}

// overflow moves what is in memory to a temporary file, which has no name from then on: it cannot be left behind.
func (s *Spooled) overflow(o SpoolOptions) (err error) {
	if s.shelf = o.Shelf; s.shelf != nil {
		s.file, s.base, err = s.shelf.open(o.Dir)
	} else {
		s.file, err = unnamed(o.Dir)
	}
	if err != nil {
		return err
	}
	err = s.write(s.memory)
	s.memory.recycle()
	s.memory = nil
	return err
}

// unnamed makes a file that goes when it is closed.
func unnamed(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "message-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Size is the number of octets after normalisation.
func (s *Spooled) Size() int64 { return s.size }

// Hash is the SHA-256 of the octets as received.
func (s *Spooled) Hash() [32]byte { return s.hash }

// Held is how many octets of it are in memory.
func (s *Spooled) Held() int { return len(s.memory) }

// Bare tells whether some line ends are LF alone, which is only so of a message spooled with Exact.
func (s *Spooled) Bare() bool { return s.bare }

// Part is the MIME tree.
func (s *Spooled) Part() *Part { return s.part }

// Padding is how many CRLFs a line protocol must add so that the header ends in an empty line and the message in CRLF:
// 0, 1 or 2. They always go at the end.
func (s *Spooled) Padding() int { return s.padding }

// ReadAt implements io.ReaderAt over the normalised octets.
func (s *Spooled) ReadAt(p []byte, off int64) (int, error) {
	if s.file != nil {
		left := s.size - off
		if left <= 0 {
			return 0, io.EOF
		}
		n, err := s.file.ReadAt(p[:min(int64(len(p)), left)], s.base+off)
		if err == nil && n < len(p) {
			err = io.EOF
		}
		return n, err
	}
	return s.memory.ReadAt(p, off)
}

// Close releases the memory or the temporary file. Further calls do nothing.
func (s *Spooled) Close() error {
	f := s.file
	s.memory.recycle()
	s.file, s.memory = nil, nil
	if f == nil || s.shelf != nil {
		return nil
	}
	return f.Close()
}

// buffers are what messages are read into on their way to where they are kept.
var buffers = sync.Pool{New: func() any { return new([largeRead]byte) }}

// chunkReader reads in chunks, and never more than one octet past the limit.
type chunkReader struct {
	r     io.Reader
	limit int64
	got   int64
	buf   []byte
}

// next returns some octets, valid until the next call, and io.EOF with or after the last ones.
func (c *chunkReader) next() ([]byte, error) {
	buf := c.buf
	if c.limit > 0 {
		buf = buf[:min(int64(len(buf)), c.limit+1-c.got)]
	}
	for range maxEmptyReads {
		n, err := c.r.Read(buf)
		c.got += int64(n)
		if c.limit > 0 && c.got > c.limit {
			return nil, ErrTooBig
		}
		if n > 0 || err != nil {
			return buf[:n], err
		}
	}
	return nil, io.ErrNoProgress
}

// isEOF tells the end from an error that wraps io.EOF: what breaks off must not count as whole.
func isEOF(err error) bool {
	return err == io.EOF //nolint:errorlint // as said above
}

// normaliser makes every line end CRLF. A lone CR is data (RFC 5322 §2.3 forbids it; changing it would break signatures).
type normaliser struct {
	cr  bool // the last octet seen was CR
	out []byte
}

// next returns the octets b with CRLF line ends: b itself when nothing had to change, else a buffer valid until the next
// call.
func (n *normaliser) next(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	out, from := n.out[:0], 0
	for i := 0; ; {
		j := bytes.IndexByte(b[i:], '\n')
		if j < 0 {
			break
		}
		j += i
		if bare := j == 0 && !n.cr || j > 0 && b[j-1] != '\r'; bare {
			out = append(append(out, b[from:j]...), '\r')
			from = j
		}
		i = j + 1
	}
	n.cr = b[len(b)-1] == '\r'
	if len(out) == 0 {
		return b
	}
	n.out = append(out, b[from:]...)
	return n.out
}
