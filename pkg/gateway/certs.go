package gateway

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postern/pkg/certs"
	"postern/pkg/config"
	"postern/pkg/store/postgres"
)

// newCerts sets up where certificates come from.
func newCerts(ctx context.Context, o Options, st *postgres.Store) (*certs.Manager, error) {
	c := o.Config
	opt := certs.Options{
		Mode: c.TLS.Mode, Dir: c.CertDir(), Hostname: c.Hostname, CertFile: c.TLS.CertFile, KeyFile: c.TLS.KeyFile,
		Log: o.Log.Named("certs"), Tickets: st.Certificates(),
	}
	var err error
	if opt.ClientCAs, err = readRoots(c.TLS.ClientCAFile); err != nil {
		return nil, fmt.Errorf("tls.client_ca_file: %w", err)
	}
	if opt.Mode == certs.FromCA {
		if opt.ACME, err = acme(c, st); err != nil {
			return nil, err
		}
		opt.ACME.RenewCheck = o.RenewCheck
	}
	m, err := certs.New(ctx, opt)
	if err == nil {
		err = o.Registry.Register(expiry(m))
	}
	return m, err
}

func expiry(m *certs.Manager) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "postern_certificate_expiry_timestamp_seconds",
		Help: "When the certificate for the host name expires, in seconds since the epoch; 0: the CA has not given us one.",
	}, func() float64 {
		if at := m.NotAfter(); !at.Equal(time.Time{}) {
			return float64(at.Unix())
		}
		return 0
	})
}

// acme puts the settings into the words of package certs.
func acme(c *config.Config, st *postgres.Store) (certs.ACME, error) {
	a := &c.ACME
	opt := certs.ACME{
		Email: a.Email, Names: []string{c.Hostname}, Storage: st.Certificates(), Allowed: st.HasHost, Resolvers: a.Resolvers,
		HTTP: first(a.HTTPListen), TLS: first(a.TLSListen),
	}
	for _, name := range a.Names {
		if !slices.Contains(opt.Names, name) {
			opt.Names = append(opt.Names, name)
		}
	}
	roots, err := readRoots(a.RootsFile)
	if err != nil {
		return opt, fmt.Errorf("acme.roots_file: %w", err)
	}
	for _, ca := range []struct{ key, directory, id, file string }{
		{"acme.hmac_file", a.Directory, a.KeyID, a.HMACFile},
		{"acme.fallback_hmac_file", a.FallbackDirectory, a.FallbackKeyID, a.FallbackHMACFile},
	} {
		if ca.directory == "" {
			continue
		}
		secret, err := readSecret(ca.file)
		if err != nil {
			return opt, fmt.Errorf("%s: %w", ca.key, err)
		}
		opt.CAs = append(opt.CAs, certs.CA{Directory: ca.directory, Roots: roots, KeyID: ca.id, HMAC: secret})
	}
	opt.DNS, err = dnsProvider(a)
	return opt, err
}

func dnsProvider(a *config.ACME) (certs.DNSProvider, error) {
	switch a.DNS {
	case "rfc2136":
		secret, err := readSecret(a.DNSKeyFile)
		if err != nil {
			return nil, fmt.Errorf("acme.dns_key_file: %w", err)
		}
		return &certs.RFC2136{Server: a.DNSServer, KeyName: a.DNSKeyName, Algorithm: a.DNSKeyAlgorithm, Secret: secret}, nil
	case "hook":
		return &certs.DNSHook{Command: a.DNSHook}, nil
	}
	return nil, nil
}

// readRoots reads certificates to trust; no file is nil.
func readRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return pool, nil
}

// readSecret reads a file that holds a word; no file holds "".
func readSecret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return "", fmt.Errorf("%s is empty", path)
	}
	return string(text), nil
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}
