package certs

import (
	"crypto/tls"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// ticketNode is a process with a certificate and the shared keys.
func ticketNode(t *testing.T, storage certmagic.Storage, now *time.Time) *tickets {
	t.Helper()
	m, err := New(t.Context(), Options{Mode: SelfSigned, Dir: t.TempDir(), Hostname: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	return &tickets{storage: storage, config: m.TLSConfig(), now: func() time.Time { return *now }, log: zap.NewNop()}
}

func (t *tickets) must(tt *testing.T) {
	tt.Helper()
	if err := t.refresh(tt.Context()); err != nil {
		tt.Fatal(err)
	}
}

// meet is a handshake with a node, and one octet of news, which brings the ticket.
func meet(t *testing.T, server *tickets, client *tls.Config) tls.ConnectionState {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go func() {
		s := tls.Server(far, server.config)
		_, _ = s.Write([]byte("x")) // the client sees an error
	}()
	c := tls.Client(near, client)
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return c.ConnectionState()
}

// TestTickets has a client go from one node to another, through a day of new keys, without another full handshake; one that
// comes after more than a day must do it again.
func TestTickets(t *testing.T) {
	t.Parallel()
	storage := &certmagic.FileStorage{Path: t.TempDir()}
	now := time.Now()
	here, there := ticketNode(t, storage, &now), ticketNode(t, storage, &now)
	here.must(t)
	there.must(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := &tls.Config{
			InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(1),
			MinVersion: version, MaxVersion: version,
		}
		if meet(t, here, client).DidResume {
			t.Error("resumed from nothing")
		}
		if !meet(t, there, client).DidResume {
			t.Errorf("version %x: the other node does not know the ticket", version)
		}
		now = now.Add(ticketEvery)
		there.must(t) // it makes a key, of which the first does not know yet
		if !meet(t, there, client).DidResume || !meet(t, here, client).DidResume {
			t.Errorf("version %x: a new key ended old tickets, or was used too early", version)
		}
		here.must(t)
		now = now.Add(2 * ticketAhead)
		here.must(t)
		if !meet(t, here, client).DidResume {
			t.Errorf("version %x: the ticket of the last key is not known", version)
		}
	}
	keys, err := here.load(t.Context())
	if err != nil || len(keys) != 3 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	for range 30 {
		now = now.Add(ticketEvery)
		here.must(t)
	}
	if keys, err := there.load(t.Context()); err != nil || len(keys) != 25 {
		t.Errorf("%d keys after a day, %v", len(keys), err)
	}
}

// TestHybrid has a client of today: it gets a key exchange that a quantum computer does not undo, and no old version.
func TestHybrid(t *testing.T) {
	t.Parallel()
	now := time.Now()
	n := ticketNode(t, &certmagic.FileStorage{Path: t.TempDir()}, &now)
	state := meet(t, n, &tls.Config{InsecureSkipVerify: true})
	if state.CurveID != tls.X25519MLKEM768 || state.Version != tls.VersionTLS13 {
		t.Errorf("group %v, version %x", state.CurveID, state.Version)
	}
	state = meet(t, n, &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}})
	if state.CurveID != tls.X25519 {
		t.Errorf("group %v", state.CurveID)
	}
}

// TestWeak has clients that know only what is not spoken any more: all of Go's that is not in suites, and old versions.
func TestWeak(t *testing.T) {
	t.Parallel()
	now := time.Now()
	n := ticketNode(t, &certmagic.FileStorage{Path: t.TempDir()}, &now)
	old := map[string]*tls.Config{"TLS 1.1": {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}}
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if slices.Contains(suite.SupportedVersions, tls.VersionTLS12) && !slices.Contains(suites, suite.ID) {
			old[suite.Name] = &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}}
		}
	}
	if len(old) < 5 {
		t.Errorf("only %d kinds of old clients", len(old))
	}
	for name, client := range old {
		client.InsecureSkipVerify = true
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			_ = tls.Server(far, n.config).Handshake() // the client sees whether it fails
		}()
		if err := tls.Client(near, client).Handshake(); err == nil {
			t.Errorf("%s is spoken", name)
		}
		near.Close()
	}
}
