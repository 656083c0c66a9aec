package config

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// ldapSettings are those of logins with the passwords of an LDAP directory.
var ldapSettings = slices.Concat([]setting{
	{
		key: "auth.ldap.urls",
		doc: "Servers of an LDAP directory that knows the passwords of the users of some domains, asked in this order: \"ldaps://host\",\n" +
			"\"ldap://host\" with StartTLS, or \"ldapi:///path\" of a socket. Default: none.",
		field: func(c *Config) any { return &c.Auth.LDAP.URLs },
	},
	{
		key: "auth.ldap.starttls", preset: "true",
		doc:   "Begin TLS with ldap:// before anything is said. It can be left out for servers on this machine only.",
		field: func(c *Config) any { return &c.Auth.LDAP.StartTLS },
	},
	{
		key: "auth.ldap.dn",
		doc: "Name of a user's entry, where it follows from the address: \"uid={local},ou=people,dc=example,dc=org\". {address}, {local}\n" +
			"and {domain} stand for anna@example.org, anna and example.org. Otherwise leave it empty, and set base and filter.",
		field: func(c *Config) any { return &c.Auth.LDAP.DN },
	},
	{
		key:   "auth.ldap.base",
		doc:   "Entry below which a user's is searched for: \"ou=people,dc=example,dc=org\".",
		field: func(c *Config) any { return &c.Auth.LDAP.Base },
	},
	{
		key:   "auth.ldap.filter",
		doc:   "What the entry must match, one entry at most: \"(&(objectClass=person)(mail={address}))\".",
		field: func(c *Config) any { return &c.Auth.LDAP.Filter },
	},
	{
		key:   "auth.ldap.bind_dn",
		doc:   "Name of the entry that searches. Default: none, if the directory lets everybody search.",
		field: func(c *Config) any { return &c.Auth.LDAP.BindDN },
	},
	{
		key:   "auth.ldap.bind_password_file",
		doc:   "A file that holds its password.",
		field: func(c *Config) any { return &c.Auth.LDAP.BindPasswordFile },
	},
}, directorySettings("auth.ldap", func(c *Config) *Directory { return &c.Auth.LDAP.Directory }))

// httpSettings are those of logins with passwords that a program knows which is asked over HTTP.
var httpSettings = slices.Concat([]setting{
	{
		key: "auth.http.url",
		doc: "A program of yours that knows the passwords of the users of some domains. It is asked by POST, in JSON: \"user\",\n" +
			"\"password\", \"protocol\", \"address\", \"tls\"; and answers 200 with {\"ok\": true} or {\"ok\": false}. Default: none.",
		field: func(c *Config) any { return &c.Auth.HTTP.URL },
	},
	{
		key:   "auth.http.secret_file",
		doc:   "A file that holds what the program knows us by (Authorization: Bearer).",
		field: func(c *Config) any { return &c.Auth.HTTP.SecretFile },
	},
}, directorySettings("auth.http", func(c *Config) *Directory { return &c.Auth.HTTP.Directory }))

// directorySettings are those that all directories have.
func directorySettings(section string, of func(*Config) *Directory) []setting {
	return []setting{
		{
			key:   section + ".domains",
			doc:   "Whose users log in by it: [\"example.org\"]. No other password is asked about.",
			field: func(c *Config) any { return &of(c).Domains },
		},
		{
			key: section + ".only", preset: "true",
			doc:   "Passwords that are kept here do not count for these domains. If false, either logs in. App passwords always do.",
			field: func(c *Config) any { return &of(c).Only },
		},
		{
			key: section + ".create", preset: "false",
			doc:   "Make an account, without quota, for a user who has none at the first right password. Default: such users are refused.",
			field: func(c *Config) any { return &of(c).Create },
		},
		{
			key:   section + ".roots_file",
			doc:   "Certificates to trust when asking, PEM, for a CA of your own. Default: those of the system.",
			field: func(c *Config) any { return &of(c).RootsFile },
		},
		{
			key: section + ".timeout", preset: "5s",
			doc:   "How long it may take to answer while a login waits.",
			field: func(c *Config) any { return &of(c).Timeout },
		},
		{
			key: section + ".cache", preset: "10m",
			doc:   "How long a right password is not asked about again; 0s: always ask.",
			field: func(c *Config) any { return &of(c).Cache },
		},
		{
			key: section + ".questions", preset: "16",
			doc:   "Questions at once.",
			field: func(c *Config) any { return &of(c).Questions },
		},
	}
}

