package lmtp

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"postern/pkg/serve"
)

const (
	// maxLine is the longest command line: RFC 5321 §4.5.3.1.4 asks for 512 octets, its extensions for some hundred more.
	maxLine = 4 << 10
	// maxDiscard is how much of a line that is too long is skipped before the session ends.
	maxDiscard = 1 << 20
	// handshakeTime is how long that of TLS may take.
	handshakeTime = time.Minute
	// farewellTime is the least a write may take: the last words are said to one who has been too slow.
	farewellTime = 5 * time.Second

	readBuffer  = 32 << 10
	writeBuffer = 4 << 10
)

var (
	// errQuit ends a session after what has been written is flushed.
	errQuit = errors.New("quit")
	// errSlowWriter and errSlowReader end one whose client cannot be waited for.
	errSlowWriter = errors.New("client sends too slowly")
	errSlowReader = errors.New("client takes replies too slowly")
)

// conn is one session. Its goroutine owns it; mu guards what Shutdown looks at.
type conn struct {
	server    *Server
	nc        net.Conn
	id        string
	log       *zap.Logger
	in        *bufio.Reader
	out       *bufio.Writer
	connected time.Time
	commands  map[string]command // the table, at one remove: BDAT reads commands itself, and a variable must not lead to itself

	peer   netip.Addr     // unset on a Unix socket
	secure bool           // TLS
	helo   string         // what LHLO said; empty before it
	env    *envelope      // the transaction; nil outside one
	pushed *string        // a line to be read again
	broken error          // why nothing more can be read
	bad    int            // commands in a row
	idle   bool           // the next octet is the first of a command
	slack  serve.Patience // with all others, and with writes
	tally  tally

	mu      sync.Mutex
	waiting bool // for a command
	closing bool
}

// tally is what the line at the end of a session tells.
type tally struct {
	messages, delivered int
	in, out             int64
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{server: s, nc: nc, id: rand.Text()[:12], connected: time.Now(), commands: commands, slack: s.Limits.Patience()}
	c.in = bufio.NewReaderSize(source{c}, readBuffer)
	c.out = bufio.NewWriterSize(sink{c}, writeBuffer)
	return c
}

// Serve runs the session to its end.
func (c *conn) Serve(ctx context.Context) {
	if a, err := netip.ParseAddrPort(c.nc.RemoteAddr().String()); err == nil {
		c.peer = a.Addr().Unmap()
	}
	c.log = c.server.logger().With(zap.String("proto", "lmtp"), zap.String("conn", c.id), zap.Stringer("remote", c.peer))
	c.server.Metrics.begin()
	defer c.server.Metrics.end()
	err := c.handshake(ctx)
	if err == nil {
		err = c.converse(ctx)
	}
	c.out.Flush() //nolint:errcheck // the session is over, and its line is about to say why
	c.nc.Close()
	c.logEnd(err)
}

// handshake completes TLS, if there is any, before anything is said.
func (c *conn) handshake(ctx context.Context) error {
	secure, ok := c.nc.(interface {
		HandshakeContext(context.Context) error
		ConnectionState() tls.ConnectionState
	})
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	c.secure = true
	return secure.HandshakeContext(ctx)
}

// converse greets, then reads and runs commands until the session is over.
func (c *conn) converse(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("panic", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			c.say(&reply{421, "4.3.0", "Internal error, closing."})
			err = errors.New("panic")
		}
	}()
	c.say(&reply{220, "", c.server.Hostname + " LMTP server ready."})
	for {
		line, err := c.readLine()
		if err == nil {
			err = c.dispatch(ctx, line)
		}
		if err = c.conclude(err); err != nil {
			return err
		}
	}
}

