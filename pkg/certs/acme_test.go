package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"postern/pkg/certs/acmetest"
	"postern/pkg/listen/freeport"
)

const patience = 30 * time.Second

func of(c *acmetest.CA) CA {
	return CA{Directory: c.Directory, Roots: c.Roots, KeyID: c.KeyID, HMAC: c.HMAC}
}

// await waits for a condition that something in another process brings about.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// node is a process that serves with certificates from a CA. CertMagic keeps the challenges of all that run in one
// program by name, so each test has names of its own.
type node struct {
	*Manager
	logs *observer.ObservedLogs
	addr string
}

// startNode runs one until the test ends.
func startNode(t *testing.T, a ACME) *node {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	m, err := New(t.Context(), Options{Mode: FromCA, Dir: t.TempDir(), Hostname: a.Names[0], ACME: a, Log: zap.New(core), Poll: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{Manager: m, logs: logs}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	for addr, config := range map[string]*tls.Config{a.HTTP: nil, a.TLS: m.ChallengeTLS()} {
		n.answer(t, addr, config)
	}
	n.addr = n.serve(t)
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			for _, e := range logs.All() {
				t.Log(e.Level, e.Message, e.ContextMap())
			}
		}
	})
	return n
}

// answer runs the server that a CA looks at, unless another node does so at that address.
func (n *node) answer(t *testing.T, addr string, config *tls.Config) {
	t.Helper()
	if addr == "" {
		return
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	s := n.ChallengeServer()
	go s.Serve(l)                                          //nolint:errcheck // the CA notices
	t.Cleanup(func() { s.Shutdown(context.Background()) }) //nolint:errcheck // as above
}

// serve lets clients shake hands, and keeps them.
func (n *node) serve(t *testing.T) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", n.TLSConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c) // an echo, until the client goes
			}()
		}
	}()
	return l.Addr().String()
}

// shown is the certificate a client sees who asks for a name.
func (n *node) shown(name string) (*x509.Certificate, error) {
	c, err := n.dial(name)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0], nil
}

func (n *node) dial(name string) (*tls.Conn, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: &tls.Config{ServerName: name, InsecureSkipVerify: true}}
	c, err := d.Dial("tcp", n.addr)
	if err != nil {
		return nil, err
	}
	return c.(*tls.Conn), nil
}

// has reports whether clients that ask for a name see a certificate of the CA for it.
func (n *node) has(name string) bool {
	cert, err := n.shown(name)
	return err == nil && strings.HasPrefix(cert.Issuer.CommonName, "Pebble") && cert.VerifyHostname(name) == nil
}

func selfMade(c *x509.Certificate) bool { return c.Issuer.String() == c.Subject.String() }

// TestOrder proves names in each of the ways there are.
func TestOrder(t *testing.T) {
	t.Parallel()
	authority := acmetest.Start(t, acmetest.Options{Valid: time.Hour, Binding: true})
	for name, set := range map[string]func(*ACME){
		"http": func(a *ACME) { a.HTTP = authority.HTTP },
		"tls":  func(a *ACME) { a.TLS = authority.TLS },
		"dns": func(a *ACME) {
			a.DNS = &RFC2136{Server: authority.Zone.Addr, KeyName: acmetest.KeyName, Secret: acmetest.KeyText}
			a.Resolvers = []string{authority.Zone.Addr}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := name + ".company.test"
			a := ACME{
				CAs: []CA{of(authority)}, Email: "postmaster@company.test", Names: []string{host},
				Storage: new(storage),
			}
			set(&a)
			n := startNode(t, a)
			await(t, "the certificate", func() bool { return n.has(host) })
			if left := time.Until(n.NotAfter()); left < 50*time.Minute || left > time.Hour {
				t.Errorf("it is good for %v", left)
			}
			if err := n.ExpiresSoon(); err != nil {
				t.Error(err)
			}
			if n.logs.FilterLevelExact(zap.ErrorLevel).Len() > 0 {
				t.Error("there were errors")
			}
			if cert, err := n.shown(""); err != nil || cert.VerifyHostname(host) != nil {
				t.Errorf("who asks for no name sees %v, %v", cert, err)
			}
		})
	}
}

// TestFailingCA: without its CA a server starts and serves, says so, and asks the next CA.
func TestFailingCA(t *testing.T) {
	t.Parallel()
	authority := acmetest.Start(t, acmetest.Options{Valid: time.Hour})
	nobody := CA{Directory: "https://" + freeport.For(t) + "/dir"}
	a := ACME{
		CAs: []CA{nobody}, Names: []string{"mail.failing.test"}, HTTP: authority.HTTP,
		Storage: new(storage),
	}
	n := startNode(t, a)
	cert, err := n.shown("mail.failing.test")
	if err != nil || !selfMade(cert) {
		t.Fatalf("%v, %v, want one that is self-signed", cert, err)
	}
	if n.ExpiresSoon() == nil || !n.NotAfter().IsZero() {
		t.Error("nobody is told that there is no certificate")
	}
	await(t, "a line in the log", func() bool { return n.logs.FilterLevelExact(zap.ErrorLevel).Len() > 0 })
	a.CAs, a.Storage = []CA{nobody, of(authority)}, new(storage)
	other := startNode(t, a)
	await(t, "the second CA's certificate", func() bool { return other.has("mail.failing.test") })
	authority.Stop()
	a.HTTP = ""
	if next := startNode(t, a); !next.has("mail.failing.test") {
		t.Error("who comes first after a restart is not shown the certificate there is")
	}
}

