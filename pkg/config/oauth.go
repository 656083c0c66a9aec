package config

import (
	"fmt"
	"net/url"
	"strings"
)

// oauthSettings are those of logins with access tokens.
var oauthSettings = []setting{
	{
		key: "auth.oauth.issuers",
		doc: "Providers of OpenID Connect whose access tokens log in (OAUTHBEARER, XOAUTH2), as they call themselves in tokens:\n" +
			"[\"https://login.example.org/realms/staff\"]. Each may log in to every account. Default: none, and tokens are not taken.",
		field: func(c *Config) any { return &c.Auth.OAuth.Issuers },
	},
	{
		key:   "auth.oauth.audiences",
		doc:   "Whom a token must be for: one of these. Needed with issuers; without, a token for any other service would read mail.",
		field: func(c *Config) any { return &c.Auth.OAuth.Audiences },
	},
	{
		key: "auth.oauth.claim", preset: "email",
		doc:   "What in a token names the mailbox: the address of an account, or a list of them. \"email\" does not count where the provider\nsays that it has not verified it.",
		field: func(c *Config) any { return &c.Auth.OAuth.Claim },
	},
	{
		key:   "auth.oauth.scopes",
		doc:   "What a token must be good for: all of these. Clients whose token is refused are told of them.",
		field: func(c *Config) any { return &c.Auth.OAuth.Scopes },
	},
	{
		key: "auth.oauth.introspection", preset: "off", oneOf: []string{"off", "opaque", "always"},
		doc:   "Ask the provider about tokens (RFC 7662): never, about those that we cannot read ourselves (opaque), or about all (always),\nso that withdrawn ones are refused. Answers are used for a minute.",
		field: func(c *Config) any { return &c.Auth.OAuth.Introspection },
	},
	{
		key:   "auth.oauth.introspection_endpoint",
		doc:   "Where to ask. Default: what the provider says.",
		field: func(c *Config) any { return &c.Auth.OAuth.Endpoint },
	},
	{
		key:   "auth.oauth.client_id",
		doc:   "Who we are to the provider when we ask.",
		field: func(c *Config) any { return &c.Auth.OAuth.ClientID },
	},
	{
		key:   "auth.oauth.client_secret_file",
		doc:   "A file that holds our secret for that.",
		field: func(c *Config) any { return &c.Auth.OAuth.ClientSecretFile },
	},
	{
		key:   "auth.oauth.roots_file",
		doc:   "Certificates to trust when talking to providers, PEM, for a CA of your own. Default: those of the system.",
		field: func(c *Config) any { return &c.Auth.OAuth.RootsFile },
	},
	{
		key: "auth.oauth.timeout", preset: "5s",
		doc:   "How long a provider may take to answer while a login waits.",
		field: func(c *Config) any { return &c.Auth.OAuth.Timeout },
	},
	{
		key: "auth.oauth.end_sessions", preset: "false",
		doc:   "End a session when the token expires that has begun it: mostly within the hour. Default: it goes on, as one begun with a\npassword does.",
		field: func(c *Config) any { return &c.Auth.OAuth.EndSessions },
	},
}

// checkOAuth looks at what tokens need, if they are taken.
func (l *loader) checkOAuth(c *Config) {
	o := &c.Auth.OAuth
	if len(o.Issuers) == 0 {
		l.check(c, "auth.oauth.issuers", len(o.Audiences) == 0 && o.Introspection == "off",
			"is needed with the other settings of auth.oauth")
		for _, m := range c.Auth.Mechanisms {
			token := strings.EqualFold(m, "OAUTHBEARER") || strings.EqualFold(m, "XOAUTH2")
			l.check(c, "auth.mechanisms", !token, m+" needs auth.oauth.issuers")
		}
		return
	}
	for _, issuer := range o.Issuers {
		u, ok := secureURL(issuer)
		l.check(c, "auth.oauth.issuers", ok && u.RawQuery == "" && u.Fragment == "",
			fmt.Sprintf("%q is not a URL with https and without a query (OpenID Connect Discovery §3)", issuer))
	}
	l.check(c, "auth.oauth.audiences", len(o.Audiences) > 0,
		"is needed: the name by which the provider knows this service, as tokens have it in \"aud\"")
	l.check(c, "auth.oauth.claim", o.Claim != "", "is needed")
	for _, scope := range o.Scopes {
		l.check(c, "auth.oauth.scopes", !strings.ContainsAny(scope, " \t\"\\"), fmt.Sprintf("%q is no scope (RFC 6749 §3.3): they are a list", scope))
	}
	l.checkReadable(c, "auth.oauth.roots_file", o.RootsFile)
	l.checkIntrospection(c)
}

func (l *loader) checkIntrospection(c *Config) {
	o := &c.Auth.OAuth
	if o.Introspection == "off" {
		l.check(c, "auth.oauth.introspection", o.Endpoint == "" && o.ClientID == "" && o.ClientSecretFile == "",
			"is off, so that auth.oauth.introspection_endpoint, client_id and client_secret_file do nothing: set it to opaque or always")
		return
	}
	l.check(c, "auth.oauth.introspection", len(o.Issuers) == 1, "asks one provider: name one in auth.oauth.issuers, or set it to off")
	_, ok := secureURL(o.Endpoint)
	l.check(c, "auth.oauth.introspection_endpoint", o.Endpoint == "" || ok, fmt.Sprintf("%q is not a URL with https", o.Endpoint))
	l.check(c, "auth.oauth.client_id", o.ClientID != "", "is needed with auth.oauth.introspection")
	if l.check(c, "auth.oauth.client_secret_file", o.ClientSecretFile != "", "is needed with auth.oauth.introspection") {
		l.checkReadable(c, "auth.oauth.client_secret_file", o.ClientSecretFile)
	}
}

func secureURL(text string) (*url.URL, bool) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, false
	}
	return u, u.Scheme == "https" && u.Host != "" && u.User == nil
}
