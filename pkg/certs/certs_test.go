package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// stage is a Manager with a clock and a log.
type stage struct {
	*Manager
	t    *testing.T
	now  time.Time
	logs *observer.ObservedLogs
}

func newStage(t *testing.T, opt Options) *stage {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	s := &stage{t: t, now: time.Now(), logs: logs}
	opt.Log, opt.Now = zap.New(core), func() time.Time { return s.now }
	var err error
	if s.Manager, err = New(t.Context(), opt); err != nil {
		t.Fatal(err)
	}
	return s
}

// handshake connects as a client does that trusts the certificates in roots, and returns what it was shown.
func (s *stage) handshake(name string, roots *x509.CertPool, change ...func(*tls.Config)) (*x509.Certificate, error) {
	l, err := tls.Listen("tcp", "127.0.0.1:0", s.TLSConfig())
	if err != nil {
		return nil, err
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(io.Discard, c) // the handshake; how it ends is the client's to say
			c.Close()
		}
	}()
	conf := &tls.Config{ServerName: name, RootCAs: roots, Time: func() time.Time { return s.now }}
	for _, c := range change {
		c(conf)
	}
	c, err := tls.Dial("tcp", l.Addr().String(), conf)
	if err != nil {
		return nil, err
	}
	return c.ConnectionState().PeerCertificates[0], c.Close()
}

func (s *stage) messages() (list []string) {
	for _, e := range s.logs.TakeAll() {
		list = append(list, e.Message)
	}
	return list
}

func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(text) {
		t.Fatalf("no certificate in %s", file)
	}
	return p
}

func TestSelfSigned(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "certs")
	opt := Options{Mode: SelfSigned, Dir: dir, Hostname: "mail.example.org"}
	s := newStage(t, opt)
	roots := pool(t, filepath.Join(dir, publicFile))
	for _, name := range []string{"mail.example.org", "localhost", "127.0.0.1", "::1"} {
		if _, err := s.handshake(name, roots); err != nil {
			t.Errorf("as %s: %v", name, err)
		}
	}
	if _, err := s.handshake("other.example.org", roots); err == nil {
		t.Error("the certificate is for others too")
	}
	for file, mode := range map[string]fs.FileMode{pairFile: 0o600, publicFile: 0o644} {
		if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v; want mode %v", file, info, err, mode)
		}
	}

	first := s.current.Load().Leaf
	if again := newStage(t, opt).current.Load().Leaf; !again.Equal(first) {
		t.Error("another start made another certificate")
	}
	s.now = first.NotAfter.Add(-renewBefore)
	s.refresh()
	if !s.current.Load().Leaf.Equal(first) {
		t.Error("renewed too early")
	}
	s.now = s.now.Add(time.Second)
	s.refresh()
	second := s.current.Load().Leaf
	if second.Equal(first) || second.NotAfter.Sub(s.now) < lifetime-time.Minute {
		t.Errorf("not renewed: expires %s", second.NotAfter)
	}
	if cert, err := s.handshake("localhost", pool(t, filepath.Join(dir, publicFile))); err != nil || !cert.Equal(second) {
		t.Errorf("after the renewal: %v", err)
	}
}

// TestSelfSignedAnew has reasons to make a new certificate at the start.
func TestSelfSignedAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	serial := func(hostname string) string {
		return newStage(t, Options{Mode: SelfSigned, Dir: dir, Hostname: hostname}).current.Load().Leaf.SerialNumber.String()
	}
	first := serial("a.example.org")
	second := serial("192.0.2.7")
	if first == second || serial("192.0.2.7") != second {
		t.Error("a new name must make a new certificate, and the same must not")
	}
	if serial("localhost") != second {
		t.Error("localhost is in every certificate")
	}
	if err := os.WriteFile(filepath.Join(dir, pairFile), []byte("spoilt"), 0o600); err != nil {
		t.Fatal(err)
	}
	if serial("192.0.2.7") == second {
		t.Error("a spoilt file was used")
	}
	blocked := filepath.Join(dir, pairFile, "below")
	if _, err := New(t.Context(), Options{Mode: SelfSigned, Dir: blocked, Hostname: "localhost"}); err == nil {
		t.Error("New in a place where nothing can be kept succeeds")
	}
}

