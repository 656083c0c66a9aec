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
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
)

const (
	lifetime    = 730 * 24 * time.Hour // some clients take no certificate that is valid for more than 825 days
	renewBefore = 30 * 24 * time.Hour
	pairFile    = "self-signed.pem" // key and certificate in one file, so that they are never of two makings
	publicFile  = "self-signed.crt" // the certificate alone, for clients that are to trust it
)

// selfSigned is a certificate that we make ourselves, for a first try and for tests. It is made once and kept, because
// people tell their clients to trust it; a new one is made only when the old is about to expire, is for another host,
// or cannot be read.
type selfSigned struct {
	dir, hostname string
	now           func() time.Time
	log           *zap.Logger

	last *x509.Certificate // returned last; nil before
}

func (s *selfSigned) load() (*tls.Certificate, error) {
	if s.last != nil && s.fault(s.last) == "" {
		return nil, nil
	}
	cert, err := s.read()
	if errors.Is(err, errUnfit) || errors.Is(err, fs.ErrNotExist) {
		s.log.Info("making a self-signed certificate", zap.String("folder", s.dir), zap.String("reason", err.Error()))
		cert, err = s.make()
	}
	if err != nil {
		return nil, fmt.Errorf("self-signed: %w", err)
	}
	s.last = cert.Leaf
	return cert, nil
}

// errUnfit means that the certificate that is kept will not do any longer.
var errUnfit = errors.New("not fit for use")

func (s *selfSigned) read() (*tls.Certificate, error) {
	text, err := os.ReadFile(filepath.Join(s.dir, pairFile))
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnfit, err)
	}
	if fault := s.fault(cert.Leaf); fault != "" {
		return nil, fmt.Errorf("%w: %s", errUnfit, fault)
	}
	return &cert, nil
}

// fault says why a certificate will not do, if so.
func (s *selfSigned) fault(leaf *x509.Certificate) string {
	switch {
	case s.now().After(leaf.NotAfter.Add(-renewBefore)):
		return "it expires " + leaf.NotAfter.Format(time.DateOnly)
	case leaf.VerifyHostname(s.hostname) != nil:
		return "it is not for " + s.hostname
	}
	return ""
}

func (s *selfSigned) make() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := s.sign(key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pair := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), public...)
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	if err := replaceFile(filepath.Join(s.dir, pairFile), pair, 0o600); err != nil {
		return nil, err
	}
	if err := replaceFile(filepath.Join(s.dir, publicFile), public, 0o644); err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(pair, pair)
	return &cert, err
}

// sign makes the certificate itself. It is nobody's authority: who trusts it trusts this server and no more.
func (s *selfSigned) sign(key *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{
		SerialNumber:          serial.Add(serial, big.NewInt(1)), // above zero: RFC 5280 §4.1.2.2
		Subject:               pkix.Name{CommonName: s.hostname[:min(len(s.hostname), 64)]},
		NotBefore:             s.now().Add(-time.Hour), // clocks differ
		NotAfter:              s.now().Add(lifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(s.hostname); ip != nil {
		c.IPAddresses = append(c.IPAddresses, ip)
	} else if s.hostname != "localhost" {
		c.DNSNames = append([]string{s.hostname}, c.DNSNames...)
	}
	return x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, content []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
