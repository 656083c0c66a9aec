package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// given is where a test loads from: the text of a file, variables and arguments.
type given struct {
	file string
	env  []string
	args []string
}

func (g given) load(t *testing.T) (*Config, error) {
	t.Helper()
	src := Source{
		Environ:  func() []string { return g.env },
		Hostname: func() (string, error) { return "mail.example.org", nil },
		Memory:   func() (uint64, error) { return 2 << 30, nil },
	}
	if g.file != "" {
		src.File = writeFile(t, "postern.toml", g.file)
	}
	if g.args != nil {
		src.Flags = pflag.NewFlagSet("serve", pflag.ContinueOnError)
		src.Flags.Bool("verbose", false, "one of the command's own")
		AddFlags(src.Flags)
		if err := src.Flags.Parse(g.args); err != nil {
			t.Fatal(err)
		}
	}
	return Load(src)
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	got, err := given{}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	common := Directory{Only: true, Timeout: 5 * time.Second, Cache: 10 * time.Minute, Questions: 16}
	want := &Config{
		DataDir: "/var/lib/postern", Hostname: "mail.example.org", DrainTimeout: 30 * time.Second,
		Database: Database{MigrateOnStart: true, MaxConns: 32, AnswerFromMemory: true},
		IMAP:     IMAP{Listen: []string{":993"}, IdleKeepalive: 2 * time.Minute, Answers: 64 << 20, ShareWithAnyone: true},
		POP3:     POP3{Listen: []string{":995"}},
		LMTP: LMTP{
			Listen: []string{"127.0.0.1:24"}, Detail: "existing", RecipientDelimiter: "+", QuotaReject: "452",
			MaxRecipients: 1000,
		},
		HTTP: HTTP{Listen: []string{"127.0.0.1:8025"}},
		TLS:  TLS{Mode: "self-signed"},
		ACME: ACME{
			Directory: "https://acme-v02.api.letsencrypt.org/directory", HTTPListen: []string{":80"}, DNSKeyAlgorithm: "hmac-sha256",
		},
		Crypt: Crypt{MasterKeyFile: "/var/lib/postern/master.key"},
		Store: Store{Compression: "s2", Cache: 256 << 20, Bodies: 128 << 20, Undelete: 14 * 24 * time.Hour, IndexFrom: 2000, IndexLoad: 50},
		Auth: Auth{
			MinLength: 8, MinStrength: 2, History: 90 * 24 * time.Hour,
			OAuth: OAuth{Claim: "email", Introspection: "off", Timeout: 5 * time.Second},
			LDAP:  LDAP{Directory: common, StartTLS: true}, HTTP: HTTPLogin{Directory: common},
		},
		Limits: Limits{
			Message: 100 << 20, Connections: 20000, ConnectionsPerAddress: 2000, SessionsPerAccount: 50, MailboxesPerAccount: 20_000, Annotation: 64 << 10,
			LoginTime: 2 * time.Minute, OctetsBeforeLogin: 64 << 10, BadCommands: 50, CommandsPerSecond: 2000, CommandsBurst: 100_000, Stall: 5 * time.Minute, MinRate: 500,
		},
		Log:    Log{Level: "info", Format: "json"},
		origin: map[string]string{},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if !got.Private() || got.ClusterDir() != "/var/lib/postern/postgres" || got.CertDir() != "/var/lib/postern/certs" {
		t.Errorf("private %v, %s, %s", got.Private(), got.ClusterDir(), got.CertDir())
	}
}

// TestPrecedence sets things in several places: the file is weaker than the environment, which is weaker than flags.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	c, err := given{
		file: "data_dir = \"/file\"\nhostname = \"file.example.org\"\n[imap]\nlisten = [\"127.0.0.1:1\", \"[::1]:1\"]\nidle_keepalive = \"90s\"\n" +
			"[limits]\nmessage = 1048576\nconnections = 7\n[database]\nmigrate_on_start = false\n",
		env: []string{
			"POSTERN_HOSTNAME=env.example.org", "POSTERN_POP3_LISTEN=127.0.0.1:2,127.0.0.1:3", "POSTERN_HTTP_LISTEN=off",
			"POSTERN_LOG_LEVEL=debug", "POSTERN_DATA_DIR=", "PATH=/bin", "POSTERN_SERVICE_HOST=10.0.0.1", "POSTERN_PORT=tcp://10.0.0.1:993",
			"POSTERN_PORT_993_TCP_ADDR=10.0.0.1", "malformed",
		},
		args: []string{"--log-level=warn", "--store-undelete", "2d", "--verbose"},
	}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	if c.DataDir != "/file" || c.Hostname != "env.example.org" || c.Log.Level != "warn" || c.Store.Undelete != 48*time.Hour ||
		c.IMAP.IdleKeepalive != 90*time.Second || c.Limits.Message != 1<<20 || c.Limits.Connections != 7 || c.Database.MigrateOnStart {
		t.Errorf("got %+v", c)
	}
	for _, list := range [][2][]string{
		{c.IMAP.Listen, {"127.0.0.1:1", "[::1]:1"}},
		{c.POP3.Listen, {"127.0.0.1:2", "127.0.0.1:3"}},
		{c.HTTP.Listen, nil},
	} {
		if !slices.Equal(list[0], list[1]) {
			t.Errorf("addresses %v, want %v", list[0], list[1])
		}
	}
	origins := map[string]string{
		"data_dir": ":1", "hostname": "POSTERN_HOSTNAME", "imap.listen": ":4", "log.level": "--log-level",
		"limits.connections": ":8", "pop3.listen": "POSTERN_POP3_LISTEN", "lmtp.listen": "default",
	}
	for _, s := range c.List() {
		if want, ok := origins[s.Key]; ok && !strings.HasSuffix(s.Origin, want) {
			t.Errorf("%s comes from %s, want %s", s.Key, s.Origin, want)
		}
	}
}

