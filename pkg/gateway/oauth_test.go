package gateway_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"postern/pkg/oauth/oauthtest"
	"postern/pkg/store/postgres/pgtest"
)

// tokenServer is a server that takes the tokens of a provider.
func tokenServer(t *testing.T, p *oauthtest.Provider, env ...string) *server {
	t.Helper()
	dir := t.TempDir()
	return serveWith(t, append(env,
		"POSTERN_DATABASE_URL="+pgtest.Durable(t), "POSTERN_TLS_MODE=self-signed",
		"POSTERN_CRYPT_MASTER_KEY_FILE="+write(t, dir, "key", strings.Repeat("ab", 32)),
		"POSTERN_AUTH_OAUTH_ISSUERS="+p.Issuer(), "POSTERN_AUTH_OAUTH_AUDIENCES="+oauthtest.Audience,
		"POSTERN_AUTH_OAUTH_ROOTS_FILE="+write(t, dir, "roots.pem", p.PEM()), "POSTERN_AUTH_OAUTH_SCOPES=imap",
		"POSTERN_AUTH_OAUTH_INTROSPECTION=opaque", "POSTERN_AUTH_OAUTH_CLIENT_ID="+oauthtest.ClientID,
		"POSTERN_AUTH_OAUTH_CLIENT_SECRET_FILE="+write(t, dir, "secret", oauthtest.ClientSecret+"\n"),
		"POSTERN_AUTH_OAUTH_TIMEOUT=30s"))
}

// bearerMessage is what a client says, in base64.
func bearerMessage(mech, user, token string) string {
	text := "n,a=" + user + ",\x01host=localhost\x01port=993\x01auth=Bearer " + token + "\x01\x01"
	if mech == "XOAUTH2" {
		text = "user=" + user + "\x01auth=Bearer " + token + "\x01\x01"
	}
	return base64.StdEncoding.EncodeToString([]byte(text))
}

// TestTokens has connections by hand and real clients log in with tokens.
func TestTokens(t *testing.T) {
	t.Parallel()
	p := oauthtest.New(t)
	s := tokenServer(t, p)
	const user, other = "token@example.org", "clients@example.org"
	s.account(t, user)
	s.account(t, other)
	s.fill(t, user, 300, 2)
	s.fill(t, other, 300, 1)
	t.Run("by hand", func(t *testing.T) {
		t.Parallel()
		tokensByHand(t, s, p, user)
	})
	t.Run("by clients", func(t *testing.T) {
		t.Parallel()
		tokensByClients(t, s, p, other)
	})
	expired := p.Token(other, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()})
	for _, mech := range []string{"OAUTHBEARER", "XOAUTH2"} {
		tokenSteps(t, s, mech, bearerMessage(mech, other, expired))
	}
}

// tokensByHand logs in to both protocols by both mechanisms, with good tokens of every kind.
func tokensByHand(t *testing.T, s *server, p *oauthtest.Provider, user string) {
	t.Helper()
	long := p.Token(user, map[string]any{"groups": strings.Repeat("staff ", 1000)}) // some providers tell everything
	opaque := p.Opaque(p.Claims(user, map[string]any{"active": true}))
	for _, mech := range []string{"OAUTHBEARER", "XOAUTH2"} {
		imap := dialWire(t, s.imap)
		imap.say(t, "a CAPABILITY")
		if caps := imap.hear(t, "* CAPABILITY"); !strings.Contains(caps, " AUTH="+mech+" ") {
			t.Errorf("IMAP: %s", caps)
		}
		pop := dialWire(t, s.pop3)
		pop.say(t, "CAPA")
		if caps := pop.hear(t, "SASL "); !strings.Contains(caps, " "+mech+" ") {
			t.Errorf("POP3: %s", caps)
		}
		for _, token := range []string{p.Token(user, nil), long, opaque} {
			w := dialWire(t, s.imap)
			w.say(t, "a AUTHENTICATE %s %s", mech, bearerMessage(mech, user, token))
			w.hear(t, "a OK")
			w.lives(t)
			for _, initial := range []bool{true, false} {
				w = dialWire(t, s.pop3)
				if initial {
					w.say(t, "AUTH %s %s", mech, bearerMessage(mech, user, token))
				} else {
					w.say(t, "AUTH %s", mech)
					w.hear(t, "+ ")
					w.say(t, "%s", bearerMessage(mech, user, token))
				}
				w.hear(t, "+OK Logged in, 2 messages")
				w.say(t, "QUIT") // it would hold the maildrop
				w.ends(t)
			}
		}
	}
	if log := s.output(); strings.Contains(log, long) || strings.Contains(log, opaque) {
		t.Error("the log tells a token")
	}
}

