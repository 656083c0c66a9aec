// Package acmetest runs a real ACME server, Pebble (Debian's package of that name), and a name server for it, for tests.
package acmetest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"postern/pkg/listen/freeport"
)

// Options say what kind of CA it is.
type Options struct {
	Valid   time.Duration // how long its certificates are good for
	Binding bool          // whether accounts must be bound to one of its own: CA.KeyID and CA.HMAC
}

// CA is a running Pebble. It believes whatever answers at HTTP and TLS, for all names.
type CA struct {
	Directory string // URL
	RootsFile string // certificates to trust when talking to it, PEM
	Roots     *x509.CertPool
	KeyID     string
	HMAC      string
	HTTP, TLS string // addresses where it looks at us
	Zone      *Zone

	proc *exec.Cmd
	log  bytes.Buffer // of proc; to be read when it has ended
}

// patience is how long it may take to start.
const patience = 30 * time.Second

// Start runs a CA until the test ends.
func Start(t testing.TB, o Options) *CA {
	t.Helper()
	dir := t.TempDir()
	c := &CA{HTTP: FreeAddr(t), TLS: FreeAddr(t), Zone: StartZone(t), RootsFile: filepath.Join(dir, "ca.pem")}
	c.makeCertificate(t)
	addr := FreeAddr(t)
	settings := map[string]any{
		"listenAddress": addr, "managementListenAddress": FreeAddr(t), "certificate": c.RootsFile, "privateKey": c.RootsFile,
		"httpPort": port(t, c.HTTP), "tlsPort": port(t, c.TLS), "certificateValidityPeriod": int(o.Valid.Seconds()),
	}
	if o.Binding {
		c.KeyID, c.HMAC = "key", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
		settings["externalAccountBindingRequired"] = true
		settings["externalAccountMACKeys"] = map[string]string{c.KeyID: c.HMAC}
	}
	text, err := json.Marshal(map[string]any{"pebble": settings})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	c.proc = exec.Command("pebble", "-config", file, "-dnsserver", c.Zone.Addr)
	c.proc.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=20")
	c.proc.Stdout, c.proc.Stderr = &c.log, &c.log
	if err := c.proc.Start(); err != nil {
		t.Fatalf("pebble (Debian's package of that name): %v", err)
	}
	t.Cleanup(func() {
		c.Stop()
		if t.Failed() {
			t.Logf("the CA said:\n%s", c.log.Bytes()[max(0, c.log.Len()-5000):])
		}
	})
	c.Directory = "https://" + addr + "/dir"
	c.awaitListening(t, addr)
	return c
}

// Stop ends the CA as a crash would.
func (c *CA) Stop() {
	_ = c.proc.Process.Kill() // it may have ended
	_ = c.proc.Wait()
}

func (c *CA) awaitListening(t testing.TB, addr string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the CA does not answer: %v", err)
		}
	}
}

// makeCertificate makes that of the CA's own server, with its key, in RootsFile.
func (c *CA) makeCertificate(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	c.Roots = x509.NewCertPool()
	c.Roots.AddCert(cert)
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})...)
	if err := os.WriteFile(c.RootsFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// FreeAddr is an address on loopback where nobody listens.
func FreeAddr(t testing.TB) string {
	t.Helper()
	addr, err := freeport.Addr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func port(t testing.TB, addr string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
