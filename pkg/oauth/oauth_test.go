package oauth

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"postern/pkg/auth"
	"postern/pkg/oauth/oauthtest"
)

const alice = "alice@example.org"

// stage is a Validator with a clock that stands still until one moves it, and its provider.
type stage struct {
	*Validator
	t    *testing.T
	p    *oauthtest.Provider
	logs *observer.ObservedLogs

	mu   sync.Mutex
	time time.Time // guarded by mu
}

func newStage(t *testing.T, change ...func(*Options)) *stage {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	s := &stage{t: t, p: oauthtest.New(t), logs: logs, time: time.Now()}
	opt := Options{
		Issuers: []string{s.p.Issuer()}, Audiences: []string{"postern", oauthtest.Audience}, Roots: s.p.Roots(),
		ClientID: oauthtest.ClientID, ClientSecret: oauthtest.ClientSecret,
		Timeout: 30 * time.Second, Log: zap.New(core), Now: s.now,
	}
	for _, c := range change {
		c(&opt)
	}
	s.Validator = New(opt)
	return s
}

func (s *stage) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.time
}

func (s *stage) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.time = s.time.Add(d)
}

// want checks a token: why is the fault expected, "" for none, "away" for a provider that cannot be asked.
func (s *stage) want(why, token string) auth.Token {
	s.t.Helper()
	got, err := s.Check(s.t.Context(), token)
	var fault *auth.TokenFault
	switch {
	case err == nil && why == "", errors.As(err, &fault) && fault.Why == why:
	case err != nil && fault == nil && why == "away":
	default:
		s.t.Fatalf("Check = %+v, %v; want %q", got, err, why)
	}
	if err != nil && strings.Contains(err.Error(), token) {
		s.t.Errorf("the error tells the token: %v", err)
	}
	return got
}

func needScope(o *Options) { o.Scopes = []string{"imap"} }

// TestCheck has signed tokens of every kind.
func TestCheck(t *testing.T) {
	t.Parallel()
	s := newStage(t, needScope)
	soon := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	for _, tt := range []struct {
		name   string
		change map[string]any
		why    string
	}{
		{"right", nil, ""},
		{"audience is one text", map[string]any{"aud": "postern"}, ""},
		{"verified in a text", map[string]any{"email_verified": "true"}, ""},
		{"verified or not", map[string]any{"email_verified": nil}, ""},
		{"scopes in a list", map[string]any{"scope": nil, "scp": []string{"mail", "imap"}}, ""},
		{"just expired", map[string]any{"exp": soon(-10 * time.Second)}, ""},
		{"expired", map[string]any{"exp": soon(-2 * time.Minute)}, "token has expired"},
		{"nearly valid", map[string]any{"nbf": soon(10 * time.Second)}, ""},
		{"not valid yet", map[string]any{"nbf": soon(2 * time.Minute)}, "token is not valid yet"},
		{"from the future", map[string]any{"iat": soon(time.Hour)}, "token is not valid yet"},
		{"for ever", map[string]any{"exp": nil}, "token never expires"},
		{"other issuer", map[string]any{"iss": "https://elsewhere.example.org"}, "token is from another issuer"},
		{"nearly the issuer", map[string]any{"iss": s.p.Issuer() + "/"}, "token is from another issuer"},
		{"no issuer", map[string]any{"iss": nil}, "token is from another issuer"},
		{"other audience", map[string]any{"aud": "shop"}, "token is for another audience"},
		{"no audience", map[string]any{"aud": nil}, "token is for another audience"},
		{"other scope", map[string]any{"scope": "openid imapx"}, "token lacks a scope"},
		{"no scope", map[string]any{"scope": nil}, "token lacks a scope"},
		{"not verified", map[string]any{"email_verified": false}, "the provider has not verified the address"},
		{"not verified, in a text", map[string]any{"email_verified": "false"}, "the provider has not verified the address"},
		{"no mailbox", map[string]any{"email": nil}, "token names no mailbox"},
		{"mailbox is a number", map[string]any{"email": 1}, "token names no mailbox"},
		{"claims of a wrong kind", map[string]any{"exp": "tomorrow"}, "token cannot be read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.want(tt.why, s.p.Token(alice, tt.change))
			if tt.why == "" && (!slices.Equal(got.Mailboxes, []string{alice}) || !got.Expires.IsZero()) {
				t.Errorf("%+v", got)
			}
		})
	}
	if n := s.p.Requests("/keys"); n != 1 {
		t.Errorf("%d requests for keys", n)
	}
}