// tokenSteps has an exchange end at each step, in each way: the session goes on.
func tokenSteps(t *testing.T, s *server, mech, bad string) {
	t.Helper()
	for _, tt := range []struct {
		name string
		say  []string // after the mechanism
		next string   // the command after
	}{
		{"cancelled", []string{"*"}, ""},
		{"left", []string{"c NOOP"}, "c OK"},
		{"refused", []string{bad, "AQ=="}, ""},
		{"refused, empty answer", []string{bad, ""}, ""},
		{"refused, cancelled", []string{bad, "*"}, ""},
		{"refused, left", []string{bad, "c NOOP"}, "c OK"},
	} {
		t.Run(mech+" "+tt.name, func(t *testing.T) {
			t.Parallel()
			w := dialWire(t, s.imap)
			w.say(t, "b AUTHENTICATE %s", mech)
			for _, line := range tt.say {
				w.hear(t, "+ ")
				w.say(t, "%s", line)
			}
			want := "b NO"
			if len(tt.say) > 1 {
				want = "b NO [AUTHENTICATIONFAILED]"
			}
			w.hear(t, want)
			if tt.next != "" {
				w.hear(t, tt.next)
			}
			w.lives(t)
		})
	}
	t.Run(mech+" POP3", func(t *testing.T) {
		t.Parallel()
		tokenStepsOfPOP3(t, s, mech, bad)
	})
}

func tokenStepsOfPOP3(t *testing.T, s *server, mech, bad string) {
	t.Helper()
	w := dialWire(t, s.pop3)
	w.say(t, "AUTH %s", mech)
	w.hear(t, "+ ")
	w.say(t, "%s", bad)
	challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(w.hear(t, "+ ")[2:]))
	if err != nil || !strings.Contains(string(challenge), `"status":`) || !strings.Contains(string(challenge), `"scope":"imap"`) {
		t.Errorf("%s: told %s, %v", mech, challenge, err)
	}
	w.say(t, "AQ==")
	w.hear(t, "-ERR [AUTH]")
	w.say(t, "AUTH %s %s", mech, bad)
	w.hear(t, "+ ")
	w.say(t, "CAPA")
	w.hear(t, "-ERR [AUTH]")
	w.hear(t, "+OK Capabilities")
}

// tokensByClients has Python's imaplib and poplib, and curl, log in with a token.
func tokensByClients(t *testing.T, s *server, p *oauthtest.Provider, user string) {
	t.Helper()
	dir, token := t.TempDir(), p.Token(user, nil)
	script := write(t, dir, "t.py", `
import base64, imaplib, poplib, ssl, sys
context = ssl._create_unverified_context()
host, imap, pop, user, token, stale = '127.0.0.1', int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5]
def xoauth2(token): return ('user=%s\x01auth=Bearer %s\x01\x01' % (user, token)).encode()
def bearer(token): return ('n,a=%s,\x01auth=Bearer %s\x01\x01' % (user, token)).encode()
for mech, say in ('XOAUTH2', xoauth2), ('OAUTHBEARER', bearer):
    M = imaplib.IMAP4_SSL(host, imap, ssl_context=context)
    try:
        told = []
        M.authenticate(mech, lambda c: (told.append(c), say(stale) if len(told) == 1 else b'')[1])
        raise SystemExit('a stale token has logged in')
    except imaplib.IMAP4.error as e:
        assert 'AUTHENTICATIONFAILED' in str(e), e
    assert b'status' in told[1], told
    M.authenticate(mech, lambda c: say(token)) # on the same connection, as clients do
    assert M.select()[1] == [b'1'], mech
    M.logout()
    P = poplib.POP3_SSL(host, pop, context=context)
    assert mech in P.capa()['SASL'], P.capa()
    P._shortcmd('AUTH %s %s' % (mech, base64.b64encode(say(token)).decode()))
    assert P.stat()[0] == 1, mech
    P.quit()
`)
	stale := p.Token(user, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()})
	command(t, dir, nil, "python3", script, port(s.imap), port(s.pop3), user, token, stale)
	for _, mech := range []string{"OAUTHBEARER", "XOAUTH2"} {
		for _, url := range []string{"imaps://" + s.imap + "/INBOX;MAILINDEX=1", "pop3s://" + s.pop3 + "/1"} {
			text := command(t, dir, nil, "curl", "-sSk", "--user", user+":", "--login-options", "AUTH="+mech, "--oauth2-bearer", token, url)
			if !strings.Contains(text, "Subject:") {
				t.Errorf("%s, %s: %q", mech, url, text)
			}
		}
	}
	if !await(func() bool { return strings.Contains(s.run(t, "", "account", "logins", user, "--json"), "OAUTHBEARER") }) {
		t.Error("the history knows of no token")
	}
}

