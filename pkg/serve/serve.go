// Package serve accepts connections for a server, keeps track of their sessions, and drains them when the server stops;
// and says how much one client may ask and how slow it may be. It knows no protocol.
package serve

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Session is the life of one connection, as a protocol leads it.
type Session interface {
	// Serve talks to the client until one of the two has had enough. It runs in a goroutine of its own; ctx ends with
	// Abort.
	Serve(ctx context.Context)
	// Stop asks for an end as soon as no command runs, from another goroutine. It does not wait.
	Stop()
	// Abort closes the connection, from another goroutine, too. It is called at least once, after Serve has returned.
	Abort()
}

// Sessions are those of one server. The zero value is ready; it is safe for concurrent use.
type Sessions struct {
	mu        sync.Mutex
	stopping  bool
	listeners map[net.Listener]struct{}
	live      map[Session]context.CancelFunc // each ends its session's context
	running   sync.WaitGroup                 // of live
}

const (
	firstPause = 5 * time.Millisecond
	maxPause   = time.Second
)

// Serve accepts connections from l and gives each the Session that begin makes of it, until Shutdown, and then returns
// nil; an error of the listener's ends it before. It may be called for several listeners at once. A passing failure (no
// more file descriptors, say) is logged and waited out.
func (s *Sessions) Serve(l net.Listener, log *zap.Logger, begin func(net.Conn) Session) error {
	if !s.add(l) {
		return l.Close()
	}
	defer s.remove(l)
	for pause := firstPause; ; {
		nc, err := l.Accept()
		switch {
		case err == nil:
			pause = firstPause
			s.start(begin(nc))
		case s.isStopping():
			return nil
		case !passes(err):
			return err
		default:
			log.Warn("cannot accept", zap.Error(err), zap.Duration("retry", pause))
			time.Sleep(pause)
			pause = min(2*pause, maxPause)
		}
	}
}

// passes reports whether Accept may succeed if it is tried again.
func passes(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

func (s *Sessions) start(session Session) {
	ctx, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		cancel()
		session.Abort()
		return
	}
	if s.live == nil {
		s.live = make(map[Session]context.CancelFunc)
	}
	s.live[session] = cancel
	s.running.Go(func() {
		defer s.forget(session)
		session.Serve(ctx)
	})
}

func (s *Sessions) forget(session Session) {
	session.Abort()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[session]()
	delete(s.live, session)
}

// Shutdown stops accepting, asks every session to end and waits until they have. When ctx ends first, what is left is
// cut off and ctx's error returned.
func (s *Sessions) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	for l := range s.listeners {
		_ = l.Close() // Accept tells
	}
	for session := range s.live {
		session.Stop()
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

func (s *Sessions) abort() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for session, cancel := range s.live {
		cancel()
		session.Abort()
	}
}

// add reports false when the server is stopping.
func (s *Sessions) add(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	if s.listeners == nil {
		s.listeners = make(map[net.Listener]struct{})
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Sessions) remove(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Sessions) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}
