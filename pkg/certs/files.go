package certs

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"os"
)

// files is a certificate that somebody else keeps: a pair of PEM files. They are compared by what is in them: times and
// sizes can stay the same, and links can be changed anywhere on the way.
type files struct {
	cert, key string

	lastCert, lastKey []byte // of the certificate returned last
}

func (f *files) load() (*tls.Certificate, error) {
	certPEM, err := os.ReadFile(f.cert)
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(f.key)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(certPEM, f.lastCert) && bytes.Equal(keyPEM, f.lastKey) {
		return nil, nil
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", f.cert, f.key, err)
	}
	f.lastCert, f.lastKey = certPEM, keyPEM
	return &cert, nil
}
