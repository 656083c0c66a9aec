package pop3

import (
	"cmp"
	"context"
	"net"
	"time"

	"go.uber.org/zap"

	"postern/pkg/auth"
	"postern/pkg/serve"
	"postern/pkg/store"
)

// Server serves POP3 on the listeners given to Serve. TLS is the listener's business, and whether STLS is offered. The
// exported fields are set before the first Serve and left alone afterwards.
type Server struct {
	Accounts store.Store
	Auth     auth.Authenticator
	Hostname string      // for the greeting
	Log      *zap.Logger // nil means none
	Metrics  *Metrics    // nil means none

	LoginTimeout time.Duration // how long a client may take to log in; 0 means 2 minutes
	IdleTimeout  time.Duration // silence after login that ends a session; 0 means 10 minutes, the least RFC 1939 §3 allows
	StoreTimeout time.Duration // how long one call of the store may take; 0 means 30 seconds
	Limits       serve.Limits  // of one client

	sessions serve.Sessions
}

// Serve accepts connections until the listener is closed or Shutdown is called, which makes it return nil. It may be
// called for several listeners at once.
func (s *Server) Serve(l net.Listener) error {
	return s.sessions.Serve(l, s.logger(), func(nc net.Conn) serve.Session { return newConn(s, nc) })
}

// Shutdown stops accepting, ends the sessions that wait for a command and waits for the others to finish theirs. Nothing
// is removed that QUIT has not asked for. When ctx ends, the rest is cut off and ctx's error returned.
func (s *Server) Shutdown(ctx context.Context) error { return s.sessions.Shutdown(ctx) }

func (s *Server) logger() *zap.Logger { return cmp.Or(s.Log, zap.NewNop()) }

func (s *Server) loginTimeout() time.Duration { return cmp.Or(s.LoginTimeout, 2*time.Minute) }
func (s *Server) idleTimeout() time.Duration  { return cmp.Or(s.IdleTimeout, 10*time.Minute) }
func (s *Server) storeTimeout() time.Duration { return cmp.Or(s.StoreTimeout, 30*time.Second) }
