package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"postern/pkg/store"
)

// TestSCRAMApps logs in by SCRAM with app passwords, on accounts whose own password does not do that and on others.
func TestSCRAMApps(t *testing.T) {
	t.Parallel()
	another, err := newSCRAMKeys(right, NewSalt())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*stage)
		phone  func(*AppPassword)
		spell  func(string) string
		err    error
		reason string
	}{
		{name: "beside the own"},
		{name: "without keys of the own", change: func(s *stage) { s.dir.change(alice, func(c *Credential) { c.SCRAM = "" }) }},
		{name: "a hash made elsewhere", change: func(s *stage) { s.dir.change(alice, func(c *Credential) { c.SCRAM, c.Secret = "", "$2b$x" }) }},
		{name: "app passwords only", change: func(s *stage) { s.dir.change(alice, func(c *Credential) { c.AppOnly = true }) }},
		{name: "a code needed", change: func(s *stage) { s.dir.change(alice, s.needCode) }},
		{name: "own keys of another salt", change: func(s *stage) {
			s.dir.change(alice, func(c *Credential) { c.SCRAM = another })
		}},
		{name: "in scope", phone: func(p *AppPassword) { p.Scope = []string{"imap", "pop3"} }},
		{name: "out of scope", phone: func(p *AppPassword) { p.Scope = []string{"imap"} }, err: ErrDenied, reason: "app password is not for this protocol"},
		{name: "expired", phone: func(p *AppPassword) { p.Expires = time.Unix(1e9, 0) }, err: ErrDenied, reason: "app password has expired"},
		{name: "revoked", change: func(s *stage) { s.dir.revoke() }, err: ErrDenied, reason: "wrong password"},
		{
			name: "disabled", change: func(s *stage) { s.dir.change(alice, func(c *Credential) { c.Disabled = true }) },
			err: ErrDenied, reason: "account disabled",
		},
		{name: "made before there were keys", phone: func(p *AppPassword) { p.SCRAM = "" }, err: ErrDenied, reason: "wrong password"},
		{name: "broken keys", phone: func(p *AppPassword) { p.SCRAM = "SCRAM-SHA-256$1:x" }, err: ErrDenied, reason: "wrong password"},
		{name: "not as it is shown", spell: strings.ToUpper, err: ErrDenied, reason: "wrong password"},
		{name: "the directory away", change: func(s *stage) { s.dir.appsErr = fmt.Errorf("%w: x", store.ErrUnavailable) }, err: store.ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.scramUser(right)
			for range 3 { // others
				s.phone(func(p *AppPassword) { p.ID = 8 })
			}
			if tt.phone == nil {
				tt.phone = nothing
			}
			password := s.phone(tt.phone)
			if tt.spell != nil {
				password = tt.spell(password)
			}
			if tt.change != nil {
				tt.change(s)
			}
			id, err := s.speak(Peer{Addr: home, TLS: true, Protocol: "pop3"}, scramSHA256, alice, "", password, unbound, nil)
			if !errors.Is(err, tt.err) || err == nil && (id.Account != 1 || id.App != 7) {
				t.Fatalf("%+v, %v; want %v", id, err, tt.err)
			}
			if tt.reason != "" || err == nil {
				s.checkLine(tt.reason)
			}
		})
	}
}

// TestSCRAMAppBound: an app password is bound to the connection like any other.
func TestSCRAMAppBound(t *testing.T) {
	t.Parallel()
	server, client := channels(t, 0)
	_, other := channels(t, 0)
	for _, tt := range []struct {
		at  Channel
		err error
	}{{client, nil}, {other, ErrDenied}} {
		s := newStage(t)
		s.scramUser(right)
		password := s.phone(nothing)
		p := Peer{Addr: home, TLS: true, Protocol: "imap", Channel: server}
		bound := func(c *scram.Client) *scram.ClientConversation {
			return c.NewConversationWithChannelBinding(exporter(t, tt.at))
		}
		if _, err := s.speak(p, scramSHA256Plus, alice, "", password, bound, nil); !errors.Is(err, tt.err) {
			t.Errorf("%v, want %v", err, tt.err)
		}
	}
}

// TestSCRAMSaltStays: the salt of an account is that of all its passwords, and of those to come.
func TestSCRAMSaltStays(t *testing.T) {
	t.Parallel()
	salt := NewSalt()
	own, err := NewSecrets(right, salt)
	if err != nil {
		t.Fatal(err)
	}
	_, app, err := NewAppPassword(salt)
	if err != nil {
		t.Fatal(err)
	}
	if SaltOf(own.SCRAM) != salt || SaltOf(app.SCRAM) != salt || own.SCRAM == app.SCRAM {
		t.Errorf("%q, %q, %q", salt, own.SCRAM, app.SCRAM)
	}
	fresh, err := NewSecrets(right, "")
	if err != nil || SaltOf(fresh.SCRAM) == "" || SaltOf(fresh.SCRAM) == salt {
		t.Errorf("%q, %v", fresh.SCRAM, err)
	}
	for _, bad := range []Salt{"x", "4096", "4096:", "0:AAAA", "4096:!", "2000000:AAAA", ":AAAA"} {
		if _, err := newSCRAMKeys(right, bad); err == nil {
			t.Errorf("%q is a salt", bad)
		}
	}
}

// TestSCRAMNoOracle: a stranger who repeats a guess cannot tell by answers and delays whether there is the account, whether it is
// one whose password does not log in, nor whether it was right.
func TestSCRAMNoOracle(t *testing.T) {
	t.Parallel()
	hear := func(user, password string, change func(*stage)) (heard []string) {
		s := newStage(t)
		s.scramUser(right)
		s.phone(nothing)
		if change != nil {
			change(s)
		}
		client, err := scram.SHA256.NewClient(user, password, "") // which keeps its keys: they are most of the work
		if err != nil {
			t.Fatal(err)
		}
		for range 22 { // more than the twenty that ban an address
			_, err := s.converse(Peer{Addr: home, TLS: true, Protocol: "imap"}, scramSHA256, client.NewConversation(), nil)
			heard = append(heard, fmt.Sprint(errors.Is(err, ErrDenied), s.delays[len(s.delays)-1]))
		}
		return heard
	}
	want := hear(alice, "wrong", nil)
	disabled := func(s *stage) { s.dir.change(alice, func(c *Credential) { c.Disabled = true }) }
	code := func(s *stage) { s.dir.change(alice, s.needCode) }
	for name, got := range map[string][]string{
		"unknown":         hear("nobody@example.org", "wrong", nil),
		"disabled, right": hear(alice, right, disabled),
		"disabled, wrong": hear(alice, "wrong", disabled),
		"code, right":     hear(alice, right, code),
		"code, wrong":     hear(alice, "wrong", code),
	} {
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n%v, want\n%v", name, got, want)
		}
	}
}
