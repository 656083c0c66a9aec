package certs

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// served returns the name in the certificate that a handshake gets.
func served(t *testing.T, m *Manager) string {
	t.Helper()
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	go func() { _ = tls.Server(there, m.TLSConfig()).Handshake() }()
	c := tls.Client(here, &tls.Config{InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c.ConnectionState().PeerCertificates[0].DNSNames[0]
}

func pair(t *testing.T, dir, host string) (cert, key string) {
	t.Helper()
	c, k, err := selfSigned(host, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	for path, content := range map[string][]byte{cert: c, key: k} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestSelfSignedIsKept(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tls")
	o := Options{SelfSignedDir: dir, Hostname: "mail.example.org"}
	read := func() string {
		m, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		return string(m.current.Load().Certificate[0])
	}
	first := read()
	if read() != first {
		t.Error("a good certificate was replaced")
	}
	if info, err := os.Stat(filepath.Join(dir, "self-signed.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v %v", info.Mode(), err)
	}
	o.Hostname = "other.example.org"
	second := read()
	if second == first {
		t.Error("the certificate has the old host's name")
	}
	o.Now = func() time.Time { return time.Now().Add(selfSignedLife - selfSignedRenew + time.Hour) }
	third := read()
	if third == second {
		t.Error("a certificate about to expire was kept")
	}
	o.Now = nil
	if err := os.WriteFile(filepath.Join(dir, "self-signed.crt"), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if read() == third {
		t.Error("garbage was kept")
	}
}

func TestFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := pair(t, dir, "one.example.org")
	core, logged := observer.New(zap.InfoLevel)
	m, err := New(Options{CertFile: cert, KeyFile: key, Log: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	if got := served(t, m); got != "one.example.org" {
		t.Errorf("got %s", got)
	}
	// Half of a renewal: the certificate stays, and one line says so, however often one looks.
	if err := os.WriteFile(cert, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.check()
	m.check()
	if got := served(t, m); got != "one.example.org" {
		t.Errorf("got %s after a bad renewal", got)
	}
	if n := logged.FilterMessageSnippet("the old one stays").Len(); n != 1 {
		t.Errorf("%d lines about the bad renewal", n)
	}
	pair(t, dir, "two.example.org")
	m.check()
	if got := served(t, m); got != "two.example.org" {
		t.Errorf("got %s after the renewal", got)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, o := range map[string]Options{
		"nothing":      {},
		"half a pair":  {CertFile: "x"},
		"missing file": {CertFile: filepath.Join(dir, "a"), KeyFile: filepath.Join(dir, "b")},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	m, err := New(Options{SelfSignedDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	go func() { _ = tls.Server(there, m.TLSConfig()).Handshake() }()
	c := tls.Client(here, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if err := c.Handshake(); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
}