// TestDependentDefaults has defaults that depend on other settings.
func TestDependentDefaults(t *testing.T) {
	t.Parallel()
	pem := writeFile(t, "x.pem", "x")
	c, err := given{env: []string{"POSTERN_DATABASE_URL=postgres://h/d", "POSTERN_TLS_CERT_FILE=" + pem, "POSTERN_TLS_KEY_FILE=" + pem}}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	if c.Private() || c.Database.MigrateOnStart || c.TLS.Mode != "files" {
		t.Errorf("got %+v", c)
	}
	secret := writeFile(t, "url", "postgres://u:p@h/d\n")
	c, err = given{env: []string{"POSTERN_DATABASE_URL_FILE=" + secret, "POSTERN_DATA_DIR=data"}}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	if c.Database.URL != "postgres://u:p@h/d" || !filepath.IsAbs(c.DataDir) || filepath.Dir(c.Crypt.MasterKeyFile) != c.DataDir {
		t.Errorf("got %+v", c)
	}
	if c, err = (given{file: `hostname = "by-variable"`}).load(t); err != nil || c.Hostname != "by-variable" {
		t.Errorf("got %+v, %v", c, err)
	}
	file := writeFile(t, "named.toml", `hostname = "by-variable"`)
	if c, err = (given{env: []string{"POSTERN_CONFIG=" + file}}).load(t); err != nil || c.Hostname != "by-variable" {
		t.Errorf("POSTERN_CONFIG: %+v, %v", c, err)
	}
}

