package pop3

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
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

	"postern/pkg/auth"
	"postern/pkg/serve"
)

const (
	// maxLine is the longest line read from a client. RFC 2449 §4 asks for 255 octets; SASL responses need more.
	maxLine = 4 << 10
	// maxResponse is the longest that carries one of SASL: an access token may be that long.
	maxResponse = 16 << 10
	// maxDiscard is how much of a line that is too long is skipped before the session ends.
	maxDiscard = 1 << 20
	// maxEarly is how many commands there may be without a login.
	maxEarly = 100
	// withdrawTime is how long a running command may go on when the login is good no longer.
	withdrawTime = 500 * time.Millisecond
	// readBuffer is what a session holds for as long as it lasts.
	readBuffer = 1 << 10
	// writeBuffer is some TLS records, which the listener sends together.
	writeBuffer = 64 << 10
	// earlyBuffer is enough before the login, where thousands may wait for their refusal.
	earlyBuffer = 2 << 10
)

// writers, and before the login earlyWriters, are lent to sessions that have something to say, so that one that waits holds
// no buffer.
var (
	writers      = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, writeBuffer) }}
	earlyWriters = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, earlyBuffer) }}
)

var (
	// errQuit ends a session after what has been written is flushed.
	errQuit = errors.New("quit")
	// errStopping ends one that waits for a command when the server stops.
	errStopping = errors.New("server is shutting down")
	// errWithdrawn ends one when its login is good no longer.
	errWithdrawn = errors.New("login withdrawn")
)

// errLineTooLong is answered with -ERR; the line has been skipped.
var errLineTooLong = &refusal{text: "Line too long.", result: resultBad}

// conn is one session. Its goroutine owns it; mu guards what Shutdown looks at.
type conn struct {
	server    *Server
	nc        net.Conn
	id        string
	peer      auth.Peer
	log       *zap.Logger
	in        *bufio.Reader
	out       *bufio.Writer // nil while the session waits
	connected time.Time
	commands  map[string]command // the table, at one remove: AUTH reads commands itself, and a variable must not lead to itself

	user   string         // what USER said, until PASS
	drop   *maildrop      // nil until login
	stay   *auth.Stay     // the same time
	pace   *serve.Pace    // the same time
	slowed bool           // it has been too fast for that
	slack  serve.Patience // with writes
	pushed *string        // a line to be read again
	broken error          // why nothing more can be read
	bad    int            // commands in a row
	tally  tally

	mu      sync.Mutex
	waiting bool   // for a line
	closing error  // why the session is to end; nil if it is not
	hurry   func() // ends a login that is being decided; nil if there is none
}

// tally is what the line at the end of a session tells.
type tally struct {
	commands, failures int
	retrieved, removed int
	in, out            int64
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{server: s, nc: nc, id: rand.Text()[:12], connected: time.Now(), commands: commands, slack: s.Limits.Patience()}
	c.in = bufio.NewReaderSize(source{c}, readBuffer)
	return c
}

func remoteAddr(nc net.Conn) netip.Addr {
	a, err := netip.ParseAddrPort(nc.RemoteAddr().String())
	if err != nil {
		return netip.Addr{} // a pipe, or a Unix socket
	}
	return a.Addr().Unmap()
}

// Serve runs the session to its end.
func (c *conn) Serve(ctx context.Context) {
	c.peer = auth.Peer{Addr: remoteAddr(c.nc), Protocol: "pop3", Conn: c.id}
	c.log = c.server.logger().WithLazy(zap.String("proto", "pop3"), zap.String("conn", c.id), zap.Stringer("remote", c.peer.Addr))
	c.server.Metrics.begin()
	defer c.server.Metrics.end(&c.tally)
	err := c.handshake(ctx)
	if err == nil {
		c.acquire()
		err = c.converse(ctx)
		c.release() //nolint:errcheck // the session is over, and its line is about to say why
	}
	c.stay.Leave()
	if c.drop != nil {
		c.drop.close()
	}
	c.nc.Close()
	c.logEnd(err)
}

