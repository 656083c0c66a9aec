package gateway_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"postern/pkg/store/postgres/pgtest"
)

// wire is a client that says lines and hears lines.
type wire struct {
	net.Conn
	in *bufio.Reader
}

func dialWire(t *testing.T, addr string) *wire {
	t.Helper()
	return dialWireWith(t, addr, insecure)
}

func dialWireWith(t *testing.T, addr string, config *tls.Config) *wire {
	t.Helper()
	c, err := tls.Dial("tcp", addr, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // it may have been closed
	w := &wire{c, bufio.NewReader(c)}
	w.hear(t, "")
	return w
}

func (w *wire) say(t *testing.T, format string, args ...any) {
	t.Helper()
	if _, err := fmt.Fprintf(w, format+"\r\n", args...); err != nil {
		t.Fatal(err)
	}
}

// hear reads lines up to the first that begins so.
func (w *wire) hear(t *testing.T, begin string) string {
	t.Helper()
	if err := w.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for {
		line, err := w.in.ReadString('\n')
		if err != nil {
			t.Fatalf("waiting for %q: %v", begin, err)
		}
		if strings.HasPrefix(line, begin) {
			return line
		}
	}
}

// ends waits for the server to close the connection.
func (w *wire) ends(t *testing.T) {
	t.Helper()
	if err := w.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for {
		_, err := w.in.ReadString('\n')
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("it goes on")
		}
		if err != nil {
			return
		}
	}
}

// lives fails unless the session answers.
func (w *wire) lives(t *testing.T) {
	t.Helper()
	w.say(t, "x NOOP")
	w.hear(t, "x OK")
}

// pairOfServers are two processes on one database.
func pairOfServers(t *testing.T) (one, two *server) {
	t.Helper()
	env := []string{
		"POSTERN_DATABASE_URL=" + pgtest.Durable(t), "POSTERN_TLS_MODE=self-signed",
		"POSTERN_CRYPT_MASTER_KEY_FILE=" + write(t, t.TempDir(), "key", strings.Repeat("ab", 32)),
	}
	return serveWith(t, env), serveWith(t, env)
}

// sessionOf logs in to IMAP; idling says whether it then idles.
func (s *server) sessionOf(t *testing.T, user, password string, idling bool) *wire {
	t.Helper()
	w := dialWire(t, s.imap)
	w.say(t, `a ID ("name" "Test" "version" "1.0")`)
	w.hear(t, "a OK")
	w.say(t, "b LOGIN %s \"%s\"", user, password)
	w.hear(t, "b OK")
	if idling {
		w.say(t, "c SELECT INBOX")
		w.hear(t, "c OK")
		w.say(t, "d IDLE")
		w.hear(t, "+")
	}
	return w
}

// popSession logs in to POP3.
func (s *server) popSession(t *testing.T, user, password string) *wire {
	t.Helper()
	w := dialWire(t, s.pop3)
	w.say(t, "USER %s", user)
	w.hear(t, "+OK")
	w.say(t, "PASS %s", password)
	w.hear(t, "+OK")
	return w
}

// run runs a command that must work and returns its output.
func (s *server) run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := s.postern(stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// TestWithdrawnLogins: what a command takes away ends the sessions in other processes within a second, and no others.
func TestWithdrawnLogins(t *testing.T) {
	t.Parallel()
	one, two := pairOfServers(t)
	for i, tt := range []struct {
		name       string
		args       []string
		own, phone bool // end
	}{
		{"revoke", []string{"apppass", "revoke", "ADDRESS", "Pixel 9"}, false, true},
		{"passwd", []string{"account", "passwd", "ADDRESS", "--password-stdin"}, true, false},
		{"app passwords only", []string{"account", "set", "ADDRESS", "--app-passwords-only"}, true, false},
		{"disable", []string{"account", "disable", "ADDRESS"}, true, true},
		{"delete", []string{"account", "delete", "ADDRESS", "--yes"}, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			address := fmt.Sprintf("user%d@example.org", i)
			one.account(t, address)
			secret := one.run(t, "", "apppass", "add", address, "--name", "Pixel 9", "--scope", "imap,pop3", "--expires", "365d")
			own := []*wire{one.sessionOf(t, address, password, true), two.sessionOf(t, address, password, false)}
			phone := []*wire{
				two.sessionOf(t, address, secret, true), one.sessionOf(t, address, secret, false), two.popSession(t, address, secret),
			}
			args := append([]string(nil), tt.args...)
			args[2] = address
			one.run(t, password+" of tomorrow\n", args...)
			checkEnd(t, own, tt.own)
			checkEnd(t, phone, tt.phone)
		})
	}
}

func checkEnd(t *testing.T, sessions []*wire, end bool) {
	t.Helper()
	for i, w := range sessions {
		switch {
		case end:
			w.ends(t)
		case i == 0: // it idles
			w.say(t, "DONE")
			w.hear(t, "d OK")
			w.lives(t)
		case i == 1:
			w.lives(t)
		default:
			w.say(t, "NOOP")
			w.hear(t, "+OK")
		}
	}
}

// TestAppPasswords makes one, uses it within and beyond its scope, and looks at what the list says.
func TestAppPasswords(t *testing.T) {
	t.Parallel()
	const user = "apps@example.org"
	shared.account(t, user)
	secret := shared.run(t, "", "apppass", "add", user, "--name", "tablet", "--scope", "imap")
	if len(secret) != 29 || strings.Contains(shared.output(), secret) {
		t.Fatalf("password %q", secret)
	}
	shared.sessionOf(t, user, strings.ToUpper(secret), false).lives(t)
	pop := dialWire(t, shared.pop3)
	pop.say(t, "USER %s", user)
	pop.hear(t, "+OK")
	pop.say(t, "PASS %s", secret)
	pop.hear(t, "-ERR")
	var list []map[string]any
	if !await(func() bool {
		list = nil
		out := shared.run(t, "", "apppass", "list", user, "--json")
		return json.Unmarshal([]byte(out), &list) == nil && len(list) == 1 && list[0]["used"] != nil
	}) {
		t.Fatalf("no use in %v", list)
	}
	if list[0]["name"] != "tablet" || list[0]["used_from"] != "127.0.0.1" || list[0]["used_by"] != "Test 1.0" {
		t.Errorf("listed %v", list[0])
	}
	if out := shared.run(t, "", "apppass", "list", user); !strings.Contains(out, "tablet") || strings.Contains(out, secret) {
		t.Errorf("listed %s", out)
	}
	for _, wrong := range [][]string{
		{"add", user},
		{"add", user, "--name", "x", "--scope", "smtp"},
		{"add", user, "--name", "x", "--expires", "-1d"},
		{"revoke", user, "nothing"},
		{"revoke", user},
	} {
		if out, err := shared.postern("", append([]string{"apppass"}, wrong...)...); err == nil {
			t.Errorf("%q: %s", wrong, out)
		}
	}
}
