package oauth

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"postern/pkg/auth"
)

// Options says whose tokens are taken. Issuers and Audiences are required; what is zero takes its default.
type Options struct {
	Issuers   []string // of tokens, as they call themselves; HTTPS
	Audiences []string // a token must be for one of these
	Claim     string   // that names the mailbox; default "email"
	Scopes    []string // a token must have all of them

	Introspection Introspection
	Endpoint      string // of introspection; default: what the provider says
	ClientID      string // who we are to the provider when we ask it about a token
	ClientSecret  string

	Roots       *x509.CertPool // whom to trust when talking to providers; nil: whom the system trusts
	Timeout     time.Duration  // for a provider to answer; default 5 s
	EndSessions bool           // sessions end when the token does that has begun them

	Log     *zap.Logger // nil: none
	Metrics *Metrics    // nil: nothing is counted
	Now     func() time.Time
}

// Introspection says which tokens the provider is asked about.
type Introspection string

// Off asks about none, so that only JWTs are taken; Opaque about those that are no JWTs; Always about all.
const (
	Off    Introspection = "off"
	Opaque Introspection = "opaque"
	Always Introspection = "always"
)

// Validator is the auth.Tokens of OpenID Connect. It is safe for concurrent use.
type Validator struct {
	opt       Options
	providers map[string]*provider // by issuer
	asked     *answers             // about tokens
	asking    chan struct{}        // holds a token for each question under way
}

var _ auth.Tokens = (*Validator)(nil)

// maxAsking is how many logins ask about their token at once; more wait, as long as the provider may take.
const maxAsking = 64

// New returns a Validator that has asked nobody yet.
func New(opt Options) *Validator {
	opt.Claim = cmp.Or(opt.Claim, "email")
	opt.Introspection = cmp.Or(opt.Introspection, Off)
	opt.Timeout = cmp.Or(opt.Timeout, 5*time.Second)
	if opt.Log == nil {
		opt.Log = zap.NewNop()
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	v := &Validator{
		opt: opt, providers: make(map[string]*provider), asked: newAnswers(opt.Now), asking: make(chan struct{}, maxAsking),
	}
	client := newClient(opt.Roots)
	for _, issuer := range opt.Issuers {
		v.providers[issuer] = newProvider(issuer, client, &v.opt)
	}
	return v
}

// Warm asks all providers once, so that whoever reads the log learns at the start what is wrong, and the first login need not
// wait. What comes of it has been logged, and is tried again when somebody logs in: it is never an error.
func (v *Validator) Warm(ctx context.Context) error {
	if v == nil {
		return nil
	}
	var all sync.WaitGroup
	for _, p := range v.providers {
		all.Go(func() { _, _ = p.know(ctx, func(*knowledge) bool { return true }) })
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done(): // the questions end by their own limit
	}
	return nil
}

// Hint implements auth.Tokens.
func (v *Validator) Hint() auth.TokenHint {
	return auth.TokenHint{Scope: strings.Join(v.opt.Scopes, " "), Configuration: configurationURL(v.opt.Issuers[0])}
}

// Check implements auth.Tokens.
func (v *Validator) Check(ctx context.Context, token string) (auth.Token, error) {
	t, err := v.check(ctx, token)
	v.opt.Metrics.checked(resultOf(err))
	return t, err
}

func resultOf(err error) string {
	var fault *auth.TokenFault
	switch {
	case err == nil:
		return resultOK
	case !errors.As(err, &fault):
		return resultError
	case fault.Expired:
		return resultExpired
	}
	return resultRefused
}

func (v *Validator) check(ctx context.Context, token string) (auth.Token, error) {
	signed := isJWT(token)
	var c *claims
	var err error
	switch {
	case signed:
		c, err = v.read(ctx, token)
	case v.opt.Introspection == Off:
		err = fault("token is no JWT, and introspection is off")
	default:
		c, err = v.ask(ctx, token)
	}
	if err == nil {
		err = c.judge(&v.opt)
	}
	if err == nil && signed && v.opt.Introspection == Always { // it may have been withdrawn
		_, err = v.ask(ctx, token)
	}
	if err != nil {
		return auth.Token{}, err
	}
	t := auth.Token{Mailboxes: c.words(v.opt.Claim)}
	if c.Expiry != nil && v.opt.EndSessions {
		t.Expires = c.Expiry.Time().Add(leeway)
	}
	return t, nil
}

// isJWT tells a JWT from a token that means nothing to us: it is in three parts, of which the first is an object.
func isJWT(token string) bool {
	return strings.HasPrefix(token, "ey") && strings.Count(token, ".") == 2
}

// fault is that of a token which may be anybody's invention.
func fault(why string) error { return &auth.TokenFault{Why: why} }

// flaw is that of a token which the issuer has made.
func flaw(why string) error { return &auth.TokenFault{Why: why, Genuine: true} }

// configurationURL is where a provider tells about itself (OpenID Connect Discovery §4).
func configurationURL(issuer string) string {
	return strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
}

// newClient makes what providers are asked with. It follows no redirection: with one, a secret would go where nobody has said
// that it may go.
func newClient(roots *x509.CertPool) *http.Client {
	return &http.Client{
		Transport:     newTransport(roots),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