// handshake completes TLS, if there is any, before anything is said.
func (c *conn) handshake(ctx context.Context) error {
	secure, ok := c.nc.(interface {
		HandshakeContext(context.Context) error
		auth.Channel
	})
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.server.loginTimeout())
	defer cancel()
	c.peer.TLS, c.peer.Channel = true, secure
	return secure.HandshakeContext(ctx)
}

// converse greets, then reads and runs commands until the session is over. It holds the one recover of the package.
func (c *conn) converse(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("panic", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			c.refuse(&refusal{code: "SYS/PERM", text: "Internal error."})
			err = errors.New("panic")
		}
	}()
	c.ok(c.server.Hostname + " POP3 server ready.") // no timestamp: there is no APOP (RFC 1939 §7)
	for {
		if err := c.await(ctx); err != nil {
			return err
		}
		line, err := c.readLine(mayCarry)
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
	switch {
	case errors.Is(c.broken, errTooMuch):
		c.refuse(errTooMuch.refusal)
		return errTooMuch
	case c.broken != nil:
		return c.broken
	case err == nil:
		c.bad = 0
		return nil
	case errors.Is(err, errQuit), errors.Is(err, errCutShort):
		return err
	}
	r := c.refusal(err)
	if c.bad++; r.result != resultBad {
		c.bad = 0
	}
	var last *limit
	switch {
	case errors.As(err, &last):
	case c.bad >= c.server.Limits.MaxBad():
		last = errTooBad
	case c.tally.failures >= maxFailures:
		last = &limit{r, serve.LimitFailures, "too many failed logins"}
	default:
		c.refuse(r)
		return nil
	}
	c.refuse(last.refusal)
	return last
}

// readLine returns the next line without its end. Everything written so far is flushed if the line has not arrived yet,
// so that the answers to pipelined commands go out together (RFC 2449 §6.6). One that is longer than the buffer is read on if
// its beginning says that it may carry a response of SASL.
func (c *conn) readLine(carries func(begin []byte) bool) (string, error) {
	if c.pushed != nil {
		line := *c.pushed
		c.pushed = nil
		return line, nil
	}
	if err := c.startWaiting(); err != nil {
		return "", err
	}
	defer c.stopWaiting()
	line, err := c.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		most := maxLine
		if c.drop == nil && carries(line) {
			most = maxResponse
		}
		line, err = c.readOn(bytes.Clone(line), most)
	}
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", c.skipLine()
	}
	if err != nil {
		c.broken = err
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

// mayCarry reports whether a line is an AUTH, which may bring an initial response.
func mayCarry(begin []byte) bool {
	return len(begin) > 5 && strings.EqualFold(string(begin[:5]), "AUTH ")
}

// readOn reads the rest of a line that is longer than the buffer, up to most octets of it.
func (c *conn) readOn(line []byte, most int) ([]byte, error) {
	err := bufio.ErrBufferFull
	for errors.Is(err, bufio.ErrBufferFull) && len(line) < most {
		var part []byte
		part, err = c.in.ReadSlice('\n')
		line = append(line, part...)
	}
	return line, err
}

func (c *conn) skipLine() error {
	for skipped := 0; skipped < maxDiscard; {
		part, err := c.in.ReadSlice('\n')
		if err == nil {
			return errLineTooLong
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			c.broken = err
			return err
		}
		skipped += len(part)
	}
	c.broken = errors.New("line without end")
	return c.broken
}

// startWaiting sets the deadline for one line: the time a client may take must not begin anew with every octet.
func (c *conn) startWaiting() error {
	deadline := time.Now().Add(c.server.idleTimeout())
	if c.drop == nil {
		deadline = c.connected.Add(c.server.loginTimeout())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing != nil {
		c.broken = c.closing
		return c.broken
	}
	c.waiting = true
	c.nc.SetReadDeadline(deadline)
	return nil
}

func (c *conn) stopWaiting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = false
}

// Stop ends the session when it next waits for a command.
func (c *conn) Stop() { c.stop(errStopping) }

// withdraw ends the session of a login that is good no longer: as Stop does, but with little patience for a running command.
// What was marked for deletion stays (RFC 1939 §6).
func (c *conn) withdraw() {
	c.stop(errWithdrawn)
	time.AfterFunc(withdrawTime, c.Abort)
}

func (c *conn) stop(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing == nil {
		c.closing = cause
	}
	if c.waiting {
		c.nc.SetReadDeadline(time.Unix(1, 0))
	}
	if c.hurry != nil {
		c.hurry()
	}
}

// onStop has a login that is being decided end by hurry when the session is to end, nil that there is none.
func (c *conn) onStop(hurry func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hurry = hurry
	if hurry != nil && c.closing != nil {
		hurry()
	}
}

// Abort ends the session at once.
func (c *conn) Abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nc.Close()
}

func (c *conn) logEnd(err error) {
	var last *limit
	if errors.As(err, &last) {
		c.server.Metrics.limited(last.name)
	}
	c.log.Info("session ended",
		zap.Int("commands", c.tally.commands), zap.Int("retrieved", c.tally.retrieved), zap.Int("removed", c.tally.removed),
		zap.Int64("in", c.tally.in), zap.Int64("out", c.tally.out),
		zap.Duration("duration", time.Since(c.connected)), zap.String("reason", c.reason(err)))
}

func (c *conn) reason(err error) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var last *limit
	switch {
	case errors.As(err, &last):
		return last.reason
	case errors.Is(err, errQuit):
		return "quit"
	case errors.Is(err, io.EOF):
		return "client closed the connection"
	case errors.Is(err, os.ErrDeadlineExceeded) && c.closing != nil:
		return c.closing.Error()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	}
	return err.Error()
}

// source is what c.in reads from.
type source struct{ c *conn }

func (s source) Read(p []byte) (int, error) {
	if err := s.c.release(); err != nil {
		return 0, err
	}
	defer s.c.acquire()
	if s.c.drop == nil && s.c.tally.in >= s.c.server.Limits.MaxEarly() {
		return 0, errTooMuch
	}
	n, err := s.c.nc.Read(p)
	s.c.tally.in += int64(n)
	return n, err
}

// acquire makes sure that there is a buffer to write to.
func (c *conn) acquire() {
	pool := &writers
	if c.drop == nil {
		pool = &earlyWriters
	}
	c.out = pool.Get().(*bufio.Writer)
	c.out.Reset(sink{c})
}

// release sends what has been written and, if that went well, gives the buffer back: the session is about to wait.
func (c *conn) release() error {
	if err := c.out.Flush(); err != nil {
		return err // which the buffer keeps for those who write to it
	}
	c.out.Reset(nil)
	if c.out.Size() == earlyBuffer {
		earlyWriters.Put(c.out)
	} else {
		writers.Put(c.out)
	}
	c.out = nil
	return nil
}

// sink is what c.out writes to.
type sink struct{ c *conn }

// Write implements io.Writer, piece by piece.
func (s sink) Write(p []byte) (n int, err error) {
	for err == nil && n < len(p) {
		var sent int
		sent, err = s.writePiece(p[n:min(len(p), n+s.c.slack.Piece())])
		n += sent
	}
	return n, err
}

func (s sink) writePiece(p []byte) (int, error) {
	start := time.Now()
	s.c.nc.SetWriteDeadline(s.c.until(start))
	n, err := s.c.nc.Write(p)
	s.c.slack.Spent(time.Since(start), n)
	s.c.tally.out += int64(n)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errTooSlow
	}
	return n, err
}

// until is when a write that begins now must have ended.
func (c *conn) until(now time.Time) time.Time {
	at := now.Add(c.slack.Left())
	if early := c.connected.Add(c.server.loginTimeout()); c.drop == nil && early.Before(at) {
		return early
	}
	return at
}
