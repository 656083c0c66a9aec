package certs

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// ChallengeServer answers CAs that look whether a name is ours: HTTP-01 in the clear, TLS-ALPN-01 on a listener with
// Manager.ChallengeTLS. Anybody else gets 404.
type ChallengeServer struct{ http http.Server }

// ChallengeServer returns a server for one kind of listener, or nil unless the mode is FromCA.
func (m *Manager) ChallengeServer() *ChallengeServer {
	if m.ordered == nil {
		return nil
	}
	return &ChallengeServer{http.Server{
		Handler:           m.ordered.challenges(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       10 * time.Second,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          zap.NewStdLog(zap.NewNop()), // scanners come by all day
	}}
}

// Serve answers until Shutdown; then it returns nil.
func (s *ChallengeServer) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown stops accepting and waits for running requests, at most until ctx ends.
func (s *ChallengeServer) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }
