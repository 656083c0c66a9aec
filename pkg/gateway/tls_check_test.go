//go:build tlscheck

package gateway_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"fmt"
	mathbig "math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestTLSCheck has openssl s_client, sslscan and testssl.sh look at every listener for clients, with a certificate of either kind
// of key, as an operator would configure it. A finding of testssl.sh that is LOW or worse fails it, unless excused below, and
// so does anything else that is not as it should be. `make tls-check` runs it; it takes some minutes.
func TestTLSCheck(t *testing.T) {
	var table scoreboard
	t.Run("listeners", func(t *testing.T) {
		for _, kind := range []string{"ECDSA", "RSA"} {
			c := newConfigured(t, kind)
			s, err := startClearServer(filepath.Join(workDir, "tlscheck"+kind), "POSTERN_TLS_MODE=files",
				"POSTERN_TLS_CERT_FILE="+c.cert, "POSTERN_TLS_KEY_FILE="+c.key)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.stop)
			for _, e := range s.entrances() {
				for tool, look := range map[string]func(*testing.T, configured, entrance) (string, []string){
					"s_client": lookByOpenSSL, "sslscan": lookBySSLScan, "testssl.sh": lookByTestSSL, "Go": lookByGo,
				} {
					if kind == "RSA" && e.begin != "" {
						continue // the same listeners with the other key
					}
					t.Run(kind+" "+e.name+" "+tool, func(t *testing.T) {
						t.Parallel()
						saw, wrong := look(t, c, e)
						for _, w := range wrong {
							t.Error(w)
						}
						table.add(kind, e.name, tool, saw, wrong)
					})
				}
			}
		}
	})
	fmt.Println(table.String())
}

// excused are findings of testssl.sh that say nothing of us, each with the reason.
var excused = map[string]string{
	"DNS_CAArecord":      "localhost has no records; docs/operations.md tells of CAA",
	"TLS_session_ticket": "Go writes seven days onto every ticket, whatever is done; the keys are thrown away after a day",
}

// severities of testssl.sh that fail the check.
var severe = []string{"LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL"}

// scoreboard is what was seen. It is safe for concurrent use.
type scoreboard struct {
	mu   sync.Mutex
	rows []string // guarded by mu
}

func (b *scoreboard) add(kind, listener, tool, saw string, wrong []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	verdict := "good"
	if len(wrong) > 0 {
		verdict = fmt.Sprintf("%d WRONG", len(wrong))
	}
	b.rows = append(b.rows, fmt.Sprintf("%-5s  %-13s  %-10s  %-8s  %s", kind, listener, tool, verdict, saw))
}

func (b *scoreboard) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	slices.Sort(b.rows)
	return fmt.Sprintf("\n%-5s  %-13s  %-10s  %-8s  %s\n", "key", "listener", "by", "verdict", "seen") + strings.Join(b.rows, "\n") + "\n"
}

// configured is a certificate as an operator has it in files: for localhost, signed by a CA that is in roots.
type configured struct{ cert, key, roots string }

func newConfigured(t *testing.T, kind string) configured {
	t.Helper()
	newKey := func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }
	if kind == "RSA" {
		newKey = func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }
	}
	ca := &x509.Certificate{
		SerialNumber: mathbig.NewInt(1 << 62), Subject: pkix.Name{CommonName: "Test CA"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	serial, err := rand.Int(rand.Reader, new(mathbig.Int).Lsh(mathbig.NewInt(1), 159))
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "localhost"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().AddDate(0, 0, 90), DNSNames: []string{"localhost"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		CRLDistributionPoints: []string{"http://crl.example.org/ca.crl"}, // each CA has one
	}
	caKey, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	leafKey, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name, kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return write(t, dir, name, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
	}
	signed, err := x509.CreateCertificate(rand.Reader, leaf, ca, leafKey.Public(), caKey)
	c := configured{cert: file("leaf.pem", "CERTIFICATE", signed, err)}
	der, err := x509.MarshalPKCS8PrivateKey(leafKey)
	c.key = file("leaf.key", "PRIVATE KEY", der, err)
	der, err = x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	c.roots = file("ca.pem", "CERTIFICATE", der, err)
	return c
}

// run has a program look, and returns what it said and whether it succeeded.
func run(t *testing.T, stdin, name string, args ...string) (string, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s did not end: %s", name, out)
	}
	return string(out), err == nil
}

// protocol is what openssl and testssl.sh call what is spoken before TLS.
func (e entrance) protocol() string { return strings.TrimSuffix(e.name, ".starttls") }

