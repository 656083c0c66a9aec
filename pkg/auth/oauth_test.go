package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"

	"postern/pkg/store"
)

// issued are tokens by their names, and what is wrong with them.
type issued map[string]any

func (i issued) Check(_ context.Context, token string) (Token, error) {
	switch said := i[token].(type) {
	case Token:
		return said, nil
	case error:
		return Token{}, said
	}
	return Token{}, &TokenFault{Why: "unknown token"}
}

func (i issued) Hint() TokenHint {
	return TokenHint{Scope: "imap", Configuration: "https://login.example.org/.well-known/openid-configuration"}
}

var tokens = issued{
	"good":    Token{Mailboxes: []string{alice}},
	"other":   Token{Mailboxes: []string{"Alice@Example.ORG."}},
	"several": Token{Mailboxes: []string{"bob@example.org", alice}},
	"ending":  Token{Mailboxes: []string{alice}, Expires: time.Unix(2e9, 0)},
	"bob":     Token{Mailboxes: []string{"bob@example.org"}},
	"nobody":  Token{Mailboxes: []string{"nobody@example.org"}},
	"nul":     Token{Mailboxes: []string{"a\x00b"}},
	"expired": &TokenFault{Why: "token has expired", Genuine: true, Expired: true},
	"narrow":  &TokenFault{Why: "token lacks a scope", Genuine: true, Scope: true},
	"away":    errors.New("no route to provider"),
}

func withTokens(o *Options) { o.Tokens = tokens }

// bearerMessage is what a client says.
func bearerMessage(mech, user, token string) []byte {
	if mech == xoauth2 {
		return []byte("user=" + user + "\x01auth=Bearer " + token + "\x01\x01")
	}
	_, m, err := sasl.NewOAuthBearerClient(&sasl.OAuthBearerOptions{Username: user, Token: token, Host: "mail.example.org", Port: 993}).Start()
	if err != nil {
		panic(err) // it cannot
	}
	return m
}

// bear runs an exchange; the client answers what it is asked after its message with dummy.
func (s *stage) bear(from netip.Addr, mech, user, token string, dummy func([]byte) ([]byte, error)) (Identity, error) {
	s.t.Helper()
	p := Peer{Addr: from, TLS: true, Protocol: "pop3"}
	return s.Exchange(s.t.Context(), p, mech, bearerMessage(mech, user, token), dummy)
}

// TestToken has every kind of token, by both mechanisms: what comes of it, what the client is told, and the one line in the log.
func TestToken(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		user, token string
		err         error
		reason      string
		status      string // of OAUTHBEARER, and of XOAUTH2
	}{
		{alice, "good", nil, "", ""},
		{"ALICE@example.org", "good", nil, "", ""},
		{alice, "other", nil, "", ""},
		{"", "good", nil, "", ""},
		{alice, "several", nil, "", ""},
		{alice, "ending", nil, "", ""},
		{"", "several", ErrDenied, "token has several mailboxes, and the client does not say which", "invalid_token 401"},
		{"bob@example.org", "good", ErrDenied, "token is another's", "invalid_token 401"},
		{"alice", "good", ErrDenied, "token is another's", "invalid_token 401"},
		{"nobody@example.org", "good", ErrDenied, "token is another's", "invalid_token 401"},
		{"bob@example.org", "bob", ErrDenied, "account disabled", "invalid_token 401"},
		{"", "bob", ErrDenied, "account disabled", "invalid_token 401"},
		{"nobody@example.org", "nobody", ErrDenied, "unknown user", "invalid_token 401"},
		{"", "nobody", ErrDenied, "unknown user", "invalid_token 401"},
		{"", "nul", ErrDenied, "name is not text", "invalid_token 401"},
		{alice, "expired", ErrDenied, "token has expired", "invalid_token 401"},
		{alice, "narrow", ErrDenied, "token lacks a scope", "insufficient_scope 403"},
		{alice, "forged", ErrDenied, "unknown token", "invalid_token 401"},
		{"\xff", "good", ErrDenied, "name is not text", "invalid_request 400"},
		{strings.Repeat("a", 500), "good", ErrDenied, "name or password too long", "invalid_request 400"},
		{alice, "away", store.ErrUnavailable, "", "temporarily_unavailable 503"},
	} {
		for i, mech := range []string{"OAUTHBEARER", "XOAUTH2"} {
			t.Run(fmt.Sprintf("%s %.20q %s", mech, tt.user, tt.token), func(t *testing.T) {
				t.Parallel()
				s := newStage(t, withTokens)
				var told struct {
					Status, Scope, Schemes string
					Configuration          string `json:"openid-configuration"`
				}
				id, err := s.bear(home, mech, tt.user, tt.token, func(challenge []byte) ([]byte, error) {
					if told.Status != "" {
						t.Error("asked twice")
					}
					return []byte("\x01"), json.Unmarshal(challenge, &told)
				})
				if !errors.Is(err, tt.err) || (err == nil) != (id.Account == 1 && id.User == alice && id.NoPassword) {
					t.Fatalf("%+v, %v; want %v", id, err, tt.err)
				}
				if tt.token == "ending" && id.Expires.IsZero() {
					t.Error("it does not expire")
				}
				want := append(strings.Fields(tt.status), "", "")[i]
				if told.Status != want || want != "" && (told.Scope != "imap" || (told.Configuration != "") != (i == 0)) {
					t.Errorf("told %+v, want %q", told, want)
				}
				if errors.Is(tt.err, store.ErrUnavailable) {
					if s.logs.Len() > 0 || len(s.delays) > 0 {
						t.Errorf("log %v, delays %v", s.logs.All(), s.delays)
					}
					return
				}
				s.checkLine(tt.reason)
				if strings.Contains(fmt.Sprint(s.logs.All()), tt.token+"\x01") {
					t.Error("the log tells the token")
				}
			})
		}
	}
}