func (l *loader) checkDirectories(c *Config) {
	l.checkLDAP(c)
	l.checkHTTPLogin(c)
	plain := len(c.Auth.Mechanisms) == 0 || slices.ContainsFunc(c.Auth.Mechanisms, func(m string) bool { return strings.EqualFold(m, "PLAIN") })
	l.check(c, "auth.mechanisms", plain || len(c.Auth.LDAP.URLs) == 0 && c.Auth.HTTP.URL == "", "needs PLAIN: directories are asked with the password")
	for _, domain := range c.Auth.HTTP.Domains {
		both := slices.ContainsFunc(c.Auth.LDAP.Domains, func(d string) bool { return strings.EqualFold(d, domain) })
		l.check(c, "auth.http.domains", !both, domain+" is in auth.ldap.domains too")
	}
}

// checkDirectory looks at what all directories have.
func (l *loader) checkDirectory(c *Config, section string, d *Directory) {
	if l.check(c, section+".domains", len(d.Domains) > 0, "is needed: the domains of the users that the directory knows") {
		for _, domain := range d.Domains {
			ok := !strings.ContainsAny(domain, "@* ") && !strings.ContainsFunc(domain, unicode.IsControl) && strings.Trim(domain, ".") == domain
			l.check(c, section+".domains", ok, fmt.Sprintf("%q is not a domain like example.org", domain))
		}
	}
	l.checkReadable(c, section+".roots_file", d.RootsFile)
}

func (l *loader) checkLDAP(c *Config) {
	d := &c.Auth.LDAP
	if len(d.URLs) == 0 {
		l.check(c, "auth.ldap.urls", len(d.Domains) == 0 && d.DN+d.Base+d.Filter+d.BindDN == "", "is needed with the other settings of auth.ldap")
		return
	}
	for _, text := range d.URLs {
		fault := ldapFault(text, d.StartTLS)
		l.check(c, "auth.ldap.urls", fault == "", fmt.Sprintf("%q %s", text, fault))
	}
	l.checkDirectory(c, "auth.ldap", &d.Directory)
	if d.DN != "" {
		l.check(c, "auth.ldap.dn", d.Base+d.Filter+d.BindDN == "", "is set, so that auth.ldap.base, filter and bind_dn do nothing: set it or them")
		l.checkTemplate(c, "auth.ldap.dn", d.DN)
		return
	}
	if l.check(c, "auth.ldap.filter", d.Filter != "", "is needed, or auth.ldap.dn") {
		l.checkTemplate(c, "auth.ldap.filter", d.Filter)
	}
	l.check(c, "auth.ldap.base", d.Base != "", "is needed with auth.ldap.filter")
	l.checkBinding(c, "auth.ldap.bind_dn", d.BindDN, "auth.ldap.bind_password_file", d.BindPasswordFile)
	l.checkReadable(c, "auth.ldap.bind_password_file", d.BindPasswordFile)
}

// checkTemplate has each address lead to an entry of its own.
func (l *loader) checkTemplate(c *Config, key, template string) {
	whole := strings.Contains(template, "{address}")
	local := strings.Contains(template, "{local}")
	if !l.check(c, key, whole || local, "needs {address} or {local}: it would be the same for all users") {
		return
	}
	l.check(c, key, whole || strings.Contains(template, "{domain}") || len(c.Auth.LDAP.Domains) < 2,
		"needs {address} or {domain}: with several domains, users of one could log in as those of another")
}

// ldapFault says what is wrong with the URL of a server, if anything.
func ldapFault(text string, startTLS bool) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return `is not a URL like "ldaps://ldap.example.org"`
	case u.Scheme == "ldapi" && u.Host == "" && filepath.IsAbs(u.Path):
		return ""
	case u.Scheme == "ldapi":
		return `is not a socket like "ldapi:///run/slapd/ldapi"`
	case u.Scheme != "ldap" && u.Scheme != "ldaps" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "":
		return `is not a URL like "ldaps://ldap.example.org"`
	case u.Scheme == "ldap" && !startTLS && !isLoopback(u):
		return "would have passwords sent in the clear: use ldaps, or set auth.ldap.starttls"
	}
	return ""
}

func (l *loader) checkHTTPLogin(c *Config) {
	d := &c.Auth.HTTP
	if d.URL == "" {
		l.check(c, "auth.http.url", len(d.Domains) == 0 && d.SecretFile == "", "is needed with the other settings of auth.http")
		return
	}
	u, secure := secureURL(d.URL)
	local := u != nil && u.Scheme == "http" && u.User == nil && isLoopback(u)
	l.check(c, "auth.http.url", secure || local, "is not a URL with https; http is for this machine only")
	l.checkDirectory(c, "auth.http", &d.Directory)
	l.checkReadable(c, "auth.http.secret_file", d.SecretFile)
}

// isLoopback reports whether a URL leads to this machine.
func isLoopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