// lookByOpenSSL: the certificate is the one configured and good; older versions and weak ciphers are refused, and so is a
// renegotiation.
func lookByOpenSSL(t *testing.T, c configured, e entrance) (saw string, wrong []string) {
	args := []string{"s_client", "-connect", "localhost:" + port(e.addr), "-servername", "localhost", "-CAfile", c.roots, "-verify_return_error", "-verify_hostname", "localhost"}
	if e.begin != "" {
		args = append(args, "-starttls", e.protocol())
	}
	for version, want := range map[string]string{"-tls1_2": "TLSv1.2", "-tls1_3": "TLSv1.3"} {
		out, ok := run(t, "Q\n", "openssl", append(args, version)...)
		if !ok || !strings.Contains(out, "Verify return code: 0 (ok)") || !strings.Contains(out, want) {
			wrong = append(wrong, version+" does not work: "+out)
		}
	}
	weak := map[string][]string{
		"TLS 1.0":      {"-tls1", "-cipher", "ALL:@SECLEVEL=0"},
		"TLS 1.1":      {"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"},
		"weak ciphers": {"-tls1_2", "-cipher", "ALL:COMPLEMENTOFALL:!ECDHE+AESGCM:!ECDHE+CHACHA20:@SECLEVEL=0"},
	}
	for name, more := range weak {
		if out, ok := run(t, "Q\n", "openssl", append(args, more...)...); ok || !strings.Contains(out, "alert") {
			wrong = append(wrong, name+" is not refused: "+out)
		}
	}
	if out, ok := run(t, "R\nQ\n", "openssl", append(args, "-tls1_2")...); ok || !strings.Contains(out, "RENEGOTIATING") {
		wrong = append(wrong, "a renegotiation is not refused: "+out)
	}
	return "TLS 1.2 and 1.3 verified; older, weak and renegotiation refused", wrong
}

// scan is what sslscan writes.
type scan struct {
	Protocols []struct {
		Type    string `xml:"type,attr"`
		Version string `xml:"version,attr"`
		Enabled bool   `xml:"enabled,attr"`
	} `xml:"ssltest>protocol"`
	Renegotiation struct {
		Supported bool `xml:"supported,attr"`
	} `xml:"ssltest>renegotiation"`
	Heartbleed []struct {
		Vulnerable bool `xml:"vulnerable,attr"`
	} `xml:"ssltest>heartbleed"`
	Ciphers []struct {
		Version  string `xml:"sslversion,attr"`
		Name     string `xml:"cipher,attr"`
		Strength string `xml:"strength,attr"`
	} `xml:"ssltest>cipher"`
	Groups []struct {
		Name string `xml:"name,attr"`
		Bits int    `xml:"bits,attr"`
	} `xml:"ssltest>group"`
}

func lookBySSLScan(t *testing.T, _ configured, e entrance) (saw string, wrong []string) {
	args := []string{"--no-colour", "--xml=-"}
	if e.begin != "" {
		args = append(args, "--starttls-"+e.protocol())
	}
	out, _ := run(t, "", "sslscan", append(args, "localhost:"+port(e.addr))...)
	var s scan
	if err := xml.Unmarshal([]byte(out[max(0, strings.Index(out, "<?xml")):]), &s); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	var versions []string
	for _, p := range s.Protocols {
		if p.Enabled {
			versions = append(versions, strings.ToUpper(p.Type)+" "+p.Version)
		}
	}
	if got := strings.Join(versions, ", "); got != "TLS 1.2, TLS 1.3" {
		wrong = append(wrong, "it speaks "+got)
	}
	for _, c := range s.Ciphers {
		if c.Strength != "strong" && c.Strength != "acceptable" {
			wrong = append(wrong, c.Strength+" cipher "+c.Name)
		}
	}
	for _, g := range s.Groups {
		if g.Bits < 128 {
			wrong = append(wrong, "weak group "+g.Name)
		}
	}
	if s.Renegotiation.Supported {
		wrong = append(wrong, "it renegotiates")
	}
	for _, h := range s.Heartbleed {
		if h.Vulnerable {
			wrong = append(wrong, "Heartbleed")
		}
	}
	if len(s.Ciphers) != 6 || len(s.Heartbleed) == 0 {
		wrong = append(wrong, fmt.Sprintf("%d ciphers instead of three of each version: %s", len(s.Ciphers), out))
	}
	return fmt.Sprintf("%s, %d ciphers, %d groups", strings.Join(versions, ", "), len(s.Ciphers), len(s.Groups)), wrong
}

func lookByTestSSL(t *testing.T, c configured, e entrance) (saw string, wrong []string) {
	file := filepath.Join(t.TempDir(), "found.json")
	args := []string{"--quiet", "--warnings", "batch", "--color", "0", "--nodns", "none", "--ip", "127.0.0.1", "--add-ca", c.roots, "--jsonfile", file}
	if e.begin == "" {
		args = append(args, "-p", "-s", "-f", "-P", "-S", "-U")
	} else {
		args = append(args, "-p", "-s", "-f", "-S", "-R", "-I", "-t", e.protocol())
	}
	out, _ := run(t, "", "testssl", append(args, "localhost:"+port(e.addr))...)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var found []struct{ ID, Severity, Finding string }
	if err := json.Unmarshal(text, &found); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	good, excuses := 0, 0
	for _, f := range found {
		switch {
		case f.Severity == "OK":
			good++
		case !slices.Contains(severe, f.Severity):
		case excused[f.ID] != "":
			excuses++
		default:
			wrong = append(wrong, fmt.Sprintf("%s %s: %s", f.Severity, f.ID, f.Finding))
		}
	}
	if good < 15 { // it has not looked
		wrong = append(wrong, fmt.Sprintf("only %d of %d are good: %s", good, len(found), out))
	}
	return fmt.Sprintf("%d looked at, %d good, %d excused", len(found), good, excuses), wrong
}

// lookByGo: Debian's OpenSSL does not know the hybrid key exchange.
func lookByGo(t *testing.T, _ configured, e entrance) (saw string, wrong []string) {
	return fmt.Sprintf("X25519MLKEM768; %d kinds of old clients refused", len(weakClients())), e.faults()
}
