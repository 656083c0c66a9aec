package gateway_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/pkg/certs/acmetest"
	"postern/pkg/listen/freeport"
	"postern/pkg/store/postgres/pgtest"
)

// TestCertificatesFromCA: two processes on one database get a certificate from a real ACME server, order it once
// and serve three names; and one that starts while the CA is down serves too
// (REQUIREMENTS 34).
func TestCertificatesFromCA(t *testing.T) {
	t.Parallel()
	ca := acmetest.Start(t, acmetest.Options{Valid: time.Hour})
	dir := t.TempDir()
	env := []string{
		"POSTERN_TLS_MODE=acme", "POSTERN_HOSTNAME=mail.company.test", "POSTERN_ACME_NAMES=imap.company.test",
		"POSTERN_ACME_DIRECTORY=" + ca.Directory, "POSTERN_ACME_ROOTS_FILE=" + ca.RootsFile,
		"POSTERN_DATABASE_URL=" + pgtest.Durable(t), "POSTERN_CRYPT_MASTER_KEY_FILE=" + write(t, dir, "key", strings.Repeat("ab", 32)),
	}
	// The CA may ask any of them.
	one := serveWith(t, append(env, "POSTERN_ACME_HTTP_LISTEN="+ca.HTTP))
	two := serveWith(t, append(env, "POSTERN_ACME_HTTP_LISTEN="+freeport.For(t), "POSTERN_ACME_TLS_LISTEN="+ca.TLS))
	if _, err := one.postern("", "host", "add", "pop.customer.test"); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*server{one, two} {
		for _, name := range []string{"mail.company.test", "imap.company.test", "pop.customer.test"} {
			if !await(func() bool { return shownFromCA(s.imap, name) != "" }) {
				t.Fatalf("no certificate for %s at %s:\n%s", name, s.imap, s.output())
			}
		}
	}
	if a, b := shownFromCA(one.imap, "mail.company.test"), shownFromCA(two.pop3, "mail.company.test"); a != b {
		t.Errorf("two processes ordered two certificates: %s and %s", a, b)
	}
	if shownFromCA(one.imap, "stranger.test") != shownFromCA(one.imap, "mail.company.test") {
		t.Error("somebody else's name got a certificate of its own")
	}
	ca.Stop()
	three := serveWith(t, append(env, "POSTERN_ACME_HTTP_LISTEN="+freeport.For(t), "POSTERN_ACME_NAMES=new.company.test"))
	if shownFromCA(three.imap, "mail.company.test") != shownFromCA(one.imap, "mail.company.test") {
		t.Error("without the CA the certificate there is does not serve")
	}
}

// serveWith runs a server with more settings until the test ends.
func serveWith(t *testing.T, env []string) *server {
	t.Helper()
	s, err := startServer(filepath.Join(t.TempDir(), "data"), env...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}

// shownFromCA is the serial number of the CA's certificate that a client sees who asks for a name, or "".
func shownFromCA(addr, name string) string {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: time.Minute}, Config: &tls.Config{ServerName: name, InsecureSkipVerify: true}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return ""
	}
	defer c.Close()
	cert := c.(*tls.Conn).ConnectionState().PeerCertificates[0]
	if !strings.HasPrefix(cert.Issuer.CommonName, "Pebble") {
		return ""
	}
	return fmt.Sprint(cert.SerialNumber)
}