// TestOnDemand: names in the list get a certificate when they are first asked for, others do not.
func TestOnDemand(t *testing.T) {
	t.Parallel()
	authority := acmetest.Start(t, acmetest.Options{Valid: time.Hour})
	var asked atomic.Int64
	n := startNode(t, ACME{
		CAs: []CA{of(authority)}, Names: []string{"mail.demand.test"}, HTTP: authority.HTTP,
		Storage: new(storage),
		Allowed: func(_ context.Context, name string) (bool, error) {
			asked.Add(1)
			if name == "broken.customer.test" {
				return false, errors.New("the database is away")
			}
			return name == "imap.customer.test" || name == "pop.customer.test", nil
		},
	})
	await(t, "the own name's certificate", func() bool { return n.has("mail.demand.test") })
	for _, name := range []string{"imap.customer.test", "pop.customer.test"} {
		if !n.has(name) {
			t.Errorf("no certificate for %s", name)
		}
	}
	for _, name := range []string{"stranger.test", "broken.customer.test"} {
		for range 3 {
			if cert, err := n.shown(name); err != nil || cert.VerifyHostname("mail.demand.test") != nil || selfMade(cert) {
				t.Errorf("%s is shown %v, %v", name, cert, err)
			}
		}
	}
	if got := asked.Load(); got > 12 {
		t.Errorf("the list was asked %d times", got)
	}
}

// TestTwoNodes: two processes on one storage order once, and a renewal by one is served by both; nobody who is connected
// notices.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	const life = 20 * time.Second
	authority := acmetest.Start(t, acmetest.Options{Valid: life})
	counting := &counted{Storage: new(storage), since: time.Now(), life: life}
	a := ACME{
		CAs: []CA{of(authority)}, Names: []string{"mail.nodes.test"}, HTTP: authority.HTTP,
		Storage: counting, RenewCheck: 300 * time.Millisecond,
	}
	nodes := []*node{startNode(t, a), startNode(t, a)}
	for _, n := range nodes {
		await(t, "the certificate", func() bool { return n.has("mail.nodes.test") })
	}
	counting.check(t, 1)
	idle, err := nodes[0].dial("mail.nodes.test")
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	first := idle.ConnectionState().PeerCertificates[0]
	for _, n := range nodes {
		await(t, "the renewed certificate", func() bool {
			cert, err := n.shown("mail.nodes.test")
			return err == nil && cert.NotAfter.After(first.NotAfter)
		})
	}
	counting.check(t, 2)
	if _, err := fmt.Fprint(idle, "hello"); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(idle, make([]byte, 5)); err != nil {
		t.Errorf("who was connected is so no longer: %v", err)
	}
}

// counted counts the certificates that are stored.
type counted struct {
	certmagic.Storage
	since time.Time
	life  time.Duration // of each
	certs atomic.Int64
}

// check holds that there were some, and no more than fall due: each is renewed when a third of its life is left.
func (c *counted) check(t *testing.T, least int64) {
	t.Helper()
	if got, most := c.certs.Load(), least+int64(time.Since(c.since)/(c.life/2)); got < least || got > most {
		t.Errorf("%d certificates were ordered, not %d to %d", got, least, most)
	}
}

func (c *counted) Store(ctx context.Context, key string, value []byte) error {
	if strings.HasSuffix(key, ".crt") {
		c.certs.Add(1)
	}
	return c.Storage.Store(ctx, key, value)
}

// TestStrangersAtTheChallenges: who is no CA learns nothing.
func TestStrangersAtTheChallenges(t *testing.T) {
	t.Parallel()
	at := freeport.For(t)
	startNode(t, ACME{
		CAs: []CA{{Directory: "https://" + freeport.For(t) + "/dir"}}, Names: []string{"mail.strangers.test"}, HTTP: at,
		Storage: new(storage),
	})
	for _, path := range []string{"/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/token", "/../../etc/passwd"} {
		resp, err := http.Get("http://" + at + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}

// TestRefusedUpdate: a name server that does not know the key is an error with a reason.
func TestRefusedUpdate(t *testing.T) {
	t.Parallel()
	z := acmetest.StartZone(t)
	p := &RFC2136{Server: z.Addr, KeyName: acmetest.KeyName, Secret: "YW5vdGhlci1zZWNyZXQtb25l"}
	_, err := p.AppendRecords(t.Context(), acmetest.ZoneName, challengeRecord("value"))
	if err == nil || z.Updates() != 0 {
		t.Errorf("%v, %d updates", err, z.Updates())
	}
}
