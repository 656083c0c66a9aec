package gateway_test

import (
	"crypto/tls"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/xdg-go/scram"
)

// scramClient is the client's side of an exchange on this connection.
func (w *wire) scramClient(t *testing.T, user, secret string, plus bool) *scram.ClientConversation {
	t.Helper()
	client, err := scram.SHA256.NewClient(user, secret, "")
	if err != nil {
		t.Fatal(err)
	}
	if !plus {
		return client.NewConversation()
	}
	state := w.Conn.(*tls.Conn).ConnectionState()
	b, err := scram.NewTLSExporterBinding(&state)
	if err != nil {
		t.Fatal(err)
	}
	return client.NewConversationWithChannelBinding(b)
}

// answer answers challenges until there are no more, and returns the line after.
func (w *wire) answer(t *testing.T, conv *scram.ClientConversation) string {
	t.Helper()
	for {
		line := strings.TrimSpace(w.hear(t, ""))
		text, ok := strings.CutPrefix(line+" ", "+ ")
		if !ok {
			return line
		}
		challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil {
			t.Fatal(err)
		}
		said, err := conv.Step(string(challenge))
		if err != nil {
			t.Fatal(err)
		}
		w.say(t, "%s", base64.StdEncoding.EncodeToString([]byte(said)))
	}
}

// TestSCRAMClients logs in to both protocols with and without binding, with the right and a wrong password; also with keys that
// were made at a login.
func TestSCRAMClients(t *testing.T) {
	t.Parallel()
	const user, imported = "scram@example.org", "imported@example.org"
	shared.account(t, user)
	// SHA-512-CRYPT of the tests' password.
	const hash = "$6$saltstring$dBHc6z5hpSlx63LLGnlt2xpSGH7T2QL7PJTCjPwajfWh/K10OPeGyl0Oe5VoIANbBgC0gNnRFVE.3uO/lesxj/"
	shared.run(t, hash+"\n", "account", "add", imported, "--hash-stdin")
	shared.sessionOf(t, imported, password, false)
	for _, plus := range []bool{false, true} {
		mech := "SCRAM-SHA-256"
		if plus {
			mech += "-PLUS"
		}
		for _, tt := range []struct{ user, secret, imap, pop3 string }{
			{user, password, "b OK", "+OK"},
			{imported, password, "b OK", "+OK"},
			{user, "wrong", "b NO [AUTHENTICATIONFAILED]", "-ERR [AUTH]"},
		} {
			w := dialWire(t, shared.imap)
			w.say(t, "a CAPABILITY")
			if caps := w.hear(t, "* CAPABILITY"); !strings.Contains(caps, " AUTH="+mech+" ") {
				t.Errorf("IMAP: %s", caps)
			}
			w.hear(t, "a OK")
			w.say(t, "b AUTHENTICATE %s", mech)
			if line := w.answer(t, w.scramClient(t, tt.user, tt.secret, plus)); !strings.HasPrefix(line, tt.imap) {
				t.Errorf("%s of %s with %q: %s", mech, tt.user, tt.secret, line)
			}
			w = dialWire(t, shared.pop3)
			w.say(t, "AUTH %s", mech)
			if line := w.answer(t, w.scramClient(t, tt.user, tt.secret, plus)); !strings.HasPrefix(line, tt.pop3) {
				t.Errorf("POP3: %s of %s with %q: %s", mech, tt.user, tt.secret, line)
			}
			w.say(t, "QUIT") // it would hold the maildrop
			w.ends(t)
		}
	}
}

// TestSCRAMAborted ends the exchange at each step, with "*" and with the next command: the session goes on.
func TestSCRAMAborted(t *testing.T) {
	t.Parallel()
	for step := range 2 {
		for _, by := range []string{"*", "c NOOP"} {
			w := dialWire(t, shared.imap)
			w.say(t, "b AUTHENTICATE SCRAM-SHA-256")
			conv := w.scramClient(t, "nobody@example.org", password, false)
			for range step {
				w.hear(t, "+")
				said, err := conv.Step("")
				if err != nil {
					t.Fatal(err)
				}
				w.say(t, "%s", base64.StdEncoding.EncodeToString([]byte(said)))
			}
			w.hear(t, "+")
			w.say(t, "%s", by)
			w.hear(t, "b NO")
			if by != "*" {
				w.hear(t, "c OK")
			}
			w.lives(t)
		}
	}
}

// TestSCRAMAppPasswords logs in to both protocols by SCRAM with app passwords, where the own password cannot (a hash made
// elsewhere, app passwords only) and where it can, before and after it has been changed; within the scope only, until it is revoked.
func TestSCRAMAppPasswords(t *testing.T) {
	t.Parallel()
	const user = "scram-apps@example.org"
	const hash = "$6$saltstring$dBHc6z5hpSlx63LLGnlt2xpSGH7T2QL7PJTCjPwajfWh/K10OPeGyl0Oe5VoIANbBgC0gNnRFVE.3uO/lesxj/"
	shared.run(t, hash+"\n", "account", "add", user, "--hash-stdin")
	shared.run(t, "", "account", "set", user, "--app-passwords-only")
	both := shared.run(t, "", "apppass", "add", user, "--name", "both")
	imapOnly := shared.run(t, "", "apppass", "add", user, "--name", "imap", "--scope", "imap")
	login := func(secret string, plus bool, imapSays, pop3Says string) *wire {
		t.Helper()
		mech := map[bool]string{false: "SCRAM-SHA-256", true: "SCRAM-SHA-256-PLUS"}[plus]
		pop := dialWire(t, shared.pop3)
		pop.say(t, "AUTH %s", mech)
		if line := pop.answer(t, pop.scramClient(t, user, secret, plus)); !strings.HasPrefix(line, pop3Says) {
			t.Errorf("POP3: %s: %s, want %s", mech, line, pop3Says)
		}
		pop.say(t, "QUIT") // it would hold the maildrop
		pop.ends(t)
		w := dialWire(t, shared.imap)
		w.say(t, "b AUTHENTICATE %s", mech)
		if line := w.answer(t, w.scramClient(t, user, secret, plus)); !strings.HasPrefix(line, imapSays) {
			t.Errorf("IMAP: %s: %s, want %s", mech, line, imapSays)
		}
		return w
	}
	login(both, false, "b OK", "+OK")
	login(imapOnly, true, "b OK", "-ERR [AUTH]")
	login(password, false, "b NO [AUTHENTICATIONFAILED]", "-ERR [AUTH]")

	shared.run(t, "", "account", "set", user, "--app-passwords-only=false")
	shared.run(t, password+" of today\n", "account", "passwd", user, "--password-stdin")
	login(password+" of today", true, "b OK", "+OK")
	shared.run(t, password+" of tomorrow\n", "account", "passwd", user, "--password-stdin")
	login(password+" of tomorrow", false, "b OK", "+OK")
	session := login(both, true, "b OK", "+OK")
	shared.run(t, "", "apppass", "revoke", user, "both")
	session.ends(t)
	login(both, false, "b NO [AUTHENTICATIONFAILED]", "-ERR [AUTH]")
	if !await(func() bool { return strings.Contains(shared.run(t, "", "apppass", "list", user), "127.0.0.1") }) {
		t.Error("the last use is not listed")
	}
}