// TestProblems has what operators get wrong. Each is named with its key, where it stands and how to mend it.
func TestProblems(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		given
		want []string // one to a problem, in any order
	}{
		{"syntax", given{file: "[imap]\nlisten = \n"}, []string{"postern.toml:2:"}},
		{"unknown key", given{file: "[imap]\nlisten = \":1\"\nidle_keepalives = \"2m\"\n"}, []string{"imap.idle_keepalives (…postern.toml:3): no such setting; did you mean imap.idle_keepalive?"}},
		{"unknown table", given{file: "[nonsense_of_mine]\nx = 1\n"}, []string{`nonsense_of_mine.x (…postern.toml:2): no such setting; "postern config show" lists them all`}},
		{"unknown in an inline table", given{file: "imap = {listn = \":1\"}\n"}, []string{"imap.listn (…postern.toml:1): no such setting; did you mean imap.listen?"}},
		{"a value for a table", given{file: "imap = \":993\"\n"}, []string{"imap (…postern.toml:1): no such setting"}},
		{"unknown variable", given{env: []string{"POSTERN_IMPA_LISTEN=:1"}}, []string{"POSTERN_IMPA_LISTEN (environment): no such setting; did you mean imap.listen?"}},
		{"a variable like a table", given{env: []string{"POSTERN_IMAP=x", "POSTERN_IMAP_LISTEN=:1"}}, []string{"POSTERN_IMAP (environment): no such setting"}},
		{"kinds", given{file: "hostname = 5\n[limits]\nmessage = \"big\"\nconnections = 1.5\n[imap]\nidle_keepalive = 120\nlisten = [1]\n[database]\nmigrate_on_start = \"yes\"\n"}, []string{
			"hostname (…postern.toml:1): 5 is not text",
			`limits.message (…postern.toml:3): "big" is not a size, like "64MiB"`,
			"limits.connections (…postern.toml:4): 1.5 is not a whole number",
			`imap.idle_keepalive (…postern.toml:6): 120 is not a time, like "90s"`,
			"imap.listen (…postern.toml:7): 1 is not text",
			`database.migrate_on_start (…postern.toml:9): "yes" is not true or false`,
		}},
		{"words", given{args: []string{"--log-level=loud", "--lmtp-quota-reject=550", "--tls-mode=magic"}}, []string{
			`log.level (--log-level): "loud" is not known; it is one of debug, info, warn, error`,
			`lmtp.quota_reject (--lmtp-quota-reject): "550"`,
			`tls.mode (--tls-mode): "magic" is not known; it is one of acme, files, self-signed`,
		}},
		{"bounds", given{env: []string{"POSTERN_IMAP_IDLE_KEEPALIVE=1h", "POSTERN_LIMITS_MESSAGE=1", "POSTERN_LMTP_MAX_RECIPIENTS=99", "POSTERN_STORE_UNDELETE=-1d"}}, []string{
			"imap.idle_keepalive (POSTERN_IMAP_IDLE_KEEPALIVE): 1h is not between 10s and 29m",
			"limits.message (POSTERN_LIMITS_MESSAGE): 1 is not between",
			"lmtp.max_recipients (POSTERN_LMTP_MAX_RECIPIENTS): 99 is not between",
			"store.undelete (POSTERN_STORE_UNDELETE): -1d is not between",
		}},
		{"addresses", given{env: []string{"POSTERN_IMAP_LISTEN=993", "POSTERN_POP3_LISTEN=:99999", "POSTERN_LMTP_LISTEN=unix:run/lmtp", "POSTERN_HTTP_LISTEN=a b:1"}}, []string{
			`imap.listen (POSTERN_IMAP_LISTEN): "993" is not an address like ":993"`,
			`pop3.listen (POSTERN_POP3_LISTEN): ":99999" has no port`,
			`lmtp.listen (POSTERN_LMTP_LISTEN): "unix:run/lmtp" is not the socket of an absolute path`,
			`http.listen (POSTERN_HTTP_LISTEN): "a b:1" has no host`,
		}},
		{"one address for two", given{env: []string{"POSTERN_POP3_LISTEN=:993"}}, []string{"pop3.listen (POSTERN_POP3_LISTEN): :993 is taken by imap.listen"}},
		{"names", given{env: []string{"POSTERN_HOSTNAME=no such host", "POSTERN_LMTP_RECIPIENT_DELIMITER=@", "POSTERN_AUTH_TRUSTED=10.0.0.0/8,webmail"}}, []string{
			`hostname (POSTERN_HOSTNAME): "no such host" is not the name of a machine`,
			"lmtp.recipient_delimiter (POSTERN_LMTP_RECIPIENT_DELIMITER): one of",
			`auth.trusted (POSTERN_AUTH_TRUSTED): "webmail" is neither`,
		}},
		{"database", given{env: []string{"POSTERN_DATABASE_URL=mysql://u:hunter2@h/d"}}, []string{`database.url (POSTERN_DATABASE_URL): a URL of PostgreSQL starts with`}},
		{"database, a password with signs", given{env: []string{"POSTERN_DATABASE_URL=postgres://u:hunter2/#%@h/d"}}, []string{`database.url (POSTERN_DATABASE_URL): not a URL; characters`}},
		{"database, only a name", given{env: []string{"POSTERN_DATABASE_URL=hunter2"}}, []string{`database.url (POSTERN_DATABASE_URL): neither`}},
		{"database, both", given{env: []string{"POSTERN_DATABASE_URL=postgres://h/d", "POSTERN_DATABASE_URL_FILE=/x"}}, []string{"database.url_file (POSTERN_DATABASE_URL_FILE): database.url is set too"}},
		{"database, no file", given{env: []string{"POSTERN_DATABASE_URL_FILE=/nowhere/url"}}, []string{"database.url_file (POSTERN_DATABASE_URL_FILE): open /nowhere/url"}},
		{"certificate without a key", given{env: []string{"POSTERN_TLS_CERT_FILE=/nowhere/cert"}}, []string{"tls.mode: is self-signed, but tls.cert_file or"}},
		{"certificate files", given{env: []string{"POSTERN_TLS_MODE=files", "POSTERN_TLS_CERT_FILE=/nowhere/cert"}}, []string{
			"tls.cert_file (POSTERN_TLS_CERT_FILE): open /nowhere/cert", "tls.key_file: is needed",
		}},
		{
			"ACME without a way to prove names",
			given{env: []string{"POSTERN_TLS_MODE=acme", "POSTERN_ACME_HTTP_LISTEN=off"}},
			[]string{"acme.http_listen (POSTERN_ACME_HTTP_LISTEN): the CA must be able to look at us"},
		},
		{"ACME", given{env: []string{
			"POSTERN_HOSTNAME=mail.company.jp", "POSTERN_ACME_DIRECTORY=http://ca.company.jp", "POSTERN_ACME_KEY_ID=1", "POSTERN_ACME_NAMES=a b",
			"POSTERN_ACME_ROOTS_FILE=/nowhere/roots", "POSTERN_ACME_DNS=rfc2136", "POSTERN_ACME_DNS_SERVER=ns1", "POSTERN_ACME_RESOLVERS=ns1",
			"POSTERN_ACME_TLS_LISTEN=unix:/run/acme",
		}}, []string{
			"acme.directory (POSTERN_ACME_DIRECTORY): \"http://ca.company.jp\" is not a URL with https", "acme.hmac_file: is needed with acme.key_id",
			"acme.names (", "acme.roots_file (", "acme.dns_server (", "acme.dns_key_name: is needed", "acme.dns_key_file: is needed", "acme.resolvers (",
			"acme.tls_listen (",
		}},
		{"ACME with a hook that is none", given{env: []string{"POSTERN_TLS_MODE=acme", "POSTERN_ACME_DNS=hook"}}, []string{"acme.dns_hook: is needed"}},
		{"OAuth without issuers", given{env: []string{"POSTERN_AUTH_OAUTH_AUDIENCES=mail", "POSTERN_AUTH_MECHANISMS=plain,xoauth2"}}, []string{
			"auth.oauth.issuers: is needed", "auth.mechanisms (POSTERN_AUTH_MECHANISMS): xoauth2 needs auth.oauth.issuers",
		}},
		{"OAuth", given{env: []string{
			"POSTERN_AUTH_OAUTH_ISSUERS=http://login.example.org,https://login.example.org", "POSTERN_AUTH_OAUTH_INTROSPECTION=always",
			"POSTERN_AUTH_OAUTH_INTROSPECTION_ENDPOINT=ask", "POSTERN_AUTH_OAUTH_ROOTS_FILE=/nowhere/roots", "POSTERN_AUTH_OAUTH_TIMEOUT=1h",
		}}, []string{
			"auth.oauth.issuers (POSTERN_AUTH_OAUTH_ISSUERS): \"http://login.example.org\" is not a URL with https", "auth.oauth.audiences: is needed",
			"auth.oauth.introspection (POSTERN_AUTH_OAUTH_INTROSPECTION): asks one provider", "auth.oauth.introspection_endpoint (",
			"auth.oauth.client_id: is needed", "auth.oauth.client_secret_file: is needed", "auth.oauth.roots_file (", "auth.oauth.timeout (",
		}},
		{"OAuth, scopes in one and nobody asked", given{env: []string{
			"POSTERN_AUTH_OAUTH_ISSUERS=https://login.example.org", "POSTERN_AUTH_OAUTH_AUDIENCES=mail", "POSTERN_AUTH_OAUTH_SCOPES=openid imap",
			"POSTERN_AUTH_OAUTH_CLIENT_ID=postern",
		}}, []string{"auth.oauth.scopes (POSTERN_AUTH_OAUTH_SCOPES): \"openid imap\" is no scope", "auth.oauth.introspection: is off"}},
		{"OAuth, a secret that is not there", given{env: []string{
			"POSTERN_AUTH_OAUTH_ISSUERS=https://login.example.org", "POSTERN_AUTH_OAUTH_AUDIENCES=mail", "POSTERN_AUTH_OAUTH_INTROSPECTION=opaque",
			"POSTERN_AUTH_OAUTH_CLIENT_ID=postern", "POSTERN_AUTH_OAUTH_CLIENT_SECRET_FILE=/nowhere/secret",
		}}, []string{"auth.oauth.client_secret_file (POSTERN_AUTH_OAUTH_CLIENT_SECRET_FILE): open /nowhere/secret"}},
		{"directories without servers", given{env: []string{"POSTERN_AUTH_LDAP_BASE=dc=org", "POSTERN_AUTH_HTTP_DOMAINS=example.org"}}, []string{
			"auth.ldap.urls: is needed", "auth.http.url: is needed",
		}},
		{"LDAP", given{env: []string{
			"POSTERN_AUTH_LDAP_URLS=ldap://ldap.example.org", "POSTERN_AUTH_LDAP_STARTTLS=false", "POSTERN_AUTH_LDAP_DN=ou=people",
			"POSTERN_AUTH_LDAP_BASE=x", "POSTERN_AUTH_LDAP_DOMAINS=a@b", "POSTERN_AUTH_LDAP_ROOTS_FILE=/nowhere/roots", "POSTERN_AUTH_LDAP_TIMEOUT=0s",
			"POSTERN_AUTH_LDAP_QUESTIONS=0", "POSTERN_AUTH_LDAP_CACHE=2d",
		}}, []string{
			"auth.ldap.urls (POSTERN_AUTH_LDAP_URLS): \"ldap://ldap.example.org\" would have passwords sent in the clear", "auth.ldap.domains (",
			"auth.ldap.roots_file (", "auth.ldap.dn (POSTERN_AUTH_LDAP_DN): is set, so that", "auth.ldap.timeout (", "auth.ldap.cache (", "auth.ldap.questions (",
		}},
		{"LDAP, whose users are one another's", given{env: []string{
			"POSTERN_AUTH_LDAP_URLS=ldaps://a,ldapi:///s,ldap://b", "POSTERN_AUTH_LDAP_DN=uid={local},dc=org", "POSTERN_AUTH_LDAP_DOMAINS=a.org,b.org",
			"POSTERN_AUTH_HTTP_URL=http://[::1]:80/x", "POSTERN_AUTH_HTTP_DOMAINS=c.org,A.org",
		}}, []string{"auth.ldap.dn (POSTERN_AUTH_LDAP_DN): needs {address} or {domain}", "auth.http.domains (POSTERN_AUTH_HTTP_DOMAINS): A.org is in auth.ldap.domains"}},
		{"LDAP without a host, for what is no domain", given{env: []string{
			"POSTERN_AUTH_LDAP_URLS=ldaps://:636", "POSTERN_AUTH_LDAP_DN=uid={local},dc=org", "POSTERN_AUTH_LDAP_DOMAINS=a\x01.org",
		}}, []string{`auth.ldap.urls (POSTERN_AUTH_LDAP_URLS): "ldaps://:636" is not a URL`, `auth.ldap.domains (POSTERN_AUTH_LDAP_DOMAINS): "a\x01.org" is not`}},
		{"LDAP by search", given{env: []string{
			"POSTERN_AUTH_LDAP_URLS=ldapi://relative", "POSTERN_AUTH_LDAP_FILTER=(objectClass=*)", "POSTERN_AUTH_LDAP_BIND_DN=cn=x",
		}}, []string{
			"auth.ldap.urls (", "auth.ldap.domains: is needed", "auth.ldap.filter (POSTERN_AUTH_LDAP_FILTER): needs {address} or {local}",
			"auth.ldap.base: is needed", "auth.ldap.bind_password_file: is needed",
		}},
		{"HTTP to elsewhere", given{env: []string{
			"POSTERN_AUTH_HTTP_URL=http://example.org/", "POSTERN_AUTH_HTTP_DOMAINS=*", "POSTERN_AUTH_HTTP_SECRET_FILE=/nowhere/secret",
			"POSTERN_AUTH_MECHANISMS=SCRAM-SHA-256",
		}}, []string{"auth.mechanisms (POSTERN_AUTH_MECHANISMS): needs PLAIN", "auth.http.url (POSTERN_AUTH_HTTP_URL): is not a URL with https", "auth.http.domains (", "auth.http.secret_file ("}},
		{"no file", given{env: []string{"POSTERN_CONFIG=/nowhere/postern.toml"}}, []string{"configuration file: open /nowhere/postern.toml"}},
		{"all at once, from everywhere", given{"hostnam = \"x\"\n", []string{"POSTERN_LOG_FORMAT=xml"}, []string{"--limits-message=x"}}, []string{"hostnam (", "log.format (", "limits.message ("}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := tt.load(t)
			var got Problems
			if !errors.As(err, &got) || c == nil {
				t.Fatalf("Load = %v, %v", c, err)
			}
			if len(got) != len(tt.want) {
				t.Errorf("%d problems, want %d:\n%v", len(got), len(tt.want), err)
			}
			for _, want := range tt.want {
				if !slices.ContainsFunc(got, func(p Problem) bool { return matches(p.String(), want) }) {
					t.Errorf("%q is not among\n%v", want, err)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a password is told: %v", err)
			}
		})
	}
}

