package oauth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4/json"

	"postern/pkg/auth"
)

const (
	answerFor  = time.Minute // what a provider has said about a token
	maxAnswers = 10_000      // tokens
)

// ask has the provider say what a token is worth (RFC 7662), or says what it said a moment ago. There is one provider then.
func (v *Validator) ask(ctx context.Context, token string) (*claims, error) {
	if c, ok := v.asked.get(token); ok {
		return c.active()
	}
	ctx, cancel := context.WithTimeout(ctx, v.opt.Timeout)
	defer cancel()
	p := v.providers[v.opt.Issuers[0]]
	endpoint := v.opt.Endpoint
	if endpoint == "" {
		known, err := p.know(ctx, func(k *knowledge) bool { return k.introspect != "" })
		if err != nil {
			return nil, err
		}
		if endpoint = known.introspect; endpoint == "" {
			return nil, fmt.Errorf("provider %s names no endpoint of introspection", p.issuer)
		}
	}
	select {
	case v.asking <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to ask about a token: %w", ctx.Err())
	}
	defer func() { <-v.asking }()
	c, err := v.introspect(ctx, endpoint, token)
	v.opt.Metrics.asked("introspection", err)
	var unreadable *auth.TokenFault
	switch {
	case errors.As(err, &unreadable):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("introspection at %s: %s", endpoint, short(err))
	}
	if c.Issuer != "" && c.Issuer != p.issuer {
		return nil, fault("token is from another issuer")
	}
	v.asked.put(token, c)
	return c.active()
}

func (v *Validator) introspect(ctx context.Context, endpoint, token string) (*claims, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	r.SetBasicAuth(url.QueryEscape(v.opt.ClientID), url.QueryEscape(v.opt.ClientSecret)) // RFC 6749 §2.3.1
	resp, err := v.providers[v.opt.Issuers[0]].client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	c, err := readAnswer(resp.Body)
	if err != nil {
		return nil, err
	}
	// Whose client the token was made for counts as its audience if none is named (RFC 7662 §2.2): what was made for any other
	// client must not read mail.
	if len(c.Audience) == 0 {
		c.Audience = c.words("client_id")
	}
	return c, nil
}

// readAnswer reads what a provider says of a token. What is no answer at all means that it cannot be asked; one in which a claim is
// of another kind than it must be is about this token, and tells nothing of others. Times come as texts from some.
func readAnswer(r io.Reader) (*claims, error) {
	var all map[string]any
	if err := json.NewDecoder(r).Decode(&all); err != nil {
		return nil, err
	}
	for _, name := range []string{"exp", "nbf", "iat"} {
		text, ok := all[name].(string)
		if at, err := strconv.ParseInt(text, 10, 64); ok && err == nil {
			all[name] = at
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	c := &claims{asked: true}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, flaw("what the provider says of the token cannot be read")
	}
	return c, nil
}

// active returns the claims of a token that is. Of the others the provider says nothing, not even whether they ever were.
func (c *claims) active() (*claims, error) {
	if c.all["active"] != true {
		return nil, fault("token is not active")
	}
	return c, nil
}

// answers remembers what a provider has said about tokens, but no token. It is safe for concurrent use.
type answers struct {
	now func() time.Time

	mu      sync.Mutex
	byToken map[[sha256.Size]byte]answer // guarded by mu
}

type answer struct {
	*claims
	until time.Time
}

func newAnswers(now func() time.Time) *answers {
	return &answers{now: now, byToken: make(map[[sha256.Size]byte]answer)}
}

func (a *answers) get(token string) (*claims, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	found, ok := a.byToken[sha256.Sum256([]byte(token))]
	return found.claims, ok && a.now().Before(found.until)
}

// put remembers for a minute, and no longer than the token is good.
func (a *answers) put(token string, c *claims) {
	now := a.now()
	until := now.Add(answerFor)
	if c.Expiry != nil && c.Expiry.Time().Before(until) {
		until = c.Expiry.Time()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.byToken) >= maxAnswers {
		a.makeRoom(now)
	}
	a.byToken[sha256.Sum256([]byte(token))] = answer{c, until}
}

// makeRoom forgets what is over, and if that is nothing, all: it can be asked again. It needs mu.
func (a *answers) makeRoom(now time.Time) {
	for key, found := range a.byToken {
		if !now.Before(found.until) {
			delete(a.byToken, key)
		}
	}
	if len(a.byToken) >= maxAnswers {
		clear(a.byToken)
	}
}
