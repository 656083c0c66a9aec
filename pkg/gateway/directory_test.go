package gateway_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"postern/pkg/directory/slapdtest"
	"postern/pkg/store/postgres/pgtest"
)

// callback is an operator's program. It is silent as long as there is a silence.
type callback struct {
	*httptest.Server
	silence atomic.Pointer[chan struct{}]
	asked   atomic.Int32
}

func newCallback(t *testing.T) *callback {
	t.Helper()
	c := new(callback)
	c.Server = httptest.NewTLSServer(http.HandlerFunc(c.answer))
	t.Cleanup(c.Close)
	return c
}

func (c *callback) answer(w http.ResponseWriter, r *http.Request) {
	c.asked.Add(1)
	var q struct{ User, Password, Protocol string }
	if r.Header.Get("Authorization") != "Bearer us" || json.NewDecoder(r.Body).Decode(&q) != nil {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if silence := c.silence.Load(); silence != nil {
		select {
		case <-*silence:
		case <-r.Context().Done():
			return
		}
	}
	_, _ = fmt.Fprintf(w, `{"ok": %v}`, q.Password == slapdtest.Password && (q.Protocol == "imap" || q.Protocol == "pop3"))
}

// directoryServer is a server whose users of example.org are in an LDAP directory, and those of example.net known to a program.
func directoryServer(t *testing.T, ldap *slapdtest.Server, c *callback) *server {
	t.Helper()
	dir := t.TempDir()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw}))
	return serveWith(t, []string{
		"POSTERN_DATABASE_URL=" + pgtest.Durable(t), "POSTERN_TLS_MODE=self-signed", "POSTERN_AUTH_TRUSTED=127.0.0.1",
		"POSTERN_CRYPT_MASTER_KEY_FILE=" + write(t, dir, "key", strings.Repeat("ab", 32)),
		"POSTERN_AUTH_LDAP_URLS=" + ldap.TLS, "POSTERN_AUTH_LDAP_ROOTS_FILE=" + ldap.RootsFile, "POSTERN_AUTH_LDAP_DOMAINS=example.org",
		"POSTERN_AUTH_LDAP_BASE=" + slapdtest.People, "POSTERN_AUTH_LDAP_FILTER=(mail={address})", "POSTERN_AUTH_LDAP_TIMEOUT=30s",
		"POSTERN_AUTH_LDAP_BIND_DN=" + slapdtest.Searcher, "POSTERN_AUTH_LDAP_CREATE=true",
		"POSTERN_AUTH_LDAP_BIND_PASSWORD_FILE=" + write(t, dir, "searcher", slapdtest.SearcherSecret+"\n"),
		"POSTERN_AUTH_HTTP_URL=" + c.URL + "/login", "POSTERN_AUTH_HTTP_ROOTS_FILE=" + write(t, dir, "ca.pem", ca),
		"POSTERN_AUTH_HTTP_DOMAINS=example.net", "POSTERN_AUTH_HTTP_SECRET_FILE=" + write(t, dir, "secret", "us"),
		"POSTERN_AUTH_HTTP_TIMEOUT=30s", "POSTERN_AUTH_HTTP_QUESTIONS=4",
	})
}

// hears logs in to both protocols, and compares what they say. password is as it stands in a quoted string.
func (s *server) hears(t *testing.T, user, password, imap, pop string) {
	t.Helper()
	w := dialWire(t, s.imap)
	w.say(t, `a LOGIN "%s" "%s"`, user, password)
	if line := w.hear(t, "a "); !strings.HasPrefix(line, imap) {
		t.Errorf("%s, IMAP: %s", user, line)
	}
	w = dialWire(t, s.pop3)
	w.say(t, "USER %s", user)
	w.hear(t, "+OK")
	w.say(t, "PASS %s", password)
	if line := w.hear(t, ""); !strings.HasPrefix(line, pop) {
		t.Errorf("%s, POP3: %s", user, line)
	}
	w.say(t, "QUIT") // it would hold the maildrop
	w.ends(t)
}