// TestTokensWithoutProvider: the server starts without its provider; passwords log in as ever, tokens when it is back, with
// keys that have changed meanwhile.
func TestTokensWithoutProvider(t *testing.T) {
	t.Parallel()
	const user = "patient@example.org"
	p := oauthtest.New(t)
	silent := make(chan struct{})
	p.Instead(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-silent:
			http.Error(w, "away", http.StatusServiceUnavailable)
		case <-r.Context().Done():
		}
	})
	s := tokenServer(t, p, "POSTERN_IMAP_DISABLE=AUTH=XOAUTH2", "POSTERN_DATABASE_MAX_CONNS=4")
	s.account(t, user)
	token := p.Token(user, nil)
	for range 20 { // they wait for the provider, and hold nothing that others need
		dialWire(t, s.imap).say(t, "a AUTHENTICATE OAUTHBEARER %s", bearerMessage("OAUTHBEARER", user, token))
	}
	s.sessionOf(t, user, password, false)
	close(silent)
	imap, pop := dialWire(t, s.imap), dialWire(t, s.pop3)
	imap.say(t, "a AUTHENTICATE OAUTHBEARER %s", bearerMessage("OAUTHBEARER", user, token))
	imap.hear(t, "+ ")
	imap.say(t, "AQ==")
	imap.hear(t, "a NO [UNAVAILABLE]")
	pop.say(t, "AUTH XOAUTH2 %s", bearerMessage("XOAUTH2", user, token))
	pop.hear(t, "+ ")
	pop.say(t, "AQ==")
	pop.hear(t, "-ERR [SYS/TEMP]")
	s.sessionOf(t, user, password, false)

	imap.say(t, "a CAPABILITY") // what is disabled is not there
	if caps := imap.hear(t, "* CAPABILITY"); strings.Contains(caps, "XOAUTH2") || !strings.Contains(caps, " AUTH=OAUTHBEARER ") {
		t.Errorf("capabilities %s", caps)
	}
	imap.say(t, "b AUTHENTICATE XOAUTH2 %s", bearerMessage("XOAUTH2", user, token))
	imap.hear(t, "b NO [CANNOT]")

	p.Rotate()
	p.Instead(nil)
	if !await(func() bool {
		w := dialWire(t, s.imap)
		w.say(t, "a AUTHENTICATE OAUTHBEARER %s", bearerMessage("OAUTHBEARER", user, p.Token(user, nil)))
		line := w.hear(t, "")
		return strings.HasPrefix(line, "a OK")
	}) {
		t.Fatal("the provider is back, and nobody has noticed")
	}
	told := func() bool { // what the server prints comes by a pipe
		log := s.output()
		return strings.Count(log, "provider cannot be used") == 1 && strings.Count(log, "provider is back") == 1
	}
	if !await(told) {
		t.Errorf("log: %s", s.output())
	}
	if text := metricsOf(t, s); !strings.Contains(text, `postern_oauth_tokens_total{result="ok"}`) ||
		!strings.Contains(text, `postern_oauth_requests_total{request="discovery",result="error"}`) {
		t.Errorf("metrics: %s", text)
	}
}

func metricsOf(t *testing.T, s *server) string {
	t.Helper()
	resp, err := http.Get("http://" + s.http + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