// pair makes a certificate in files, as a client of some authority keeps it.
func pair(t *testing.T, dir, hostname string) (certFile, keyFile string) {
	t.Helper()
	made := t.TempDir()
	newStage(t, Options{Mode: SelfSigned, Dir: made, Hostname: hostname})
	text, err := os.ReadFile(filepath.Join(made, pairFile))
	if err != nil {
		t.Fatal(err)
	}
	i := strings.Index(string(text), "-----BEGIN CERTIFICATE")
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, part := range map[string][]byte{keyFile: text[:i], certFile: text[i:]} {
		if err := os.WriteFile(file, part, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// TestFiles changes the files of a running server in every order: a whole new pair is served, anything else is not.
func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := pair(t, dir, "one.example.org")
	s := newStage(t, Options{Mode: Files, CertFile: certFile, KeyFile: keyFile})
	shown := func() string {
		t.Helper()
		cert, err := s.handshake("", nil, func(c *tls.Config) { c.InsecureSkipVerify = true })
		if err != nil {
			t.Fatal(err)
		}
		return cert.DNSNames[0]
	}
	look := func(want string, messages ...string) {
		t.Helper()
		s.refresh()
		if got := shown(); got != want {
			t.Errorf("served %s, want %s", got, want)
		}
		if got := s.messages(); !slices.Equal(got, messages) {
			t.Errorf("said %q, want %q", got, messages)
		}
	}
	const serving, unusable = "serving a certificate", "the new certificate cannot be used, serving the old one"
	s.messages()
	look("one.example.org")

	newCert, newKey := pair(t, t.TempDir(), "two.example.org")
	rename(t, newCert, certFile)
	look("one.example.org", unusable) // of another key
	look("one.example.org")           // said once
	rename(t, newKey, keyFile)
	look("two.example.org", serving)

	if err := os.WriteFile(certFile, []byte("half a certif"), 0o600); err != nil {
		t.Fatal(err)
	}
	look("two.example.org", unusable)
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	look("two.example.org", unusable) // another fault
	pair(t, dir, "three.example.org")
	look("three.example.org", serving)
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	certFile, keyFile := pair(t, t.TempDir(), "one.example.org")
	s := newStage(t, Options{Mode: Files, CertFile: certFile, KeyFile: keyFile})
	s.messages()
	s.now = s.NotAfter().Add(-13 * 24 * time.Hour)
	s.refresh()
	s.refresh()
	if got := s.messages(); !slices.Equal(got, []string{"the certificate expires soon"}) {
		t.Errorf("said %q", got)
	}
	s.now, s.warned = s.NotAfter(), false // as at a start
	s.refresh()
	if got := s.messages(); !slices.Equal(got, []string{"the certificate has expired: clients refuse it"}) {
		t.Errorf("said %q", got)
	}
}

func TestNewFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := pair(t, dir, "one.example.org")
	_, otherKey := pair(t, t.TempDir(), "two.example.org")
	for name, opt := range map[string]Options{
		"no such mode":   {Mode: "acme"},
		"no certificate": {Mode: Files, CertFile: filepath.Join(dir, "none"), KeyFile: keyFile},
		"no key":         {Mode: Files, CertFile: certFile, KeyFile: filepath.Join(dir, "none")},
		"another's key":  {Mode: Files, CertFile: certFile, KeyFile: otherKey},
		"the wrong way":  {Mode: Files, CertFile: keyFile, KeyFile: certFile},
	} {
		if _, err := New(t.Context(), opt); err == nil {
			t.Errorf("%s: New succeeds", name)
		}
	}
}

func TestOldVersions(t *testing.T) {
	t.Parallel()
	s := newStage(t, Options{Mode: SelfSigned, Dir: t.TempDir(), Hostname: "localhost"})
	for version, ok := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		_, err := s.handshake("", nil, func(c *tls.Config) { c.InsecureSkipVerify, c.MinVersion, c.MaxVersion = true, version, version })
		if (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

// TestRun has a change of the files be seen in time.
func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := pair(t, dir, "one.example.org")
	synctest.Test(t, func(t *testing.T) {
		m, err := New(t.Context(), Options{Mode: Files, CertFile: certFile, KeyFile: keyFile})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx) }()
		pair(t, dir, "two.example.org")
		time.Sleep(time.Minute) // of the bubble's clock
		synctest.Wait()
		if got := m.current.Load().Leaf.DNSNames[0]; got != "two.example.org" {
			t.Errorf("a minute later %s is served", got)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
