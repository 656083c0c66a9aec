package pop3

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"postern/pkg/auth"
	"postern/pkg/store"
)

// Server serves POP3 on the listeners given to Serve. TLS is the listener's business; this package offers no STLS. The
// exported fields are set before the first Serve and left alone afterwards.
type Server struct {
	Accounts store.Store
	Auth     auth.Authenticator
	Hostname string      // for the greeting
	Log      *zap.Logger // nil means none
	Metrics  *Metrics    // nil means none

	LoginTimeout time.Duration // how long a client may take to log in; 0 means 2 minutes
	IdleTimeout  time.Duration // silence after login that ends a session; 0 means 10 minutes, the least RFC 1939 §3 allows
	WriteTimeout time.Duration // how long a client may take to accept 16 KiB; 0 means 1 minute
	StoreTimeout time.Duration // how long one call of the store may take; 0 means 30 seconds

	mu        sync.Mutex
	closing   bool
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	sessions  sync.WaitGroup
}

// Serve accepts connections until the listener is closed or Shutdown is called, which makes it return nil. It may be
// called for several listeners at once.
func (s *Server) Serve(l net.Listener) error {
	if !s.addListener(l) {
		return l.Close()
	}
	defer s.removeListener(l)
	for pause := time.Duration(0); ; {
		nc, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			s.start(nc)
		case s.stopping():
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default: // out of file descriptors, or the peer has gone already
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.logger().Warn("cannot accept", zap.Error(err), zap.Duration("retry", pause))
			time.Sleep(pause)
		}
	}
}

// Shutdown stops accepting, ends the sessions that wait for a command and waits for the others to finish theirs. Nothing
// is removed that QUIT has not asked for. When ctx ends, the rest is cut off and ctx's error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	for l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		c.stop()
	}
	s.mu.Unlock()

	done := make(chan struct{})
	go func() {
		s.sessions.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for c := range s.conns {
		c.abort()
	}
	s.mu.Unlock()
	<-done
	return ctx.Err()
}

func (s *Server) start(nc net.Conn) {
	ctx, cancel := context.WithCancel(context.Background())
	c := newConn(s, nc, cancel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		cancel()
		nc.Close()
		return
	}
	if s.conns == nil {
		s.conns = make(map[*conn]struct{})
	}
	s.conns[c] = struct{}{}
	s.sessions.Go(func() {
		defer s.forget(c)
		c.serve(ctx)
	})
}

func (s *Server) forget(c *conn) {
	c.abort()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	if s.listeners == nil {
		s.listeners = make(map[net.Listener]struct{})
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) removeListener(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Server) stopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

func (s *Server) logger() *zap.Logger {
	if s.Log == nil {
		return zap.NewNop()
	}
	return s.Log
}

func (s *Server) loginTimeout() time.Duration { return or(s.LoginTimeout, 2*time.Minute) }
func (s *Server) idleTimeout() time.Duration  { return or(s.IdleTimeout, 10*time.Minute) }
func (s *Server) writeTimeout() time.Duration { return or(s.WriteTimeout, time.Minute) }
func (s *Server) storeTimeout() time.Duration { return or(s.StoreTimeout, 30*time.Second) }

func or(d, byDefault time.Duration) time.Duration {
	if d == 0 {
		return byDefault
	}
	return d
}
