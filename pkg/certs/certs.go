// Package certs hands out a *tls.Config whose certificate may change while servers run: one that we make ourselves, one that
// is kept in files by somebody else, or those that a CA gives us over ACME. It knows no mail protocol and opens no listener.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// The modes: where the certificate comes from.
const (
	SelfSigned = "self-signed" // made by us, kept in Options.Dir
	Files      = "files"       // Options.CertFile and Options.KeyFile, read again when they change
	FromCA     = "acme"        // Options.ACME; until there is one, that which is self-signed
)

const (
	defaultPoll = 10 * time.Second    // a renewed certificate serves new handshakes well within a minute
	expiresSoon = 14 * 24 * time.Hour // then the operator is warned, once a certificate
)

// Options says where the certificate comes from.
type Options struct {
	Mode     string // SelfSigned, Files or FromCA
	Dir      string // for SelfSigned and FromCA: made when absent
	Hostname string // for SelfSigned and FromCA: a name or an address
	CertFile string // for Files: PEM, the certificate first, then its chain
	KeyFile  string // for Files: PEM
	ACME     ACME   // for FromCA

	// Tickets is where processes find each other's keys of session tickets; nil: this one has its own.
	Tickets certmagic.Storage

	// ClientCAs issue the certificates that clients are asked for; one without goes on without. nil: none are asked for.
	ClientCAs *x509.CertPool

	Poll time.Duration    // how often Run looks for a change; 0 means 10 seconds
	Log  *zap.Logger      // nil means none
	Now  func() time.Time // nil means time.Now
}

// suites are those of TLS 1.2 that are spoken: with forward secrecy and authenticated encryption (RFC 9325 §4.2). Those of
// TLS 1.3 all are.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
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
	config  *tls.Config
	ordered *ordered                        // for FromCA, else nil
	current atomic.Pointer[tls.Certificate] // never nil; its Leaf is set

	fault  string // of the last look, "" for none; touched by New and then by Run only
	warned bool   // that the current one expires soon; the same
}

// New loads the certificate, or makes it. It fails when there is none that could be served. With FromCA those that an earlier
// process ordered are loaded too, so that not even the first client is shown another.
func New(ctx context.Context, opt Options) (*Manager, error) {
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
	m.config = &tls.Config{MinVersion: tls.VersionTLS12, CipherSuites: suites, GetCertificate: m.certificate}
	if opt.ClientCAs != nil {
		m.config.ClientCAs, m.config.ClientAuth = opt.ClientCAs, tls.VerifyClientCertIfGiven
	}
	switch opt.Mode {
	case SelfSigned, FromCA:
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
	if opt.Mode == FromCA {
		if m.ordered, err = newOrdered(opt.ACME, opt.Log); err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		m.ordered.load(ctx)
	}
	m.use(cert)
	return m, nil
}

// TLSConfig returns the configuration for servers: TLS 1.2 or later, no weak cipher. Every handshake gets
// the certificate of the moment, with FromCA that for the name the client asks for. It is the same one each time, and must
// not be changed: the keys of session tickets go on changing in it.
func (m *Manager) TLSConfig() *tls.Config { return m.config }

// certificate chooses for a handshake: the one for the name that is asked for, or that of the first name. While the CA has
// not given us any, the client may at least see that we are here.
func (m *Manager) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if m.ordered == nil {
		return m.current.Load(), nil
	}
	if cert, err := m.ordered.get(hello); err == nil {
		return cert, nil
	}
	first := *hello
	first.ServerName = m.opt.ACME.Names[0]
	if cert, err := m.ordered.get(&first); err == nil {
		return cert, nil
	}
	return m.current.Load(), nil
}

// ChallengeTLS is the configuration for a listener at ACME.TLS, where nothing is spoken after the handshake. It is nil unless
// the mode is FromCA.
func (m *Manager) ChallengeTLS() *tls.Config {
	if m.ordered == nil {
		return nil
	}
	return m.ordered.challengeTLS()
}

// NotAfter is when the certificate of the moment expires: with FromCA that of the first name, or the zero time while the CA
// has not given us one.
func (m *Manager) NotAfter() time.Time {
	if leaf := m.leaf(); leaf != nil {
		return leaf.NotAfter
	}
	return time.Time{}
}

// Run keeps the certificate fresh until ctx ends; then it returns nil. It is called once.
func (m *Manager) Run(ctx context.Context) error {
	if m.opt.Tickets != nil {
		t := &tickets{storage: m.opt.Tickets, config: m.config, now: m.opt.Now, log: m.opt.Log}
		var running sync.WaitGroup
		running.Go(func() { t.run(ctx) })
		defer running.Wait()
	}
	if m.ordered != nil {
		done := make(chan error, 1)
		go func() { done <- m.ordered.run(ctx) }()
		m.keepFresh(ctx)
		return <-done
	}
	m.keepFresh(ctx)
	return nil
}

func (m *Manager) keepFresh(ctx context.Context) {
	t := time.NewTicker(m.opt.Poll)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
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
	if m.ordered != nil {
		return // this one is shown only for want of another, and CertMagic tells of those
	}
	m.opt.Log.Info("serving a certificate", zap.Strings("names", cert.Leaf.DNSNames),
		zap.Stringer("issuer", cert.Leaf.Issuer), zap.Time("expires", cert.Leaf.NotAfter))
	m.warn()
}

// warn tells the operator, once a certificate, that it should have been renewed by now.
func (m *Manager) warn() {
	soon := m.ExpiresSoon()
	if soon == nil || m.warned {
		m.warned = soon != nil
		return
	}
	m.warned = true
	m.opt.Log.Warn(soon.Error(), zap.Time("expires", m.NotAfter()))
}

// ExpiresSoon says what is wrong with the certificate's time, or that there is none yet; nil when all is well. A certificate
// of a short life is due later.
func (m *Manager) ExpiresSoon() error {
	leaf := m.leaf()
	if leaf == nil {
		return errors.New("there is no certificate from the CA yet: clients are shown a self-signed one")
	}
	left := leaf.NotAfter.Sub(m.opt.Now())
	switch due := min(expiresSoon, leaf.NotAfter.Sub(leaf.NotBefore)/5); {
	case left <= 0:
		return errors.New("the certificate has expired: clients refuse it")
	case left < due:
		return errors.New("the certificate expires soon")
	}
	return nil
}

// leaf is the certificate of the moment, with FromCA that of the first name; nil while the CA has not given us one.
func (m *Manager) leaf() *x509.Certificate {
	if m.ordered != nil {
		return m.ordered.leaf()
	}
	return m.current.Load().Leaf
}
