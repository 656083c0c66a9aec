package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"
)

const (
	selfSignedLife  = 825 * 24 * time.Hour // the longest that Apple's clients accept
	selfSignedRenew = 30 * 24 * time.Hour
)

func selfSignedFiles(dir string) (cert, key string) {
	return filepath.Join(dir, "self-signed.crt"), filepath.Join(dir, "self-signed.key")
}

// renew makes the self-signed certificate if there is none, if it is about to expire or if the host has another name now.
// A certificate that is still good is kept, so that clients who have accepted it need not do so again.
func (m *Manager) renew() error {
	if pair, err := tls.LoadX509KeyPair(m.o.CertFile, m.o.KeyFile); err == nil && m.good(pair.Leaf) {
		return nil
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.o.Log.Warn("the self-signed certificate cannot be read and is made anew", zap.Error(err))
	}
	cert, key, err := selfSigned(m.o.Hostname, m.o.Now())
	if err != nil {
		return fmt.Errorf("make a self-signed certificate: %w", err)
	}
	if err := os.MkdirAll(m.o.SelfSignedDir, 0o700); err != nil {
		return fmt.Errorf("keep the self-signed certificate: %w", err)
	}
	// The key first: a crash in between leaves a pair that does not match, which the next start replaces.
	return errors.Join(replaceFile(m.o.KeyFile, key, 0o600), replaceFile(m.o.CertFile, cert, 0o644))
}

func (m *Manager) good(leaf *x509.Certificate) bool {
	names := selfSignedNames(m.o.Hostname)
	return leaf.NotAfter.Sub(m.o.Now()) > selfSignedRenew && slices.Equal(leaf.DNSNames, names)
}

func selfSignedNames(hostname string) []string {
	if hostname == "" || hostname == "localhost" {
		return []string{"localhost"}
	}
	return []string{hostname, "localhost"}
}

func selfSigned(hostname string, now time.Time) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	names := selfSignedNames(hostname)
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: names[0], Organization: []string{"Postern, self-signed"}},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(selfSignedLife),
		DNSNames:              names,
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true, // clients that are given it as whom to trust want it so
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}

// replaceFile writes a file under another name and renames it, so that nobody reads half of it.
func replaceFile(path string, content []byte, mode os.FileMode) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, content, mode); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
