package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	mathbig "math/big"
	"path/filepath"
	"testing"
	"time"
)

// TestClientCertificates logs in to both protocols by a certificate; a self-made one is its own issuer here.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	const user = "cert@example.org"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: mathbig.NewInt(1), EmailAddresses: []string{user}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, t.TempDir(), "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	s, err := startServer(filepath.Join(workDir, t.Name()), "POSTERN_TLS_CLIENT_CA_FILE="+file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	s.account(t, user)
	with := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	name := base64.StdEncoding.EncodeToString([]byte(user))
	imap := dialWireWith(t, s.imap, with)
	imap.say(t, "a AUTHENTICATE EXTERNAL =")
	imap.hear(t, "a OK")
	imap.lives(t)
	pop := dialWireWith(t, s.pop3, with)
	pop.say(t, "AUTH EXTERNAL %s", name)
	pop.hear(t, "+OK")
	without := dialWire(t, s.imap)
	without.say(t, "a AUTHENTICATE EXTERNAL %s", name)
	without.hear(t, "a NO [CANNOT]")
	s.run(t, "", "account", "disable", user)
	imap.ends(t)
	pop.ends(t)
}
