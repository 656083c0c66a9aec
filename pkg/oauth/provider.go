package oauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"
)

const (
	freshFor  = time.Hour        // what a provider has said is not asked for again
	usableFor = 24 * time.Hour   // and goes on counting when it cannot be
	restFor   = 10 * time.Second // between two questions, however many tokens have a key that we do not know
	firstRest = time.Second      // after a failure, growing with each
	longRest  = time.Minute
	maxReason = 300 // octets of an error that are kept: some repeat what the provider said
)

// provider is an issuer of tokens and what is known of it. It is safe for concurrent use.
type provider struct {
	issuer string
	client *http.Client
	opt    *Options
	turn   chan struct{} // holds a token while the provider is asked

	mu       sync.Mutex
	known    *knowledge // guarded by mu; nil: nothing
	next     time.Time  // guarded by mu; it is not asked before
	failures int        // guarded by mu; in a row
	err      error      // guarded by mu; of the last question
}

// knowledge is what a provider says of itself. It does not change.
type knowledge struct {
	keys       []jose.JSONWebKey
	introspect string // URL, or ""
	at         time.Time
}

func newProvider(issuer string, client *http.Client, opt *Options) *provider {
	return &provider{issuer: issuer, client: client, opt: opt, turn: make(chan struct{}, 1)}
}

// urgency says whether a provider is to be asked.
type urgency int

const (
	notNow urgency = iota
	sometime
	first // before anything else
)

// recall returns what is known, if it still counts, and whether to ask.
func (p *provider) recall(suffices func(*knowledge) bool) (*knowledge, urgency, error) {
	p.mu.Lock()
	known, next, err := p.known, p.next, p.err
	p.mu.Unlock()
	now := p.opt.Now()
	if known != nil && now.Sub(known.at) >= usableFor {
		known = nil
	}
	enough := known != nil && suffices(known)
	switch {
	case enough && now.Sub(known.at) < freshFor:
		return known, notNow, nil
	case enough && now.Before(next):
		return known, notNow, nil
	case enough:
		return known, sometime, nil
	case now.Before(next) && err != nil: // it may be that what is missing is there by now
		return nil, notNow, err
	case now.Before(next):
		return known, notNow, nil
	}
	return known, first, nil
}

// know returns what is known of the provider, after asking it if that does not suffice, which it may not do afterwards either.
// Of what is old one caller asks for the new; the others go on with it. The last call of suffices is with what is returned.
func (p *provider) know(ctx context.Context, suffices func(*knowledge) bool) (*knowledge, error) {
	known, how, err := p.recall(suffices)
	switch how {
	case notNow:
		return known, err
	case sometime:
		select {
		case p.turn <- struct{}{}:
		default:
			return known, nil
		}
	case first:
		select {
		case p.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %s: %w", p.issuer, ctx.Err())
		}
	}
	defer func() { <-p.turn }()
	if known, how, err = p.recall(suffices); how == notNow { // another has asked meanwhile
		return known, err
	}
	learned, err := p.learn(ctx)
	switch {
	case err == nil:
		suffices(learned)
		return learned, nil
	case known != nil && suffices(known):
		return known, nil
	}
	return nil, err
}

// learn asks the provider. It is not the client's to break off: the others who wait would think the provider away.
func (p *provider) learn(ctx context.Context) (*knowledge, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.opt.Timeout)
	defer cancel()
	known, err := p.fetch(ctx)
	p.opt.Metrics.asked("discovery", err)
	now := p.opt.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.err
	if p.err = err; err == nil {
		p.known, p.failures, p.next = known, 0, now.Add(restFor)
		if was != nil {
			p.opt.Log.Info("provider is back", zap.String("issuer", p.issuer))
		}
		return known, nil
	}
	p.err = fmt.Errorf("provider %s: %s", p.issuer, short(err))
	p.next = now.Add(min(firstRest<<min(p.failures, 10), longRest))
	p.failures++
	if was == nil {
		p.opt.Log.Warn("provider cannot be used", zap.Error(p.err))
	}
	return nil, p.err
}

func short(err error) string {
	text := err.Error()
	return text[:min(len(text), maxReason)]
}

// fetch reads what the provider says of itself (OpenID Connect Discovery §4) and its keys (RFC 7517 §5).
func (p *provider) fetch(ctx context.Context) (*knowledge, error) {
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.issuer)
	if err != nil {
		return nil, err
	}
	var said struct {
		Keys       string `json:"jwks_uri"`
		Introspect string `json:"introspection_endpoint"`
	}
	if err := found.Claims(&said); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	known := &knowledge{introspect: said.Introspect, at: p.opt.Now()}
	if said.Introspect != "" && !isHTTPS(said.Introspect) {
		return nil, errors.New("the endpoint of introspection is not a URL with https")
	}
	if said.Keys == "" && p.opt.Introspection == Opaque { // a server of OAuth that signs nothing
		return known, nil
	}
	if known.keys, err = p.fetchKeys(ctx, said.Keys); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return known, nil
}

func isHTTPS(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "https" && u.Host != ""
}

func (p *provider) fetchKeys(ctx context.Context, from string) ([]jose.JSONWebKey, error) {
	if !isHTTPS(from) {
		return nil, errors.New("jwks_uri is not a URL with https")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	resp, err := p.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
		return nil, err
	}
	return usable(set.Keys), nil
}

// usable are the keys that can verify a signature; those of a kind that we do not know are none of our business.
func usable(raw []json.RawMessage) (keys []jose.JSONWebKey) {
	for _, text := range raw {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(text) != nil || key.Use != "" && key.Use != "sig" {
			continue
		}
		switch key.Key.(type) { // never a secret one: with HS256 whoever can verify can sign
		case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
			keys = append(keys, key)
		}
	}
	return keys
}
