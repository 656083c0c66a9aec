package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// restFor is how long a server that has failed is asked after the others only.
const restFor = 30 * time.Second

// server is one of a directory's.
type server struct {
	url              string
	network, address string
	tls              *tls.Config
	begin            begin
	failed           atomic.Int64 // when it did last, in Unix time; 0: not the last time
}

// begin says when TLS begins.
type begin int

const (
	never begin = iota
	atOnce
	onRequest
)

func newServer(text string, opt *LDAPOptions) (*server, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	s := &server{url: text, network: "tcp", tls: &tls.Config{RootCAs: opt.Roots, ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}}
	switch {
	case u.Scheme == "ldapi":
		s.network, s.address = "unix", u.Path
	case u.Scheme == "ldaps":
		s.begin, s.address = atOnce, hostPort(u, ldap.DefaultLdapsPort)
	case u.Scheme == "ldap" && opt.StartTLS:
		s.begin, s.address = onRequest, hostPort(u, ldap.DefaultLdapPort)
	case u.Scheme == "ldap":
		s.address = hostPort(u, ldap.DefaultLdapPort)
	default:
		return nil, fmt.Errorf("%q is not a URL of LDAP", text)
	}
	return s, nil
}

func hostPort(u *url.URL, port string) string {
	if p := u.Port(); p != "" {
		port = p
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// dial connects. The connection ends with ctx, whatever is under way on it.
func (s *server) dial(ctx context.Context) (*ldap.Conn, error) {
	var d net.Dialer
	raw, err := d.DialContext(ctx, s.network, s.address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { raw.Close() })
	var below net.Conn = &bounded{Conn: raw, left: maxSaid}
	if s.begin == atOnce {
		secure := tls.Client(below, s.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("TLS: %w", errors.Join(err, raw.Close()))
		}
		below = secure
	}
	conn := ldap.NewConn(below, s.begin == atOnce)
	conn.Start()
	if s.begin == onRequest {
		if err := conn.StartTLS(s.tls); err != nil {
			return nil, fmt.Errorf("StartTLS: %w", errors.Join(err, conn.Close()))
		}
	}
	return conn, nil
}

func (s *server) answered(ok bool) {
	if ok {
		s.failed.Store(0)
		return
	}
	s.failed.Store(time.Now().Unix())
}

// inTurn returns servers in the order in which they are to be asked.
func inTurn(servers []*server) []*server {
	now := time.Now()
	rests := func(s *server) int {
		if now.Sub(time.Unix(s.failed.Load(), 0)) < restFor {
			return 1
		}
		return 0
	}
	order := slices.Clone(servers)
	slices.SortStableFunc(order, func(a, b *server) int { return rests(a) - rests(b) })
	return order
}

// share ends when one of so many who are left has had its share of the time there is.
func share(ctx context.Context, left int) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(end)/time.Duration(left))
}
