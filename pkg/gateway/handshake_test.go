package gateway_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// entrance is where clients come in.
type entrance struct {
	name  string
	addr  string
	begin string // what is said in the clear to begin TLS; "" where it comes first
}

func (s *server) entrances() []entrance {
	return []entrance{
		{"imap", s.imap, ""},
		{"pop3", s.pop3, ""},
		{"imap.starttls", s.imapClear, "a STARTTLS"},
		{"pop3.starttls", s.pop3Clear, "STLS"},
	}
}

// shake begins TLS.
func (e entrance) shake(config *tls.Config) (tls.ConnectionState, error) {
	raw, err := net.DialTimeout("tcp", e.addr, time.Minute)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(time.Minute))
	if e.begin != "" {
		r := bufio.NewReader(raw)
		if _, err := r.ReadString('\n'); err != nil { // its greeting
			return tls.ConnectionState{}, err
		}
		if _, err := fmt.Fprint(raw, e.begin+"\r\n"); err != nil {
			return tls.ConnectionState{}, err
		}
		if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, "OK") {
			return tls.ConnectionState{}, fmt.Errorf("%s: %q, %w", e.begin, line, err)
		}
	}
	c := tls.Client(raw, config)
	err = c.Handshake()
	return c.ConnectionState(), err
}

// goodSuites are those of TLS 1.2 with forward secrecy and authenticated encryption.
func goodSuite(name string) bool {
	return strings.HasPrefix(name, "TLS_ECDHE_") && (strings.Contains(name, "_GCM_") || strings.Contains(name, "_POLY1305"))
}

// weakClients know only what must not be spoken.
func weakClients() map[string]*tls.Config {
	weak := map[string]*tls.Config{
		"TLS 1.0": {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10},
		"TLS 1.1": {MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11},
	}
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if slices.Contains(suite.SupportedVersions, tls.VersionTLS12) && !goodSuite(suite.Name) {
			weak[suite.Name] = &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}}
		}
	}
	return weak
}

// faults says what is wrong with the handshakes there: today's client gets TLS 1.3 with the hybrid key exchange, one of ten
// years ago TLS 1.2, and older ones nothing.
func (e entrance) faults() (wrong []string) {
	state, err := e.shake(insecure)
	if err != nil || state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 {
		wrong = append(wrong, fmt.Sprintf("today's client gets version %x, group %v, %v", state.Version, state.CurveID, err))
	}
	old := &tls.Config{MaxVersion: tls.VersionTLS12, CurvePreferences: []tls.CurveID{tls.CurveP256}, InsecureSkipVerify: true}
	state, err = e.shake(old)
	if err != nil || !goodSuite(tls.CipherSuiteName(state.CipherSuite)) {
		wrong = append(wrong, fmt.Sprintf("an older client gets %s, %v", tls.CipherSuiteName(state.CipherSuite), err))
	}
	for name, weak := range weakClients() {
		weak.InsecureSkipVerify = true
		if _, err := e.shake(weak); err == nil {
			wrong = append(wrong, name+" is spoken")
		}
	}
	return wrong
}

// TestHandshakes has clients of all ages come to every listener; `make tls-check` has the programs that look for more.
func TestHandshakes(t *testing.T) {
	t.Parallel()
	if n := len(weakClients()); n < 10 {
		t.Errorf("only %d kinds of weak clients", n)
	}
	for _, e := range shared.entrances() {
		for _, wrong := range e.faults() {
			t.Errorf("%s: %s", e.name, wrong)
		}
	}
}