// matches reports whether got contains the pieces of want, which … divides, in order.
func matches(got, want string) bool {
	for piece := range strings.SplitSeq(want, "…") {
		_, rest, ok := strings.Cut(got, piece)
		if !ok {
			return false
		}
		got = rest
	}
	return true
}

func TestNoHostname(t *testing.T) {
	t.Parallel()
	_, err := Load(Source{
		Environ:  func() []string { return nil },
		Hostname: func() (string, error) { return "", errors.New("none") },
	})
	if err == nil || !strings.Contains(err.Error(), "hostname: the machine does not know its name") {
		t.Errorf("got %v", err)
	}
}

// TestBodiesShare: the memory for messages that have been read grows with the machine's, unless somebody says how much it is.
func TestBodiesShare(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		memory uint64
		err    error
		env    []string
		want   int64
	}{
		{memory: 24 << 30, want: 1536 << 20},
		{memory: 512 << 20, want: 64 << 20},
		{memory: 3<<30 + 123_456_789, want: 199 << 20}, // as it is shown
		{memory: 1<<64 - 1, want: 1 << 40},
		{err: errors.New("no /proc"), want: 64 << 20},
		{memory: 24 << 30, env: []string{"POSTERN_STORE_BODIES=64MiB"}, want: 64 << 20},
	} {
		c, err := Load(Source{
			Environ: func() []string { return append(tc.env, "POSTERN_DATA_DIR=/var/lib/postern") },
			Memory:  func() (uint64, error) { return tc.memory, tc.err },
		})
		if err != nil || c.Store.Bodies != tc.want {
			t.Errorf("of %d octets, %v: %d, %v; want %d", tc.memory, tc.err, c.Store.Bodies, err, tc.want)
		}
	}
	if n, err := memory(); err != nil || n < 64<<20 {
		t.Errorf("this machine has %d octets of memory, %v", n, err)
	}
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	c, err := given{file: "[auth]\ntrusted = [\"192.0.2.1\", \"2001:db8::/32\", \"10.1.2.3/8\"]\n"}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range Networks(c.Auth.Trusted) {
		got = append(got, p.String())
	}
	if want := []string{"192.0.2.1/32", "2001:db8::/32", "10.0.0.0/8"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestCertificateMode: a CA is asked where it could know the name, and nowhere else.
func TestCertificateMode(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"mail.company.jp": "acme", "MAIL.Company.JP": "acme", "localhost": "self-signed", "mail": "self-signed", "mail.example.org": "self-signed",
		"mail.lan": "self-signed", "box.home.arpa": "self-signed", "192.0.2.1": "self-signed", "notexample.org": "acme",
	} {
		c, err := given{env: []string{"POSTERN_HOSTNAME=" + name}}.load(t)
		if err != nil || c.TLS.Mode != want {
			t.Errorf("%s: %s, %v, want %s", name, c.TLS.Mode, err, want)
		}
	}
}

func TestKeyLines(t *testing.T) {
	t.Parallel()
	got := keyLines([]byte("a = 1\r\n# b = 2\n\n[ t ]\n  \"c\" = [\n  \"x=y\",\n]\n[t.u] # d = 3\ne.f=4\n[[v]]\ng = {h = 1}\n"))
	want := map[string]int{"a": 1, "t": 4, "t.c": 5, "t.u": 8, "t.u.e.f": 9, "v": 10, "v.g": 11}
	for key, line := range want {
		if got[key] != line {
			t.Errorf("%s on line %d, want %d; in %v", key, got[key], line, got)
		}
	}
}
