package imap

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"postern/pkg/auth"
	"postern/pkg/message"
	"postern/pkg/serve"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
	"go.uber.org/zap"
)

// Defaults of a Server's options.
const (
	DefaultMaxMessage                   = 64 << 20
	DefaultMaxMetadata                  = 64 << 10
	DefaultIdleKeepalive                = 2 * time.Minute
	DefaultLoginTimeout                 = 2 * time.Minute
	DefaultIdleTimeout                  = 31 * time.Minute
	DefaultCommandTimeout               = 2 * time.Minute
	DefaultProgressInterval             = 10 * time.Second
	DefaultSessionsPerAccount           = 50
	DefaultSessionsPerAccountAndAddress = 100
	DefaultMaxCompressed                = 4096
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

	MaxMetadata int      // octets of the value of an annotation (RFC 5464); DefaultMaxMetadata; at most store.MaxAnnotation
	Admin       string   // URI of whom users may turn to, as the annotation /shared/admin; empty means that there is none
	Admins      []string // addresses of the accounts that may set quotas

	MaxMessage int64                // octets of a message in APPEND; DefaultMaxMessage
	Spool      message.SpoolOptions // where APPEND keeps a message until it is stored; Limit is set by MaxMessage

	// IdleKeepalive is how long an idling client goes without hearing from us; DefaultIdleKeepalive. Mail comes at once
	// whatever its value; it keeps middle boxes from forgetting the connection and tells us of peers that are gone.
	IdleKeepalive  time.Duration
	LoginTimeout   time.Duration // from the first octet to a login; DefaultLoginTimeout
	IdleTimeout    time.Duration // between commands; DefaultIdleTimeout; at least 30 minutes by RFC 3501 §5.4
	CommandTimeout time.Duration // for the store to answer; DefaultCommandTimeout
	Limits         serve.Limits  // of one client

	// ProgressInterval is how often the client of a command that takes long hears that it is at work (RFC 9585);
	// DefaultProgressInterval.
	ProgressInterval time.Duration

	// MaxSessionsPerAccount bounds the sessions of one account, DefaultSessionsPerAccount; whoever raises it may still bound
	// those that come from one address, DefaultSessionsPerAccountAndAddress.
	MaxSessionsPerAccount           int
	MaxSessionsPerAccountAndAddress int

	// Disable names capabilities that are not offered; see CheckDisable. What belongs to them is unknown then.
	Disable []string

	// NotWithAnyone keeps users from giving all accounts any right to a mailbox but store.RightPost.
	NotWithAnyone bool
	// UIDOnly offers UIDONLY (RFC 9586), which some clients enable and then do not keep to.
	UIDOnly bool
	// MessageLimit and SaveLimit are how many messages one command handles, and stores, at most (RFC 9738); 0 means any number.
	MessageLimit, SaveLimit int

	// MaxCompressed bounds the sessions of the process that are compressed (RFC 4978), DefaultMaxCompressed. Each takes up to
	// 60 KiB more than another: inflateInput, inflateWindow, deflateHistory and the codes of a block.
	MaxCompressed int

	// Answers is how many octets of memory hold envelopes, structures and header fields that clients have asked for, for those
	// who ask again; DefaultAnswers; negative: none.
	Answers int64

	running    serve.Sessions
	masked     sync.Once
	disabled   mask // Disable, once masked is done
	accepted   atomic.Int64
	compressed atomic.Int64 // sessions
	remember   sync.Once
	kept       *answers // Answers, once remember is done

	mu       sync.Mutex
	sessions map[sessionKey]int // guarded by mu
}

// sessionKey counts sessions: of an account from an address, or, with the zero address, of an account.
type sessionKey struct {
	account store.AccountID
	addr    netip.Addr
}

// Serve accepts connections from l until Shutdown, and then returns nil. It may be called for several listeners.
func (s *Server) Serve(l net.Listener) error {
	return s.running.Serve(l, s.log(), func(nc net.Conn) serve.Session { return newConn(s, nc) })
}

// Shutdown stops accepting, says BYE to sessions that wait, and to the others when the command they run has ended. When ctx
// ends first it closes what is left and returns its error.
func (s *Server) Shutdown(ctx context.Context) error { return s.running.Shutdown(ctx) }

// keptAnswers is what FETCH has written, for all sessions.
func (s *Server) keptAnswers() *answers {
	s.remember.Do(func() { s.kept = newAnswers(cmp.Or(s.Answers, DefaultAnswers)) })
	return s.kept
}

// admit counts a session, or reports that there are too many.
func (s *Server) admit(account store.AccountID, addr netip.Addr) bool {
	one, all := sessionKey{account, addr}, sessionKey{account: account}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[all] >= cmp.Or(s.MaxSessionsPerAccount, DefaultSessionsPerAccount) ||
		s.sessions[one] >= cmp.Or(s.MaxSessionsPerAccountAndAddress, DefaultSessionsPerAccountAndAddress) {
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

// mask is what Disable masks.
func (s *Server) mask() mask {
	s.masked.Do(func() {
		s.disabled = newMask(s.Disable)
		for k, on := range map[imap.Cap]bool{
			imap.CapUIDOnly: s.UIDOnly, capMessageLimit: s.MessageLimit > 0, capSaveLimit: s.SaveLimit > 0,
		} {
			if !on {
				s.disabled.add(k)
			}
		}
	})
	return s.disabled
}

func (s *Server) maxMessage() int64 { return cmp.Or(s.MaxMessage, DefaultMaxMessage) }

// or returns v, or what is to be had instead of nothing.
