package oauth

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"
)

// TestIntrospection has every answer about a token.
func TestIntrospection(t *testing.T) {
	t.Parallel()
	s := newStage(t, needScope, func(o *Options) { o.Introspection = Opaque; o.Claim = "username" })
	said := func(change map[string]any) map[string]any {
		c := map[string]any{"active": true, "username": alice}
		for k, v := range change {
			c[k] = v
		}
		return s.p.Claims(alice, c)
	}
	const unreadable = "what the provider says of the token cannot be read"
	for _, tt := range []struct {
		name   string
		change map[string]any
		why    string
	}{
		{"right", nil, ""},
		{"only what must be", map[string]any{"iss": nil, "exp": nil, "iat": nil, "nbf": nil, "email": nil}, ""},
		{"for a client of ours", map[string]any{"aud": nil, "client_id": "postern"}, ""},
		{"for another client", map[string]any{"aud": nil, "client_id": "game"}, "token is for another audience"},
		{"for nobody", map[string]any{"aud": nil}, "token is for another audience"},
		{"inactive", map[string]any{"active": false}, "token is not active"},
		{"active in a text", map[string]any{"active": "true"}, "token is not active"},
		{"other issuer", map[string]any{"iss": "https://elsewhere.example.org"}, "token is from another issuer"},
		{"expired", map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, "token has expired"},
		{"times in texts", map[string]any{"exp": fmt.Sprint(time.Now().Add(time.Hour).Unix()), "iat": "1000000000", "nbf": "1000000000"}, ""},
		{"expired, in a text", map[string]any{"exp": fmt.Sprint(time.Now().Add(-time.Hour).Unix())}, "token has expired"},
		{"a time that is none", map[string]any{"exp": "tomorrow"}, unreadable},
		{"a time in a list", map[string]any{"exp": []int{1}}, unreadable},
		{"an issuer in a list", map[string]any{"iss": []string{"x"}}, unreadable},
		{"other scope", map[string]any{"scope": "openid"}, "token lacks a scope"},
		{"no mailbox", map[string]any{"username": nil}, "token names no mailbox"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.want(tt.why, s.p.Opaque(said(tt.change)))
			if tt.why == "" && !slices.Equal(got.Mailboxes, []string{alice}) {
				t.Errorf("%+v", got)
			}
		})
	}
	s.want("token is not active", "nobody-knows-it")
	s.want("", s.p.Token(alice, map[string]any{"username": alice})) // nobody need be asked about a JWT
}

// TestAnswersAreKept: one question in a minute, or until the token expires.
func TestAnswersAreKept(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(o *Options) { o.Introspection = Opaque })
	token := s.p.Opaque(s.p.Claims(alice, map[string]any{"active": true}))
	short := s.p.Opaque(s.p.Claims(alice, map[string]any{"active": true, "exp": s.now().Add(20 * time.Second).Unix()}))
	asked := func(want int) {
		t.Helper()
		if n := s.p.Requests("/introspect"); n != want {
			t.Fatalf("asked %d times, want %d", n, want)
		}
	}
	for range 3 {
		s.want("", token)
		s.want("", short)
		s.want("token is not active", "x")
	}
	asked(3)
	s.p.Answer(token, map[string]any{"active": false}) // withdrawn
	s.p.Answer(short, map[string]any{"active": false})
	s.pass(30 * time.Second)
	s.want("", token)
	s.want("token is not active", short)
	asked(4)
	s.pass(answerFor)
	s.want("token is not active", token)
	asked(5)

	for i := range 2 * maxAnswers {
		s.asked.put(string(rune(i)), &claims{})
	}
	if n := len(s.asked.byToken); n > maxAnswers {
		t.Errorf("%d answers are kept", n)
	}
}

// TestIntrospectAlways: the provider is asked about what it has signed too, after that has been found good.
func TestIntrospectAlways(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(o *Options) { o.Introspection = Always; o.EndSessions = true })
	good, withdrawn := s.p.Token(alice, nil), s.p.Token(alice, map[string]any{"jti": "2"})
	s.p.Answer(good, map[string]any{"active": true})
	if got := s.want("", good); got.Expires.IsZero() {
		t.Errorf("%+v", got)
	}
	s.want("token is not active", withdrawn)
	s.want("token is signed by an algorithm that is not taken", s.p.Unsigned(s.p.Claims(alice, nil)))
	if n := s.p.Requests("/introspect"); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

// TestIntrospectionAway: whoever cannot be asked, or will not answer us, refuses nobody.
func TestIntrospectionAway(t *testing.T) {
	t.Parallel()
	ask := func(o *Options) { o.Introspection = Opaque }
	s := newStage(t, ask, func(o *Options) { o.ClientSecret = "wrong" })
	s.want("away", s.p.Opaque(map[string]any{"active": true}))
	s = newStage(t, ask)
	s.want("token is not active", "x") // the endpoint is known
	s.p.Instead(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) })
	s.want("away", "y")
	s.p.Instead(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect) // our secret does not go there
	})
	s.want("away", "z")
	if n := s.p.Requests("/elsewhere"); n != 0 {
		t.Errorf("%d requests elsewhere", n)
	}
	other := newStage(t, ask, func(o *Options) { o.Endpoint = s.p.Issuer() + "/introspect"; o.Roots = s.p.Roots() })
	s.p.Instead(nil)
	other.want("", s.p.Opaque(other.p.Claims(alice, map[string]any{"active": true})))
	if n := other.p.Requests("/.well-known/openid-configuration"); n != 0 {
		t.Errorf("%d requests for an endpoint that is set", n)
	}
}
