package gateway_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/hotp"
)

// codeAt is the code of a time step.
func codeAt(t *testing.T, secret string, step int64) string {
	t.Helper()
	code, err := hotp.GenerateCode(secret, uint64(step))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// secondFactor has an account need codes, and returns their secret and the step of the one it was confirmed with.
func (s *server) secondFactor(t *testing.T, user string) (secret string, step int64) {
	t.Helper()
	line, _, _ := strings.Cut(s.run(t, "", "totp", "add", user), "\n")
	u, err := url.Parse(line)
	if err != nil || u.Scheme != "otpauth" {
		t.Fatalf("%q: %v", line, err)
	}
	secret = u.Query().Get("secret")
	if _, err := s.postern("", "totp", "confirm", user, "12345"); err == nil {
		t.Error("confirmed with something else")
	}
	step = time.Now().Unix() / 30
	s.run(t, "", "totp", "confirm", user, codeAt(t, secret, step))
	return secret, step
}

// TestSecondFactorLogin adds a second factor while there are sessions, and logs in with and without.
func TestSecondFactorLogin(t *testing.T) {
	t.Parallel()
	const user = "codes@example.org"
	shared.account(t, user)
	app := shared.run(t, "", "apppass", "add", user, "--name", "tablet")
	own, phone := shared.sessionOf(t, user, password, true), shared.sessionOf(t, user, app, false)
	secret, step := shared.secondFactor(t, user)
	own.ends(t)
	phone.lives(t)
	pop := shared.popSession(t, user, app)
	pop.say(t, "QUIT") // the maildrop is for one at a time
	pop.hear(t, "+OK")
	var shown struct {
		SecondFactor string `json:"second_factor"`
	}
	if err := json.Unmarshal([]byte(shared.run(t, "", "account", "show", user, "--json")), &shown); err != nil || shown.SecondFactor != "on" {
		t.Errorf("%+v, %v", shown, err)
	}
	shared.refused(t, user, password)
	shared.refused(t, user, password+codeAt(t, secret, step)) // it has confirmed the secret
	next := password + codeAt(t, secret, step+1)
	shared.sessionOf(t, user, next, false).lives(t)
	shared.refused(t, user, next)

	shared.run(t, "", "totp", "remove", user)
	shared.sessionOf(t, user, password, false).lives(t)
	secret, step = shared.secondFactor(t, user)
	shared.popSession(t, user, password+codeAt(t, secret, step+1))
	if out := shared.output(); strings.Contains(out, secret) || strings.Contains(out, next) {
		t.Error("a secret is in the log")
	}
}

// refused expects a password to be, by IMAP and POP3.
func (s *server) refused(t *testing.T, user, password string) {
	t.Helper()
	w := dialWire(t, s.imap)
	w.say(t, "b LOGIN %s \"%s\"", user, password)
	w.hear(t, "b NO [AUTHENTICATIONFAILED]")
	pop := dialWire(t, s.pop3)
	pop.say(t, "USER %s", user)
	pop.hear(t, "+OK")
	pop.say(t, "PASS %s", password)
	pop.hear(t, "-ERR [AUTH]")
}
