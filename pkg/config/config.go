// Package config loads the configuration: defaults, a TOML file, environment variables and flags, the last being the
// strongest; into a typed value that has been checked as a whole. It is read once, by whoever builds the program. The
// table in settings.go says what can be set; everything else follows from it: the names of variables and flags, the
// example file, what is shown. The package starts nothing, opens no connection, and writes one file: a master key.
package config

import (
	"path/filepath"
	"time"
)

// Config is the whole configuration, as Load returns it: valid, with the defaults filled in.
type Config struct {
	DataDir      string // absolute
	Hostname     string
	DrainTimeout time.Duration // for sessions to end at a stop

	Database Database
	Embedded Embedded
	IMAP     IMAP
	POP3     POP3
	LMTP     LMTP
	Postfix  Postfix
	HTTP     HTTP
	TLS      TLS
	ACME     ACME
	Crypt    Crypt
	Store    Store
	Auth     Auth
	Proxy    Proxy
	Limits   Limits
	Log      Log

	origin map[string]string // of each key that is set: where
}

// Database is the PostgreSQL that keeps the mail.
type Database struct {
	URL              string // empty: a private PostgreSQL
	URLFile          string
	MigrateOnStart   bool
	MaxConns         int
	AnswerFromMemory bool
}

// Embedded is about the private PostgreSQL.
type Embedded struct {
	BinDir string
	User   string
}

// IMAP is about the IMAP server.
type IMAP struct {
	Listen          []string // addresses; none: no such server
	StartTLSListen  []string
	IdleKeepalive   time.Duration
	Answers         int64    // octets
	Disable         []string // capabilities
	Admins          []string // addresses
	ShareWithAnyone bool
	UIDOnly         bool
	MessageLimit    int    // 0: none
	SaveLimit       int    // 0: none
	Admin           string // URI
}

// POP3 is about the POP3 server.
type POP3 struct {
	Listen         []string
	StartTLSListen []string
}

// LMTP is about the LMTP server.
type LMTP struct {
	Listen             []string
	Detail             string // "existing", "create", "off"
	RecipientDelimiter string
	QuotaReject        string // "452", "552"
	MaxRecipients      int
}

// Postfix is about its questions for recipients.
type Postfix struct{ Listen []string }

// HTTP is about health, readiness and metrics.
type HTTP struct{ Listen []string }

// TLS is about certificates.
type TLS struct {
	Mode         string // "acme", "files", "self-signed"
	CertFile     string
	ClientCAFile string
	KeyFile      string
}

// ACME is about certificates from a CA.
type ACME struct {
	Email     string
	Names     []string // besides Hostname
	Directory string   // URL
	KeyID     string
	HMACFile  string
	RootsFile string

	FallbackDirectory string // "": none
	FallbackKeyID     string
	FallbackHMACFile  string

	HTTPListen []string // one address, or none
	TLSListen  []string // the same

	DNS             string // "", "rfc2136", "hook"
	DNSServer       string
	DNSKeyName      string
	DNSKeyAlgorithm string
	DNSKeyFile      string
	DNSHook         []string
	Resolvers       []string
}

// Crypt is about encryption at rest.
type Crypt struct{ MasterKeyFile string }

// Store is about how mail is kept.
type Store struct {
	Compression string // "s2", "zstd", "none"
	Cache       int64  // octets
	Bodies      int64  // octets
	Undelete    time.Duration
	IndexFrom   int // messages; 0: no mailbox
	IndexLoad   int // percent of a processor
}

// Auth is about logging in.
type Auth struct {
	Trusted     []string      // addresses and networks
	MinLength   int           // of a new password
	MinStrength int           // 0 to 4
	Breached    string        // file
	Mechanisms  []string      // of SASL
	History     time.Duration // of logins
	Notice      bool          // of new places and devices, by mail
	OAuth       OAuth
	LDAP        LDAP
	HTTP        HTTPLogin
}

// Directory is what all directories elsewhere have in common.
type Directory struct {
	Domains   []string // whose users log in by it
	Only      bool     // passwords kept here do not count for them
	Create    bool     // accounts at the first login
	RootsFile string
	Timeout   time.Duration
	Cache     time.Duration // of right passwords; 0: none
	Questions int           // at once
}

// LDAP is about logging in with the passwords of an LDAP directory.
type LDAP struct {
	Directory

	URLs             []string // none: there is no such directory
	StartTLS         bool
	DN               string // template
	Base             string
	Filter           string // template
	BindDN           string
	BindPasswordFile string
}

// HTTPLogin is about logging in with passwords that a program knows which is asked over HTTP.
type HTTPLogin struct {
	Directory

	URL        string // "": there is none
	SecretFile string
}

// OAuth is about logging in with access tokens.
type OAuth struct {
	Issuers          []string // URLs; none: tokens are not taken
	Audiences        []string
	Claim            string
	Scopes           []string
	Introspection    string // "off", "opaque", "always"
	Endpoint         string // of introspection, URL; "": what the provider says
	ClientID         string
	ClientSecretFile string
	RootsFile        string
	Timeout          time.Duration
	EndSessions      bool
}

// Proxy is about proxies in front that speak the PROXY protocol.
type Proxy struct{ Trusted []string } // addresses and networks

// Log is about the log.
type Log struct {
	Level  string // "debug", "info", "warn", "error"
	Format string // "json", "console"
}

// Private reports whether a private PostgreSQL is to be run.
func (c *Config) Private() bool { return c.Database.URL == "" }

// ClusterDir is the folder of the private PostgreSQL.
func (c *Config) ClusterDir() string { return filepath.Join(c.DataDir, "postgres") }

// CertDir is the folder of certificates that we make ourselves.
func (c *Config) CertDir() string { return filepath.Join(c.DataDir, "certs") }

// IsSet reports whether a key was set anywhere, rather than left to its default.
func (c *Config) IsSet(key string) bool { return c.origin[key] != "" }