// conclude answers a command that failed, and returns an error if the session cannot go on.
func (c *conn) conclude(err error) error {
	var r *reply
	switch {
	case c.stopped():
		c.say(&reply{421, "4.3.2", "Shutting down, try again later."})
		return errors.New("server is shutting down")
	case errors.Is(c.broken, errSlowWriter):
		c.server.Metrics.limited(serve.LimitSlowWriter)
		c.say(&reply{421, "4.4.2", "Too slow, closing."})
		return c.broken
	case errors.Is(c.broken, errSlowReader):
		c.server.Metrics.limited(serve.LimitSlowReader)
		return c.broken
	case errors.Is(c.broken, os.ErrDeadlineExceeded):
		c.say(&reply{421, "4.4.2", "Timeout, closing."})
		return c.broken
	case c.broken != nil:
		return c.broken
	case !errors.As(err, &r):
		c.bad = 0
		return err
	}
	c.say(r)
	if c.bad++; !r.bad() {
		c.bad = 0
	}
	switch {
	case c.bad >= c.server.Limits.MaxBad():
		c.server.Metrics.limited(serve.LimitBad)
		c.say(&reply{421, "4.7.0", "Too many errors, closing."})
		return errors.New("too many bad commands")
	case r == badChunk:
		return r
	}
	return nil
}

// stopped reports whether Shutdown has ended the wait for a command.
func (c *conn) stopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing && c.broken != nil && errors.Is(c.broken, os.ErrDeadlineExceeded)
}

// readLine returns the next line without its end. Everything written so far is flushed if the line has not arrived yet,
// so that the replies to pipelined commands go out together (RFC 2920 §3.2).
func (c *conn) readLine() (string, error) {
	if c.pushed != nil {
		line := *c.pushed
		c.pushed = nil
		return line, nil
	}
	c.setWaiting(true)
	defer c.setWaiting(false)
	c.idle = c.in.Buffered() == 0
	line, err := c.in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull), err == nil && len(line) > maxLine:
		return "", c.skipLine(err)
	case err != nil:
		c.broken = err
		return "", err
	}
	return strings.TrimRight(string(line), " \t\r\n"), nil
}

// skipLine reads to the end of a line that is too long. err is nil if that has been reached.
func (c *conn) skipLine(err error) error {
	for skipped := 0; skipped < maxDiscard; {
		if err == nil {
			return &reply{500, "5.5.2", "Line too long."}
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			c.broken = err
			return err
		}
		var part []byte
		part, err = c.in.ReadSlice('\n')
		skipped += len(part)
	}
	c.broken = errors.New("line without end")
	return c.broken
}

func (c *conn) setWaiting(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = on
}

// Stop ends the session when it next waits for a command.
func (c *conn) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
	if c.waiting {
		c.nc.SetReadDeadline(time.Unix(1, 0))
	}
}

// Abort ends the session at once.
func (c *conn) Abort() {
	c.nc.Close()
}

func (c *conn) logEnd(err error) {
	c.log.Info("session ended",
		zap.Int("messages", c.tally.messages), zap.Int("delivered", c.tally.delivered),
		zap.Int64("in", c.tally.in), zap.Int64("out", c.tally.out),
		zap.Duration("duration", time.Since(c.connected)), zap.String("reason", reason(err)))
}

func reason(err error) string {
	switch {
	case errors.Is(err, errQuit):
		return "quit"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "client closed the connection"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	}
	return err.Error()
}

// source is what c.in reads from. A large message may take its time, as long as it comes.
type source struct{ c *conn }

func (s source) Read(p []byte) (int, error) {
	c := s.c
	if err := c.out.Flush(); err != nil {
		return 0, err
	}
	start, idle := time.Now(), c.idle
	c.idle = false
	c.setDeadline(start, idle)
	n, err := c.nc.Read(p)
	c.tally.in += int64(n)
	if idle {
		c.slack.Rested(time.Since(start))
		return n, err
	}
	c.slack.Spent(time.Since(start), n)
	if errors.Is(err, os.ErrDeadlineExceeded) && c.slack.Left() <= 0 {
		err = errSlowWriter
	}
	return n, err
}

// setDeadline bounds a read that begins now.
func (c *conn) setDeadline(now time.Time, idle bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	patience := c.server.readTimeout()
	if !idle {
		patience = min(patience, c.slack.Left())
	}
	deadline := now.Add(patience)
	if c.closing && c.waiting {
		deadline = time.Unix(1, 0)
	}
	c.nc.SetReadDeadline(deadline)
}

// sink is what c.out writes to.
type sink struct{ c *conn }

func (s sink) Write(p []byte) (int, error) {
	start := time.Now()
	s.c.nc.SetWriteDeadline(start.Add(max(s.c.slack.Left(), farewellTime)))
	n, err := s.c.nc.Write(p)
	s.c.slack.Spent(time.Since(start), n)
	s.c.tally.out += int64(n)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errSlowReader
	}
	return n, err
}
