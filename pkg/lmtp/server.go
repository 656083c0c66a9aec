package lmtp

import (
	"cmp"
	"context"
	"net"
	"time"

	"go.uber.org/zap"

	"postern/pkg/message"
	"postern/pkg/serve"
	"postern/pkg/store"
)

// Detail says what becomes of the "detail" in local+detail@domain.
type Detail string

// The values of Server.Detail. "/" in a detail goes down the tree of mailboxes. A detail that cannot be the name of a
// mailbox leads to INBOX.
const (
	DetailExisting Detail = "existing" // to the mailbox of that name if there is one, else to INBOX; also ""
	DetailCreate   Detail = "create"   // the same, but a missing mailbox is made
	DetailOff      Detail = "off"      // to INBOX
)

// Server receives mail on the listeners given to Serve, TCP or Unix. Whoever can connect can deliver to any account, so
// the listener must admit none but the mail server. The exported fields are set before the first Serve and left alone
// afterwards.
type Server struct {
	Accounts store.Store
	Hostname string      // for the greeting, trace headers, and recipients without a domain
	Log      *zap.Logger // nil means none
	Metrics  *Metrics    // nil means none

	MaxSize       int64 // octets of a message as received; 0 means 100 MiB
	MaxRecipients int   // of one transaction; 0 means 1000
	QuotaReject   bool  // over quota is 552 5.2.2 and bounces at once, not 452 4.2.2, which the sender retries
	Detail        Detail
	Spool         message.SpoolOptions // where a message waits for its end; Limit is MaxSize

	ReadTimeout    time.Duration // silence that ends a session; 0 means 5 minutes (RFC 5321 §4.5.3.2.7)
	DeliverTimeout time.Duration // how long the store may take for one recipient; 0 means 1 minute
	Limits         serve.Limits  // of one client: Bad, Stall and MinRate

	sessions serve.Sessions
}

// Serve accepts connections until the listener is closed or Shutdown is called, which makes it return nil. It may be
// called for several listeners at once.
func (s *Server) Serve(l net.Listener) error {
	return s.sessions.Serve(l, s.logger(), func(nc net.Conn) serve.Session { return newConn(s, nc) })
}

// Shutdown stops accepting, ends the sessions that wait for a command with 421 and lets the others finish the message
// they are receiving or delivering. When ctx ends, the rest is cut off and ctx's error returned: their clients will
// try again, and what had been committed is recognised then.
func (s *Server) Shutdown(ctx context.Context) error { return s.sessions.Shutdown(ctx) }

func (s *Server) logger() *zap.Logger { return cmp.Or(s.Log, zap.NewNop()) }

func (s *Server) maxSize() int64                { return cmp.Or(s.MaxSize, 100<<20) }
func (s *Server) maxRecipients() int            { return cmp.Or(s.MaxRecipients, 1000) }
func (s *Server) readTimeout() time.Duration    { return cmp.Or(s.ReadTimeout, 5*time.Minute) }
func (s *Server) deliverTimeout() time.Duration { return cmp.Or(s.DeliverTimeout, time.Minute) }
