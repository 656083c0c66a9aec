package postfix

import (
	"cmp"
	"context"
	"net"
	"time"

	"go.uber.org/zap"

	"postern/pkg/serve"
	"postern/pkg/store"
)

// Server answers on the listeners given to Serve. The exported fields are set before the first Serve and left alone
// afterwards.
type Server struct {
	Accounts    store.Store
	QuotaReject bool        // over quota is 552 5.2.2 and refused for good, not 452 4.2.2, which the sender retries
	Log         *zap.Logger // nil means none
	Metrics     *Metrics    // nil means none

	IdleTimeout   time.Duration // silence that ends a connection; 0 means 5 minutes. Postfix comes again by itself
	LookupTimeout time.Duration // how long the store may take; 0 means 10 seconds, Postfix waits for 100
	WriteTimeout  time.Duration // how long Postfix may take to accept a reply; 0 means 10 seconds

	sessions serve.Sessions
}

// Serve accepts connections until the listener is closed or Shutdown is called, which makes it return nil. It may be
// called for several listeners at once.
func (s *Server) Serve(l net.Listener) error {
	return s.sessions.Serve(l, s.logger(), func(nc net.Conn) serve.Session { return newConn(s, nc) })
}

// Shutdown stops accepting, closes the connections that wait for a request, and lets the others have their answer. When
// ctx ends, the rest is cut off and ctx's error returned.
func (s *Server) Shutdown(ctx context.Context) error { return s.sessions.Shutdown(ctx) }

func (s *Server) logger() *zap.Logger { return cmp.Or(s.Log, zap.NewNop()) }

func (s *Server) idleTimeout() time.Duration   { return cmp.Or(s.IdleTimeout, 5*time.Minute) }
func (s *Server) lookupTimeout() time.Duration { return cmp.Or(s.LookupTimeout, 10*time.Second) }
func (s *Server) writeTimeout() time.Duration  { return cmp.Or(s.WriteTimeout, 10*time.Second) }