// TestKinds: what may be anybody's invention is told from what the issuer has made.
func TestKinds(t *testing.T) {
	t.Parallel()
	s := newStage(t, needScope)
	for _, tt := range []struct {
		token string
		want  auth.TokenFault
	}{
		{s.p.Token(alice, map[string]any{"exp": 1e9}), auth.TokenFault{Why: "token has expired", Genuine: true, Expired: true}},
		{s.p.Token(alice, map[string]any{"scope": "x"}), auth.TokenFault{Why: "token lacks a scope", Genuine: true, Scope: true}},
		{s.p.Token(alice, map[string]any{"aud": "x"}), auth.TokenFault{Why: "token is for another audience", Genuine: true}},
		{oauthtest.New(t).Token(alice, map[string]any{"exp": 1e9}), auth.TokenFault{Why: "token is from another issuer"}},
	} {
		var got *auth.TokenFault
		if _, err := s.Check(t.Context(), tt.token); !errors.As(err, &got) || *got != tt.want {
			t.Errorf("%v, want %+v", err, tt.want)
		}
	}
}

// TestForged has tokens that the issuer has not signed.
func TestForged(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	good := s.p.Token(alice, nil)
	head, rest, _ := strings.Cut(good, ".")
	body, signature, _ := strings.Cut(rest, ".")
	der, err := x509.MarshalPKIXPublicKey(s.p.Public())
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	hs := func(secret []byte) string {
		return s.p.Sign(jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: secret, KeyID: "1"}}, s.p.Claims(alice, nil))
	}
	imposter := oauthtest.New(t)
	const unsigned, algorithm, unread = "token is not signed by a key of the issuer", "token is signed by an algorithm that is not taken", "token cannot be read"
	for _, tt := range []struct{ name, token, why string }{
		{"none", s.p.Unsigned(s.p.Claims(alice, nil)), algorithm},
		{"HS256 with the public key", hs(der), algorithm},
		{"HS256 with the public key in PEM", hs(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), algorithm},
		{"another's key of the same name", imposter.Token(alice, map[string]any{"iss": s.p.Issuer()}), unsigned},
		{"unknown key", s.p.Sign(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: stranger, KeyID: "x"}}, s.p.Claims(alice, nil)), unsigned},
		{"unknown key without a name", s.p.Sign(jose.SigningKey{Algorithm: jose.RS256, Key: stranger}, s.p.Claims(alice, nil)), unsigned},
		{"signature of another token", head + "." + body + "." + s.p.Token("bob@example.org", nil)[len(head)+len(body)+2:], unsigned},
		{"signature cut off", head + "." + body + ".", unsigned},
		{"signature is short", head + "." + body + "." + signature[:10], unsigned},
		{"body is no JSON", head + ".e30x." + signature, unread},
		{"body is empty", head + ".e30." + signature, "token is from another issuer"},
		{"garbage", "ey.x.y", unread},
		{"garbage that is base64", "eyJ9.eyJ9.eyJ9", unread},
		{"two parts", head + "." + body, "token is no JWT, and introspection is off"},
		{"nothing", "x", "token is no JWT, and introspection is off"},
		{"long", "ey" + strings.Repeat("A", 9000) + ".x.y", unread},
	} {
		t.Run(tt.name, func(t *testing.T) { s.want(tt.why, tt.token) })
	}
	s.want("", good)
	if n := s.p.Requests("/keys"); n != 1 { // an invention does not have us ask again and again
		t.Errorf("%d requests for keys", n)
	}
}

// TestRotation: a new key is found when it is first used; one that is told no more is forgotten within the hour.
func TestRotation(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.want("", s.p.Token(alice, nil))
	old := s.p.Token(alice, map[string]any{"exp": time.Now().Add(48 * time.Hour).Unix()})
	s.p.Rotate()
	s.want("token is not signed by a key of the issuer", s.p.Token(alice, nil)) // asked a moment ago
	s.pass(restFor)
	s.want("", s.p.Token(alice, nil))
	s.want("token is not signed by a key of the issuer", old)

	s.p.Rotate()
	s.pass(freshFor)
	later := s.p.Token(alice, map[string]any{"exp": s.now().Add(time.Minute).Unix()})
	s.want("", later)
	if n := s.p.Requests("/keys"); n != 3 {
		t.Errorf("%d requests for keys", n)
	}
}

