// Package oauthtest is an OpenID Connect provider for tests: it tells about itself, signs tokens, changes its keys, answers
// questions about tokens, and can be away or slow.
package oauthtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Who may ask about tokens, and whom they are for.
const (
	ClientID     = "postern:1"
	ClientSecret = "s3cret/%"
	Audience     = "mail"
)

// Provider is one that has a key. It is safe for concurrent use.
type Provider struct {
	t      testing.TB
	server *httptest.Server

	mu       sync.Mutex
	key      crypto.Signer
	kid      int
	keys     []jose.JSONWebKey         // that are told
	opaque   map[string]map[string]any // tokens, and what there is to say about them
	requests map[string]int            // by path
	handle   http.HandlerFunc          // instead; nil: none
}

// New starts a provider that lives as long as the test.
func New(t testing.TB) *Provider {
	t.Helper()
	p := &Provider{t: t, opaque: make(map[string]map[string]any), requests: make(map[string]int)}
	p.Rotate()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.configuration)
	mux.HandleFunc("GET /keys", p.tellKeys)
	mux.HandleFunc("POST /introspect", p.introspect)
	p.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.requests[r.URL.Path]++
		handle := p.handle
		p.mu.Unlock()
		if handle == nil {
			handle = mux.ServeHTTP
		}
		handle(w, r)
	}))
	t.Cleanup(p.server.Close)
	return p
}

// Issuer is what the provider calls itself.
func (p *Provider) Issuer() string { return p.server.URL }

// Roots are what to trust when talking to it.
func (p *Provider) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.server.Certificate())
	return pool
}

// PEM is the same for a file.
func (p *Provider) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw}))
}

// Instead has h answer everything, or, with nil, the provider again.
func (p *Provider) Instead(h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handle = h
}

// Requests is how many there were to a path.
func (p *Provider) Requests(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests[path]
}

// Rotate has a new key sign from now on, and the former ones not be told any more.
func (p *Provider) Rotate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kid++
	p.key = key
	p.keys = []jose.JSONWebKey{{Key: key.Public(), KeyID: fmt.Sprint(p.kid), Algorithm: "ES256", Use: "sig"}}
}

// Public is the key that is told.
func (p *Provider) Public() crypto.PublicKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.key.Public()
}

// Claims are those of a good token for a mailbox; change may spoil them, nil takes one away.
func (p *Provider) Claims(mailbox string, change map[string]any) map[string]any {
	now := time.Now()
	claims := map[string]any{
		"iss": p.Issuer(), "aud": []string{Audience, "account"}, "sub": "1234", "email": mailbox, "email_verified": true,
		"scope": "openid imap", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}
	maps.Copy(claims, change)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// Token signs claims.
func (p *Provider) Token(mailbox string, change map[string]any) string {
	p.mu.Lock()
	key := jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.key, KeyID: fmt.Sprint(p.kid)}}
	p.mu.Unlock()
	return p.Sign(key, p.Claims(mailbox, change))
}

// Sign signs claims with any key.
func (p *Provider) Sign(key jose.SigningKey, claims map[string]any) string {
	p.t.Helper()
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		p.t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return token
}

// Unsigned is a token by the algorithm "none".
func (p *Provider) Unsigned(claims map[string]any) string {
	text, err := json.Marshal(claims)
	if err != nil {
		p.t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(text) + "."
}

// Opaque makes a token that says nothing by itself.
func (p *Provider) Opaque(said map[string]any) string {
	token := rand.Text()
	p.Answer(token, said)
	return token
}

// Answer has the provider say something about a token from now on.
func (p *Provider) Answer(token string, said map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opaque[token] = said
}

func (p *Provider) configuration(w http.ResponseWriter, _ *http.Request) {
	p.tell(w, map[string]any{
		"issuer": p.Issuer(), "jwks_uri": p.Issuer() + "/keys", "introspection_endpoint": p.Issuer() + "/introspect",
		"id_token_signing_alg_values_supported": []string{"ES256"},
	})
}

func (p *Provider) tellKeys(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	keys := p.keys
	p.mu.Unlock()
	p.tell(w, jose.JSONWebKeySet{Keys: keys})
}

// introspect answers those who say who they are (RFC 7662 §2).
func (p *Provider) introspect(w http.ResponseWriter, r *http.Request) {
	if id, secret, _ := r.BasicAuth(); id != "postern%3A1" || secret != "s3cret%2F%25" { // form-encoded, RFC 6749 §2.3.1
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	p.mu.Lock()
	said, ok := p.opaque[r.PostFormValue("token")]
	p.mu.Unlock()
	if !ok {
		said = map[string]any{"active": false}
	}
	p.tell(w, said)
}

func (p *Provider) tell(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		p.t.Error(err)
	}
}
