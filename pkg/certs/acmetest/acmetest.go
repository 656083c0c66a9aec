// Package acmetest runs a real ACME server, Pebble (Debian's package of that name), and a name server for it, for tests.
package acmetest

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"postern/pkg/certs/certtest"
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
	c := &CA{HTTP: freeport.For(t), TLS: freeport.For(t), Zone: StartZone(t), RootsFile: filepath.Join(dir, "ca.pem")}
	c.Roots = certtest.Loopback(t, c.RootsFile)
	addr := freeport.For(t)
	settings := map[string]any{
		"listenAddress": addr, "managementListenAddress": freeport.For(t), "certificate": c.RootsFile, "privateKey": c.RootsFile,
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