// TestAway: without a provider nothing is refused or let in; it is asked less and less often; and what it has said before
// counts for a day.
func TestAway(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	gone := func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, strings.Repeat("gone ", 1000), http.StatusBadGateway)
	}
	s.p.Instead(gone)
	token := s.p.Token(alice, map[string]any{"exp": time.Now().Add(72 * time.Hour).Unix()})
	if err := s.Warm(t.Context()); err != nil {
		t.Error(err)
	}
	for range 10 {
		s.want("away", token)
	}
	const path = "/.well-known/openid-configuration"
	if n := s.p.Requests(path); n != 1 {
		t.Errorf("asked %d times", n)
	}
	for range 5 {
		s.pass(longRest)
		s.want("away", token)
	}
	if n := s.p.Requests(path); n != 6 {
		t.Errorf("asked %d times", n)
	}
	lines := s.logs.TakeAll()
	if len(lines) != 1 || lines[0].Message != "provider cannot be used" || len(lines[0].ContextMap()["error"].(string)) > 2*maxReason {
		t.Errorf("log: %v", lines)
	}

	s.p.Instead(nil)
	s.pass(longRest)
	s.want("", token)
	if lines := s.logs.TakeAll(); len(lines) != 1 || lines[0].Message != "provider is back" {
		t.Errorf("log: %v", lines)
	}
	s.p.Instead(gone)
	s.pass(2 * freshFor)
	s.want("", token)
	s.p.Rotate() // a key that we cannot know now is no reason to refuse
	s.want("away", s.p.Token(alice, map[string]any{"exp": time.Now().Add(72 * time.Hour).Unix()}))
	s.want("", token)
	s.pass(usableFor)
	s.want("away", token)
}

// TestAwayForLong: that nothing is known is no fault of a token, however long it took to find that out.
func TestAwayForLong(t *testing.T) {
	t.Parallel()
	var late *stage
	s := newStage(t, func(o *Options) {
		o.Introspection = Opaque
		o.Now = func() time.Time { // each look finds that a minute has gone by
			late.pass(longRest)
			return late.now()
		}
	})
	late = s
	s.p.Instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	s.want("away", s.p.Token(alice, nil))
	s.want("away", s.p.Opaque(map[string]any{"active": true}))
}

// TestSlow: a provider that does not answer costs a login the time limit and nothing after it, others least of all.
func TestSlow(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(o *Options) { o.Timeout = 20 * time.Millisecond; o.Introspection = Opaque })
	// The provider lives until its requests have ended: one that is not given up has the test hang.
	s.p.Instead(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s.want("away", s.p.Token(alice, nil))
	s.pass(longRest)
	s.want("away", s.p.Opaque(map[string]any{"active": true}))
	if len(s.asking) != 0 || len(s.providers[s.p.Issuer()].turn) != 0 {
		t.Error("somebody is still waiting")
	}
}

// TestOneAsks: many logins at once make one question.
func TestOneAsks(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	token := s.p.Token(alice, nil)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := s.Check(context.Background(), token); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := s.p.Requests("/keys"); n != 1 {
		t.Errorf("%d requests for keys", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p := s.providers[s.p.Issuer()]
	p.turn <- struct{}{} // somebody is asking
	s.pass(usableFor)
	cancel()
	if _, err := s.Check(ctx, token); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestConfigurations has providers that say of themselves what cannot be.
func TestConfigurations(t *testing.T) {
	t.Parallel()
	for _, said := range []string{
		"", "[]", `{"issuer":"https://elsewhere.example.org"}`, `{"issuer":"ISSUER"}`, `{"issuer":"ISSUER","jwks_uri":"http://127.0.0.1/keys"}`,
		`{"issuer":"ISSUER","jwks_uri":"ISSUER/x"}`, `{"issuer":"ISSUER","jwks_uri":"ISSUER/keys","introspection_endpoint":"http://x/"}`,
	} {
		s := newStage(t)
		s.p.Instead(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/x" {
				http.Redirect(w, r, "/keys", http.StatusFound)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(strings.ReplaceAll(said, "ISSUER", s.p.Issuer())))
		})
		s.want("away", s.p.Token(alice, nil))
		if s.logs.Len() != 1 {
			t.Errorf("%s: log %v", said, s.logs.All())
		}
	}
}
