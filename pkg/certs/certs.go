// Package certs hands out the *tls.Config of the IMAPS and POP3S listeners: certificate files that are read again when
// they change, or a self-signed certificate made once and kept in the data folder.
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

// Options says where certificates come from. Either CertFile and KeyFile are set, or SelfSignedDir.
type Options struct {
	CertFile, KeyFile string        // PEM; the chain with the leaf first, and its key
	SelfSignedDir     string        // a folder to keep a self-signed certificate in; made when absent
	Hostname          string        // for the self-signed certificate
	Interval          time.Duration // how often the files are looked at; 0 means 15 s
	Log               *zap.Logger   // nil: no log
	Now               func() time.Time
}

// Manager keeps the current certificate. It is safe for concurrent use.
type Manager struct {
	o       Options
	current atomic.Pointer[tls.Certificate]
	seen    fingerprint // of the files that were read last, good or bad; only Run and New touch it
}

// New reads or makes the certificate; an error here is one that would stop every handshake.
func New(o Options) (*Manager, error) {
	if o.Interval == 0 {
		o.Interval = 15 * time.Second
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		return nil, errors.New("a certificate needs both its file and its key's file")
	}
	m := &Manager{o: o}
	if o.CertFile == "" {
		if o.SelfSignedDir == "" {
			return nil, errors.New("no certificate files and no folder for a self-signed one")
		}
		m.o.CertFile, m.o.KeyFile = selfSignedFiles(o.SelfSignedDir)
		if err := m.renew(); err != nil {
			return nil, err
		}
	}
	m.seen = look(m.o.CertFile, m.o.KeyFile)
	return m, m.load()
}

// TLSConfig returns a configuration for servers: Go's defaults from TLS 1.2 on, and whatever certificate is current at
// the handshake.
func (m *Manager) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return m.current.Load(), nil },
	}
}

// Run looks at the files until ctx ends. New certificates serve the handshakes that follow; sessions go on. Files that
// cannot be used are reported once and the certificate in use stays.
func (m *Manager) Run(ctx context.Context) error {
	tick := time.NewTicker(m.o.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			m.check()
		}
	}
}

// check is one look.
func (m *Manager) check() {
	if m.o.SelfSignedDir != "" {
		if err := m.renew(); err != nil {
			m.o.Log.Error("the self-signed certificate could not be renewed", zap.Error(err))
		}
	}
	now := look(m.o.CertFile, m.o.KeyFile)
	if now == m.seen {
		return
	}
	m.seen = now
	if err := m.load(); err != nil {
		m.o.Log.Error("the new certificate cannot be used; the old one stays", zap.Error(err))
		return
	}
	m.o.Log.Info("certificate replaced", zap.String("file", m.o.CertFile), zap.Time("expires", m.current.Load().Leaf.NotAfter))
}

// load makes the files' certificate current.
func (m *Manager) load() error {
	cert, err := tls.LoadX509KeyPair(m.o.CertFile, m.o.KeyFile)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", m.o.CertFile, m.o.KeyFile, err)
	}
	if left := cert.Leaf.NotAfter.Sub(m.o.Now()); left <= 0 {
		m.o.Log.Warn("the certificate has expired", zap.String("file", m.o.CertFile), zap.Time("expired", cert.Leaf.NotAfter))
	}
	m.current.Store(&cert)
	return nil
}
