package pop3

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"postern/pkg/auth"
	"postern/pkg/store"
)

// TestShutdown: sessions that wait are closed, one in the middle of a reply finishes it, and nothing is removed.
func TestShutdown(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	w := newWorld(t, func(s *Server) { s.Log = zap.New(core) })
	body := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 200_000)
	w.deliver("S: a\r\n\r\n" + body)
	idle, busy := w.dial(), w.login()
	busy.say("DELE 1")
	busy.hear("+OK")
	busy.say("RSET")
	busy.hear("+OK")
	busy.say("RETR 1")
	busy.hear("+OK")
	done := make(chan error, 1)
	go func() { done <- w.server.Shutdown(t.Context()) }()
	idle.hearEnd()
	if n := len(busy.hearLines()); n != 200_002 {
		t.Errorf("heard %d lines", n)
	}
	busy.hearEnd()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", w.addr); err == nil {
		t.Error("still listening")
	}
	if got := w.uids(); len(got) != 1 {
		t.Errorf("INBOX holds %v", got)
	}
	for _, end := range logs.FilterMessage("session ended").All() {
		if got := end.ContextMap()["reason"]; got != "server is shutting down" {
			t.Errorf("a session ended, it says, for %q", got)
		}
	}
}

// undecided never decides before it must.
type undecided struct {
	auth.Authenticator
	asked chan struct{}
}

func (u *undecided) Login(ctx context.Context, _ auth.Peer, _, _ string) (auth.Identity, error) {
	u.asked <- struct{}{}
	<-ctx.Done()
	return auth.Identity{}, fmt.Errorf("%w: %w", auth.ErrDenied, ctx.Err())
}

// TestShutdownEarly: a refusal that is delayed does not keep the server from stopping, nor does a client that owes an answer.
func TestShutdownEarly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := &undecided{w.server.Auth, make(chan struct{})}
	w.server.Auth = u
	refused, silent := w.dial(), w.dial()
	refused.say("USER x")
	refused.hear("+OK")
	refused.say("PASS y")
	silent.say("AUTH PLAIN")
	silent.hear("+ ")
	<-u.asked
	if err := w.server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	refused.hear("-ERR [AUTH]")
	refused.hearEnd()
}

// TestShutdownDeadline: a client that does not read is cut off when the time is up.
func TestShutdownDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("S: a\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 250_000))
	c := w.login()
	c.say("RETR 1")
	c.hear("+OK")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestServeAfterShutdown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.server.Serve(l); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// peerAuth remembers who came.
type peerAuth struct {
	doorman
	peers chan auth.Peer
}

func (a *peerAuth) Login(context.Context, auth.Peer, string, string) (auth.Identity, error) {
	return auth.Identity{}, auth.ErrDenied
}

func (a *peerAuth) Mechanisms(p auth.Peer) []string {
	select {
	case a.peers <- p:
	default:
	}
	return []string{"PLAIN"}
}

func roots(web *httptest.Server) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(web.Certificate())
	return &tls.Config{RootCAs: pool}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	web := httptest.NewTLSServer(nil)
	defer web.Close()
	guard := &peerAuth{peers: make(chan auth.Peer, 1)}
	s := &Server{Auth: guard, Hostname: "mail.example.org"}
	l, err := tls.Listen("tcp", "127.0.0.1:0", web.TLS)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, s, l)
	client, err := tls.Dial("tcp", l.Addr().String(), roots(web))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	in := bufio.NewReader(client)
	if _, err := io.WriteString(client, "USER x\r\nQUIT\r\n"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if line, err := in.ReadString('\n'); err != nil || line[0] != '+' {
			t.Fatalf("%q, %v", line, err)
		}
	}
	if p := <-guard.peers; !p.TLS || p.Addr.String() != "127.0.0.1" || p.Protocol != "pop3" {
		t.Errorf("peer is %+v", p)
	}
}

// TestConcurrent: sessions of many accounts, and of one, while mail comes and IMAP expunges. One session at a time has the
// maildrop, and every RETR is a whole message.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	users := w.server.Auth.(*doorman).users
	for i := range 8 {
		address := fmt.Sprintf("user%d@example.org", i)
		users[address] = w.store.AddAccount(address, "", 0)
	}
	w.deliver("S: a\r\n\r\nbody\r\n", "S: a\r\n\r\nbody\r\n")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 10 {
				c := w.dial()
				c.say("USER " + []string{alice, fmt.Sprintf("user%d@example.org", i)}[i%2])
				c.say("PASS " + secret)
				c.hear("+OK")
				if line := c.hear(""); strings.HasPrefix(line, "-ERR [IN-USE]") {
					c.Close()
					continue
				}
				c.say("STAT")
				var count, octets int
				if _, err := fmt.Sscanf(c.hear("+OK"), "+OK %d %d", &count, &octets); err != nil {
					t.Error(err)
				}
				for n := range count {
					c.say(fmt.Sprintf("RETR %d", n+1))
					c.hear("+OK 14 octets")
					if got := strings.Join(c.hearLines(), ""); got != "S: a\r\n\r\nbody\r\n" {
						t.Errorf("got %q", got)
					}
				}
				c.say("DELE 1")
				c.hear("")
				c.say("QUIT")
				c.hear("+OK")
				c.Close()
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			w.deliver("S: a\r\n\r\nbody\r\n")
			if uids := w.uids(); len(uids) > 3 {
				w.expunge(uids[0])
			}
		}
	})
	wg.Wait()
}

var _ store.Store = (*faultyStore)(nil)