// TestDirectories logs in with passwords that are kept elsewhere.
func TestDirectories(t *testing.T) {
	t.Parallel()
	const (
		right               = slapdtest.Password
		refused, refusedPOP = "a NO [AUTHENTICATIONFAILED]", "-ERR [AUTH]"
		away, awayPOP       = "a NO [UNAVAILABLE] The login", "-ERR [SYS/TEMP] The login"
	)
	ldap, c := slapdtest.Start(t), newCallback(t)
	s := directoryServer(t, ldap, c)
	s.account(t, "local@example.com")
	s.run(t, "", "account", "add", "nina@example.net", "--no-password")
	s.run(t, right+" of old\n", "account", "add", "carla@example.org", "--password-stdin")

	t.Run("with the directories there", func(t *testing.T) {
		for _, tt := range []struct{ user, password, imap, pop string }{
			{"anna@example.org", right, "a OK", "+OK"}, // the account is made
			{"carla@example.org", right + " of old", refused, refusedPOP},
			{"carla@example.org", right, "a OK", "+OK"},
			{"bert@example.org", right, refused, refusedPOP},
			{"nobody@example.org", right, refused, refusedPOP},
			{"*)(uid=*@example.org", right, refused, refusedPOP},
			{"nina@example.net", right, "a OK", "+OK"},
			{"nina@example.net", "wrong", refused, refusedPOP},
			{"nobody@example.net", right, refused, refusedPOP},
		} {
			t.Run(tt.user, func(t *testing.T) {
				t.Parallel()
				s.hears(t, tt.user, tt.password, tt.imap, tt.pop)
			})
		}
	})
	if list := s.run(t, "", "account", "list"); !strings.Contains(list, "anna@example.org") {
		t.Errorf("accounts:\n%s", list)
	}
	w := dialWire(t, s.imap)
	w.say(t, `a LOGIN anna@example.org ""`)
	w.hear(t, refused)
	if n := c.asked.Load(); n != 4 { // nina's two, and twice nobody's, for whom no account is made
		t.Errorf("the program was asked %d times", n)
	}

	app := strings.Fields(s.run(t, "", "apppass", "add", "anna@example.org", "--name", "phone"))
	idle := s.sessionOf(t, "carla@example.org", right, true)
	s.run(t, "", "account", "disable", "carla@example.org")
	idle.ends(t)
	s.hears(t, "carla@example.org", right, refused, refusedPOP)
	s.run(t, "", "account", "enable", "carla@example.org")
	s.run(t, "", "account", "passwd", "carla@example.org", "--no-password") // what was remembered is not any more

	ldap.Stop()
	s.hears(t, "carla@example.org", right, away, awayPOP)
	s.hears(t, "nobody@example.org", right+"!", away, awayPOP)
	s.hears(t, "anna@example.org", right, "a OK", "+OK") // remembered
	s.hears(t, "anna@example.org", app[len(app)-1], "a OK", "+OK")
	s.hears(t, "local@example.com", password, "a OK", "+OK")
	ldap.Run(t)
	s.hears(t, "carla@example.org", right, "a OK", "+OK")

	s.slowCallback(t, c)
	told := func() bool { // what the server prints comes by a pipe
		log := s.output()
		return strings.Count(log, `"directory cannot be asked","directory":"ldap"`) == 1 &&
			strings.Count(log, `"directory is back","directory":"ldap"`) == 1 && strings.Contains(log, `"account made"`)
	}
	if log := s.output(); !await(told) || strings.Contains(log, right) || strings.Contains(log, slapdtest.SearcherSecret) {
		t.Errorf("log: %s", log)
	}
	if text := metricsOf(t, s); !strings.Contains(text, `postern_directory_questions_total{directory="ldap",result="ok"}`) {
		t.Errorf("metrics: %s", text)
	}
}

// slowCallback has many wait for a program that is silent, and nobody else.
func (s *server) slowCallback(t *testing.T, c *callback) {
	t.Helper()
	silence := make(chan struct{})
	c.silence.Store(&silence)
	var waiting []*wire
	for range 30 {
		waiting = append(waiting, dialWire(t, s.imap))
	}
	for i, w := range waiting { // all at once: none is to have waited too long before the last has come
		w.say(t, `a LOGIN nobody%d@example.net "%s"`, i, slapdtest.Password)
	}
	if !await(func() bool { return strings.Contains(metricsOf(t, s), "\npostern_directory_queue 26\n") }) {
		t.Errorf("metrics: %s", metricsOf(t, s))
	}
	s.hears(t, "local@example.com", "wrong", "a NO [AUTHENTICATIONFAILED]", "-ERR [AUTH]") // it takes a hash
	s.hears(t, "local@example.com", password, "a OK", "+OK")
	c.silence.Store(nil)
	close(silence)
	for _, w := range waiting {
		w.hear(t, "a NO [") // refused, or on a slow machine the time of waiting was over
	}
}