// TestTokenStays: the session of a token goes on when the password changes, and ends with the account.
func TestTokenStays(t *testing.T) {
	t.Parallel()
	s := newStage(t, withTokens)
	s.dir.change(alice, func(c *Credential) { c.AppOnly = true })
	id, err := s.bear(home, xoauth2, alice, "good", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.dir.change(alice, func(c *Credential) { c.Epoch++ })
	if ok, err := s.still(t.Context(), id); !ok || err != nil {
		t.Errorf("still: %v, %v", ok, err)
	}
	s.dir.change(alice, func(c *Credential) { c.Disabled = true })
	if ok, err := s.still(t.Context(), id); ok || err != nil {
		t.Errorf("still, disabled: %v, %v", ok, err)
	}
}

// TestTokenSteps aborts the exchange at each step, in each way.
func TestTokenSteps(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection lost")
	for _, mech := range []string{"OAUTHBEARER", "XOAUTH2"} {
		s := newStage(t, withTokens)
		p := Peer{Addr: home, TLS: true, Protocol: "pop3"}
		run := func(first []byte, said ...any) error {
			_, err := s.Exchange(t.Context(), p, mech, first, func([]byte) ([]byte, error) {
				next := said[0]
				said = said[1:]
				if err, ok := next.(error); ok {
					return nil, err
				}
				return next.([]byte), nil
			})
			if len(said) > 0 {
				t.Errorf("%s: not asked for %q", mech, said)
			}
			return err
		}
		good, bad := bearerMessage(mech, alice, "good"), bearerMessage(mech, alice, "forged")
		for _, tt := range []struct {
			name  string
			first []byte
			said  []any
			want  error
		}{
			{"no initial response", nil, []any{good}, nil},
			{"cancelled before the message", nil, []any{ErrCancelled}, ErrCancelled},
			{"lost before the message", nil, []any{broken}, broken},
			{"refused, the dummy answer", bad, []any{[]byte{1}}, ErrDenied},
			{"refused, an empty answer", bad, []any{[]byte{}}, ErrDenied},
			{"refused, some answer", nil, []any{bad, []byte("whatever")}, ErrDenied},
			{"refused, cancelled", bad, []any{ErrCancelled}, ErrDenied},
			{"refused, lost", bad, []any{broken}, ErrDenied},
			{"an empty message", []byte{}, []any{[]byte{1}}, ErrCancelled},
			{"the dummy answer at once", []byte{1}, []any{[]byte{1}}, ErrCancelled},
			{"too long", []byte(strings.Repeat("x", maxTokenMessage+1)), nil, ErrCancelled},
			{"the longest", bearerMessage(mech, alice, strings.Repeat("x", 10<<10)), []any{[]byte{1}}, ErrDenied},
		} {
			if err := run(tt.first, tt.said...); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Errorf("%s, %s: %v, want %v", mech, tt.name, err, tt.want)
			}
		}
	}
}

// TestTokenThrottle: what has been invented counts, once each; what has expired does not, and what the issuer has made counts
// once, however often there is a new one.
func TestTokenThrottle(t *testing.T) {
	t.Parallel()
	dummy := func([]byte) ([]byte, error) { return []byte{1}, nil }
	s := newStage(t, withTokens)
	try := func(user, token string, want error) {
		t.Helper()
		if _, err := s.bear(home, xoauth2, user, token, dummy); !errors.Is(err, want) {
			t.Fatalf("%s with %s: %v, want %v", user, token, err, want)
		}
	}
	for range 1000 {
		try(alice, "expired", ErrDenied)
		try(alice, "narrow", ErrDenied)
		try(alice, "stale", ErrDenied)
	}
	s.want(nil, home, alice, right)
	for i := range 100 { // the owner is known here by now
		try(alice, fmt.Sprint("guess", i), ErrDenied)
	}
	try(alice, "good", nil)

	s = newStage(t, withTokens)
	for i := range 20 {
		try("carol@example.org", fmt.Sprint("guess", i), ErrDenied)
	}
	try("carol@example.org", "guess20", ErrThrottled)
	try(alice, "good", ErrThrottled) // a stranger, from an address that is banned
	s.want(ErrThrottled, home, alice, right)

	s = newStage(t, withTokens)
	try(alice, "good", nil)
	try("", "good", nil)
	for i := range 20 {
		try("carol@example.org", fmt.Sprint("guess", i), ErrDenied)
	}
	try(alice, "good", nil) // whoever guesses from the owner's address does not keep the owner out
	try("", "good", nil)

	s = newStage(t, withTokens)
	s.wrong(10, netip.MustParseAddr("198.51.100.7"), alice) // a token is nothing that they have come nearer to
	try(alice, "good", nil)
}

// TestTokensOffered: where there is a provider, over TLS.
func TestTokensOffered(t *testing.T) {
	t.Parallel()
	s := newStage(t, withTokens)
	want := []string{"SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN"}
	if got := s.Mechanisms(Peer{TLS: true}); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if got := s.Mechanisms(Peer{}); got != nil {
		t.Errorf("without TLS: %v", got)
	}
	only := newStage(t, withTokens, func(o *Options) { o.Mechanisms = []string{"XOAUTH2"} })
	if got := only.Mechanisms(Peer{TLS: true}); !slices.Equal(got, []string{"XOAUTH2"}) {
		t.Errorf("only: %v", got)
	}
	none := newStage(t)
	if _, err := none.bear(home, xoauth2, alice, "good", nil); !errors.Is(err, ErrMechanism) {
		t.Errorf("none: %v", err)
	}
}
