package gateway

import (
	"fmt"

	"postern/pkg/config"
	"postern/pkg/oauth"
)

// newTokens makes what checks access tokens, or nil if none are taken.
func newTokens(o Options) (*oauth.Validator, error) {
	metrics := oauth.NewMetrics(o.Registry)
	c := &o.Config.Auth.OAuth
	if len(c.Issuers) == 0 {
		return nil, nil
	}
	opt, err := oauthOptions(c)
	if err != nil {
		return nil, err
	}
	opt.Log, opt.Metrics = o.Log.Named("oauth"), metrics
	return oauth.New(opt), nil
}

// oauthOptions puts the settings into the words of package oauth.
func oauthOptions(c *config.OAuth) (opt oauth.Options, err error) {
	opt = oauth.Options{
		Issuers: c.Issuers, Audiences: c.Audiences, Claim: c.Claim, Scopes: c.Scopes,
		Introspection: oauth.Introspection(c.Introspection), Endpoint: c.Endpoint, ClientID: c.ClientID,
		Timeout: c.Timeout, EndSessions: c.EndSessions,
	}
	if opt.Roots, err = readRoots(c.RootsFile); err != nil {
		return opt, fmt.Errorf("auth.oauth.roots_file: %w", err)
	}
	if opt.ClientSecret, err = readSecret(c.ClientSecretFile); err != nil {
		return opt, fmt.Errorf("auth.oauth.client_secret_file: %w", err)
	}
	return opt, nil
}
