// Package certs hands out a *tls.Config whose certificate may change while servers run: one that we make ourselves, or
// one that is kept in files by somebody else. It knows no protocol and opens no listener.
package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// The modes: where the certificate comes from.
const (
	SelfSigned = "self-signed" // made by us, kept in Options.Dir
	Files      = "files"       // Options.CertFile and Options.KeyFile, read again when they change
)

const (
	defaultPoll = 10 * time.Second    // a renewed certificate serves new handshakes well within a minute
	expiresSoon = 14 * 24 * time.Hour // then the operator is warned, once a certificate
)

// Options says where the certificate comes from.
type Options struct {
	Mode     string // SelfSigned or Files
	Dir      string // for SelfSigned: made when absent
	Hostname string // for SelfSigned: a name or an address
	CertFile string // for Files: PEM, the certificate first, then its chain
	KeyFile  string // for Files: PEM

	Poll time.Duration    // how often Run looks for a change; 0 means 10 seconds
	Log  *zap.Logger      // nil means none
	Now  func() time.Time // nil means time.Now
}

// source gets a certificate from where it is kept.
type source interface {
	// load returns the certificate, or nil if it is the one it returned last.
	load() (*tls.Certificate, error)
}

// Manager holds the certificate of the moment. It is safe for concurrent use.
type Manager struct {
	opt     Options
	source  source
	current atomic.Pointer[tls.Certificate] // never nil; its Leaf is set

	fault  string // of the last look, "" for none; touched by New and then by Run only
	warned bool   // that the current one expires soon; the same
}

// New loads the certificate, or makes it. It fails when there is none that could be served.
func New(opt Options) (*Manager, error) {
	if opt.Poll == 0 {
		opt.Poll = defaultPoll
	}
	if opt.Log == nil {
		opt.Log = zap.NewNop()
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	m := &Manager{opt: opt}
	switch opt.Mode {
	case SelfSigned:
		m.source = &selfSigned{dir: opt.Dir, hostname: opt.Hostname, now: opt.Now, log: opt.Log}
	case Files:
		m.source = &files{cert: opt.CertFile, key: opt.KeyFile}
	default:
		return nil, fmt.Errorf("certificate: no mode %q", opt.Mode)
	}
	cert, err := m.source.load()
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if cert == nil {
		return nil, errors.New("certificate: none")
	}
	m.use(cert)
	return m, nil
}

// TLSConfig returns a configuration for servers: TLS 1.2 or later with Go's defaults for the rest. Every handshake gets
// the certificate of the moment.
func (m *Manager) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return m.current.Load(), nil },
	}
}

// NotAfter is when the certificate of the moment expires.
func (m *Manager) NotAfter() time.Time { return m.current.Load().Leaf.NotAfter }

// Run keeps the certificate fresh until ctx ends; then it returns nil. It is called once.
func (m *Manager) Run(ctx context.Context) error {
	t := time.NewTicker(m.opt.Poll)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			m.refresh()
		}
	}
}

// refresh looks for a new certificate. One that cannot be used changes nothing and is said once: the old one is served
// on, which is better than none, and a half-written file is whole a moment later.
func (m *Manager) refresh() {
	cert, err := m.source.load()
	switch {
	case err != nil && err.Error() != m.fault:
		m.fault = err.Error()
		m.opt.Log.Error("the new certificate cannot be used, serving the old one", zap.Error(err), zap.Time("expires", m.NotAfter()))
	case err != nil:
	case cert != nil:
		m.use(cert)
	case m.fault != "": // the old content is back
		m.fault = ""
	}
	m.warn()
}

func (m *Manager) use(cert *tls.Certificate) {
	m.current.Store(cert)
	m.fault, m.warned = "", false
	m.opt.Log.Info("serving a certificate", zap.Strings("names", cert.Leaf.DNSNames),
		zap.Stringer("issuer", cert.Leaf.Issuer), zap.Time("expires", cert.Leaf.NotAfter))
	m.warn()
}

func (m *Manager) warn() {
	if left := m.NotAfter().Sub(m.opt.Now()); left < expiresSoon && !m.warned {
		m.warned = true
		text := "the certificate expires soon"
		if left <= 0 {
			text = "the certificate has expired: clients refuse it"
		}
		m.opt.Log.Warn(text, zap.Time("expires", m.NotAfter()))
	}
}
