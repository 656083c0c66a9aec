package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/http/httptest"
	"slices"
	"testing"
	"time"
)

// authority issues certificates to clients.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clients"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	var der []byte
	a.key, der = a.make(template, nil)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) make(template *x509.Certificate, issuer *authority) (*ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.cert, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, der
}

// issue makes the certificate of a client.
func (a *authority) issue(addresses ...string) tls.Certificate {
	a.t.Helper()
	key, der := a.make(&x509.Certificate{
		SerialNumber: big.NewInt(2), EmailAddresses: addresses, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Minute),
	}, a)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// shown is the server's end of a connection whose client has shown a certificate.
func (a *authority) shown(cert ...tls.Certificate) *tls.Conn {
	a.t.Helper()
	web := httptest.NewTLSServer(nil)
	defer web.Close()
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	near, far := net.Pipe()
	server := tls.Server(near, &tls.Config{
		Certificates: web.TLS.Certificates, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool, SessionTicketsDisabled: true,
	})
	client := tls.Client(far, &tls.Config{InsecureSkipVerify: true, Certificates: cert})
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	if err := errors.Join(server.Handshake(), <-done); err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = near.Close() })
	return server
}

// TestExternal has certificates with and without the address of an account.
func TestExternal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		addresses []string
		authz     string
		change    func(*Credential)
		err       error
	}{
		{"right", []string{alice}, "", nil, nil},
		{"another spelling", []string{"Alice@Example.org"}, "", nil, nil},
		{"app passwords only", []string{alice}, "", func(c *Credential) { c.AppOnly = true }, nil},
		{"says so", []string{alice}, alice, nil, nil},
		{"one of two", []string{"bob@example.org", alice}, alice, nil, nil},
		{"two, and does not say", []string{"bob@example.org", alice}, "", nil, ErrDenied},
		{"another's", []string{"bob@example.org"}, alice, nil, ErrDenied},
		{"no account", []string{"nobody@example.org"}, "", nil, ErrDenied},
		{"disabled", []string{"bob@example.org"}, "", nil, ErrDenied},
		{"no address", nil, "", nil, ErrDenied},
		{"no address, but says one", nil, alice, nil, ErrDenied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, ca := newStage(t), newAuthority(t)
			if tt.change != nil {
				s.dir.change(alice, tt.change)
			}
			p := Peer{Addr: home, TLS: true, Channel: ca.shown(ca.issue(tt.addresses...))}
			ask := func([]byte) ([]byte, error) { return []byte(tt.authz), nil }
			id, err := s.Exchange(t.Context(), p, "EXTERNAL", nil, ask)
			if !errors.Is(err, tt.err) || (err == nil) != (id.Account == 1 && !id.Expires.IsZero()) {
				t.Fatalf("%+v, %v; want %v", id, err, tt.err)
			}
			if err != nil {
				return
			}
			s.dir.change(alice, func(c *Credential) { c.Epoch++ }) // another password
			if ok, err := s.still(t.Context(), id); !ok || err != nil {
				t.Errorf("still: %v, %v", ok, err)
			}
			s.dir.change(alice, func(c *Credential) { c.Disabled = true })
			if ok, err := s.still(t.Context(), id); ok || err != nil {
				t.Errorf("still, disabled: %v, %v", ok, err)
			}
		})
	}
}

// TestExternalOffered: only who has shown a certificate hears of it.
func TestExternalOffered(t *testing.T) {
	t.Parallel()
	s, ca := newStage(t), newAuthority(t)
	without := Peer{TLS: true, Channel: ca.shown()}
	if slices.Contains(s.Mechanisms(without), "EXTERNAL") || slices.Contains(s.Mechanisms(Peer{TLS: true}), "EXTERNAL") {
		t.Error("offered without a certificate")
	}
	if !slices.Contains(s.Mechanisms(Peer{TLS: true, Channel: ca.shown(ca.issue(alice))}), "EXTERNAL") {
		t.Error("not offered")
	}
	ask := func([]byte) ([]byte, error) { return nil, nil }
	if _, err := s.Exchange(t.Context(), without, "EXTERNAL", []byte(alice), ask); !errors.Is(err, ErrMechanism) {
		t.Errorf("without: %v", err)
	}
}
