package imap

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"postern/pkg/auth"
	"postern/pkg/message"
	"postern/pkg/store"

	"go.uber.org/zap"
)

// Defaults of a Server's options.
const (
	DefaultMaxMessage                   = 64 << 20
	DefaultIdleKeepalive                = 2 * time.Minute
	DefaultLoginTimeout                 = 2 * time.Minute
	DefaultIdleTimeout                  = 31 * time.Minute
	DefaultStallTimeout                 = 5 * time.Minute
	DefaultCommandTimeout               = 2 * time.Minute
	DefaultSessionsPerAccount           = 50
	DefaultSessionsPerAccountAndAddress = 100
)

// Server speaks IMAP on the connections it is given. Its fields are set before the first Serve and left alone from then on;
// zero means the default, where one is named.
type Server struct {
	Accounts store.Store        // required
	Auth     auth.Authenticator // required
	Hostname string             // as the greeting says it
	Version  string             // as ID says it (RFC 2971); empty means that it does not
	Log      *zap.Logger        // nil means none
	Metrics  *Metrics           // nil means none

	MaxMessage int64                // octets of a message in APPEND; DefaultMaxMessage
	Spool      message.SpoolOptions // where APPEND keeps a message until it is stored; Limit is set by MaxMessage

	// IdleKeepalive is how long an idling client goes without hearing from us; DefaultIdleKeepalive. Mail comes at once
	// whatever its value; it keeps middle boxes from forgetting the connection and tells us of peers that are gone.
	IdleKeepalive  time.Duration
	LoginTimeout   time.Duration // from the first octet to a login; DefaultLoginTimeout
	IdleTimeout    time.Duration // between commands; DefaultIdleTimeout; at least 30 minutes by RFC 3501 §5.4
	StallTimeout   time.Duration // for the rest of a command to come, and for a piece of output to be taken; DefaultStallTimeout
	CommandTimeout time.Duration // for the store to answer; DefaultCommandTimeout

	// MaxSessionsPerAccount bounds the sessions of one account, DefaultSessionsPerAccount; whoever raises it may still bound
	// those that come from one address, DefaultSessionsPerAccountAndAddress.
	MaxSessionsPerAccount           int
	MaxSessionsPerAccountAndAddress int

	mu        sync.Mutex
	stopping  bool
	listeners map[net.Listener]struct{}
	conns     map[*conn]context.CancelFunc
	sessions  map[sessionKey]int
	running   sync.WaitGroup // of conns
	accepted  atomic.Int64
}

// sessionKey counts sessions: of an account from an address, or, with the zero address, of an account.
type sessionKey struct {
	account store.AccountID
	addr    netip.Addr
}

// Serve accepts connections from l until Shutdown, and then returns nil. It may be called for several listeners.
func (s *Server) Serve(l net.Listener) error {
	if !s.listen(l) {
		return l.Close()
	}
	defer s.unlisten(l)
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			s.start(nc)
		case s.isStopping():
			return nil
		case !isTemporary(err):
			return err
		default:
			s.log().Warn("accept", zap.Error(err))
			time.Sleep(50 * time.Millisecond) // out of file descriptors, most likely
		}
	}
}

// isTemporary reports whether Accept may succeed if it is tried again.
func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

func (s *Server) listen(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listeners == nil {
		s.listeners = make(map[net.Listener]struct{})
		s.conns = make(map[*conn]context.CancelFunc)
	}
	if s.stopping {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) unlisten(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Server) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// start gives a connection its session.
func (s *Server) start(nc net.Conn) {
	ctx, cancel := context.WithCancel(context.Background())
	c := newConn(s, nc)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		cancel()
		_ = nc.Close() // it was never served
		return
	}
	s.conns[c] = cancel
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		defer s.forget(c)
		defer cancel()
		c.serve(ctx)
	}()
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// Shutdown stops accepting, says BYE to sessions that wait, and to the others when the command they run has ended. When ctx
// ends first it closes what is left and returns its error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	for l := range s.listeners {
		_ = l.Close() // Accept tells
	}
	for c := range s.conns {
		c.stream.stop()
	}
	s.mu.Unlock()

	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.abort()
		<-done
		return ctx.Err()
	}
}

// abort ends what is left without a word.
func (s *Server) abort() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, cancel := range s.conns {
		cancel()
		_ = c.stream.net.Close() // its session sees the error
	}
}

// admit counts a session, or reports that there are too many.
func (s *Server) admit(account store.AccountID, addr netip.Addr) bool {
	one, all := sessionKey{account, addr}, sessionKey{account: account}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[all] >= or(s.MaxSessionsPerAccount, DefaultSessionsPerAccount) ||
		s.sessions[one] >= or(s.MaxSessionsPerAccountAndAddress, DefaultSessionsPerAccountAndAddress) {
		return false
	}
	if s.sessions == nil {
		s.sessions = make(map[sessionKey]int)
	}
	s.sessions[one]++
	if one != all {
		s.sessions[all]++
	}
	return true
}

// dismiss takes back what admit counted.
func (s *Server) dismiss(account store.AccountID, addr netip.Addr) {
	one, all := sessionKey{account, addr}, sessionKey{account: account}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(one)
	if one != all {
		s.drop(all)
	}
}

func (s *Server) drop(k sessionKey) {
	if s.sessions[k]--; s.sessions[k] <= 0 {
		delete(s.sessions, k)
	}
}

// nextID names a connection: when it came, and which it was.
func (s *Server) nextID() string {
	return strconv.FormatInt(time.Now().Unix(), 36) + "-" + strconv.FormatInt(s.accepted.Add(1), 36)
}

func (s *Server) log() *zap.Logger {
	if s.Log == nil {
		return zap.NewNop()
	}
	return s.Log
}

func (s *Server) maxMessage() int64 { return or(s.MaxMessage, DefaultMaxMessage) }

// or returns v, or what is to be had instead of nothing.
func or[T comparable](v, instead T) T {
	var zero T
	if v == zero {
		return instead
	}
	return v
}
