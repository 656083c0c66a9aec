package imap

import (
	"bufio"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"postern/pkg/serve"
)

const (
	readBuffer  = 1 << 10  // of a session, for as long as it lasts; what is large is read past it
	writeBuffer = 66 << 10 // some TLS records, which the listener sends together: a fragment of 64 KB and what is said around it
	earlyBuffer = 2 << 10  // before the login, where thousands may wait in the middle of something
)

var (
	// errStopping ends the wait for a command when the server is shutting down.
	errStopping = errors.New("server is shutting down")
	// errWithdrawn ends it when the login is good no longer.
	errWithdrawn = errors.New("login withdrawn")
	// errInterrupted ends a read that is no longer wanted.
	errInterrupted = errors.New("interrupted")
	// errEarly ends a session that has sent too much without a login.
	errEarly = errors.New("too many octets without a login")
)

// writers, and before the login earlyWriters, are lent to sessions that have something to say, so that one that waits holds
// no buffer.
var (
	writers      = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, writeBuffer) }}
	earlyWriters = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, earlyBuffer) }}
)

// stream is the socket as a session sees it: with deadlines, counters, and output that leaves when the session is about to
// wait for input. All but stop belongs to the session's goroutine.
type stream struct {
	net     net.Conn
	w       *bufio.Writer  // nil while there is nothing to say
	slack   serve.Patience // with reads in the middle of a command, and with writes
	limit   time.Time      // when reads must have ended, if not zero
	early   bool           // nobody has logged in
	most    int64          // what in may come to meanwhile
	parting bool           // BYE is being said
	shared  bool           // a reader is at work beside the owner, who flushes
	in, out int64          // octets
	broken  error          // of a write; there is no point in another
	inflate *inflater      // nil unless the session is compressed, see compress.go
	deflate *deflater

	mu       sync.Mutex
	patience time.Duration // how long the next read may take, 0 means for ever
	within   bool          // it is in the middle of a command: slack says how long
	between  bool          // no command is running, or none that is worth waiting for
	stopping error         // why the session is to end when no command runs; nil if it is not
	hurry    func()        // has the running command end when the session is to; nil if it need not
	hushed   bool          // reads are interrupted
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	if s.inflate != nil {
		return s.inflate.Read(p)
	}
	return s.receive(p)
}

// receive reads from the socket.
func (s *stream) receive(p []byte) (int, error) {
	alone := !s.shared
	if alone {
		if err := s.flush(); err != nil {
			return 0, err
		}
	}
	if s.early && s.in >= s.most {
		return 0, errEarly
	}
	start := time.Now()
	within, err := s.arm(start)
	if err != nil {
		return 0, err
	}
	n, err := s.net.Read(p)
	s.in += int64(n)
	switch {
	case within:
		s.slack.Spent(time.Since(start), n)
	case alone: // else that is the owner's to say
		s.slack.Rested(time.Since(start))
	}
	switch {
	case err == nil:
	case s.stopped():
		err = s.cause()
	case n == 0 && s.interrupted():
		err = errInterrupted
	}
	return n, err
}

// arm sets the deadline of the next read, and reports whether it is in the middle of a command.
func (s *stream) arm(now time.Time) (within bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var at time.Time
	switch {
	case s.within:
		at = now.Add(s.slack.Left())
	case s.patience > 0:
		at = now.Add(s.patience)
	}
	if !s.limit.IsZero() && (at.IsZero() || s.limit.Before(at)) {
		at = s.limit
	}
	switch {
	case s.between && s.stopping != nil:
		return false, s.stopping
	case s.hushed:
		return false, errInterrupted
	}
	return s.within, s.net.SetReadDeadline(at)
}

// interrupt ends the read that is under way, and those that begin before resume. It may be called from any goroutine.
func (s *stream) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hushed = true
	_ = s.net.SetReadDeadline(time.Unix(1, 0)) // a socket that cannot has gone, and its reader hears of that
}

// resume ends what interrupt began: the session's goroutine is the only reader again.
func (s *stream) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hushed, s.shared, s.within = false, false, true
}

func (s *stream) interrupted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hushed
}

// stop interrupts the wait for a command, now or when it next begins. It may be called from any goroutine; the first cause
// stands.
func (s *stream) stop(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping == nil {
		s.stopping = cause
	}
	if s.hurry != nil {
		s.hurry()
	}
	if s.between {
		_ = s.net.SetReadDeadline(time.Unix(1, 0)) // a socket that cannot is closed at the end of the grace period
	}
}

// onStop has the running command end by hurry when the session is to end, nil that it goes on.
func (s *stream) onStop(hurry func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hurry = hurry
	if hurry != nil && s.stopping != nil {
		hurry()
	}
}

// secure has the stream go on over another connection, which is over this one.
func (s *stream) secure(over net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.net = over
}

// abort ends the connection. It may be called from any goroutine.
func (s *stream) abort() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.net.Close() // its session sees the error
}

func (s *stream) stopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.between && s.stopping != nil
}

func (s *stream) cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// wait says whether the session waits for a command, or for nothing, and how long it may.
func (s *stream) wait(between bool, patience time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.between, s.patience, s.within = between, patience, false
}

// follow says that what is read next belongs to a command that has begun, and whether that is worth waiting for.
func (s *stream) follow(between bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.between, s.within = between, true
}

// Write implements io.Writer, for w.
func (s *stream) Write(p []byte) (int, error) {
	if s.deflate != nil && s.broken == nil {
		return s.deflate.Write(p)
	}
	return s.send(p)
}

// send writes to the socket, piece by piece.
func (s *stream) send(p []byte) (n int, err error) {
	for err == nil && n < len(p) {
		var sent int
		sent, err = s.sendPiece(p[n:min(len(p), n+s.slack.Piece())])
		n += sent
	}
	return n, err
}

// sendPiece writes to the socket. After an error it gives up at once: a peer is waited for one time only.
func (s *stream) sendPiece(p []byte) (n int, err error) {
	if s.broken != nil {
		return 0, s.broken
	}
	start := time.Now()
	defer func() {
		s.out += int64(n)
		s.broken = err
		s.slack.Spent(time.Since(start), n)
	}()
	if err := s.net.SetWriteDeadline(s.until(start)); err != nil {
		return 0, err
	}
	return s.net.Write(p)
}

// until is when a write that begins now must have ended. The last words have a time of their own: what they are about may be that
// there is none left.
func (s *stream) until(now time.Time) time.Time {
	at := now.Add(s.slack.Left())
	switch {
	case s.parting:
		return now.Add(farewellPeriod)
	case !s.limit.IsZero() && s.limit.Before(at):
		return s.limit
	}
	return at
}

// slow reports whether the client has used up the patience there was with it in the middle of something.
func (s *stream) slow(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) && s.slack.Left() <= 0
}

// acquire makes sure that there is a buffer to write to.
func (s *stream) acquire() *bufio.Writer {
	if s.w == nil {
		pool := &writers
		if s.early {
			pool = &earlyWriters
		}
		s.w = pool.Get().(*bufio.Writer)
		s.w.Reset(s)
	}
	return s.w
}

func (s *stream) flush() error {
	if s.w == nil {
		return nil
	}
	return s.w.Flush()
}

// release flushes and gives the buffer back.
func (s *stream) release() error {
	if s.w == nil {
		return nil
	}
	err := s.w.Flush()
	s.w.Reset(nil)
	if s.w.Size() == earlyBuffer {
		earlyWriters.Put(s.w)
	} else {
		writers.Put(s.w)
	}
	s.w = nil
	return err
}
