package config

import (
	"slices"
	"strings"
	"time"
)

// setting is one thing that can be set.
type setting struct {
	key    string
	preset string            // the default as one would write it; "" may be filled in by complete
	doc    string            // sentences for the example file; the first is the help of the flag
	field  func(*Config) any // pointer to a string, []string, int, size, time.Duration or bool
	oneOf  []string          // if set, the only values
	secret bool
}

// size is a number of octets, written as "64MiB".
type size = int64

const prefix = "POSTERN_"

// variable is the environment variable of a setting, and flag the flag.
func (s *setting) variable() string {
	return prefix + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

func (s *setting) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.key) }

// brief is the first sentence of what a setting is for.
func (s *setting) brief() string {
	first, _, _ := strings.Cut(strings.ReplaceAll(s.doc, "\n", " ")+" ", ". ")
	return first
}

// settings is what can be set, in the order of the example file. "Listen" addresses are lists everywhere.
var settings = slices.Concat(mainSettings, limitSettings, oauthSettings, ldapSettings, httpSettings)

// mainSettings are all but those that have a file of their own.
var mainSettings = []setting{
	{
		key: "data_dir", preset: "/var/lib/postern",
		doc:   "Folder for what Postern keeps beside the database: master key, certificates, the private PostgreSQL.",
		field: func(c *Config) any { return &c.DataDir },
	},
	{
		key:   "hostname",
		doc:   "Name of this machine as clients and other servers know it. Default: what the machine says.",
		field: func(c *Config) any { return &c.Hostname },
	},
	{
		key: "drain_timeout", preset: "30s",
		doc:   "How long sessions may take to end when Postern stops.",
		field: func(c *Config) any { return &c.DrainTimeout },
	},
	{
		key: "database.url", secret: true,
		doc: "PostgreSQL 15 to 18: \"postgres://user:password@host/database\". Several hosts and target_session_attrs=read-write\n" +
			"follow a failover. Empty: a private PostgreSQL below data_dir, run from the installed binaries.",
		field: func(c *Config) any { return &c.Database.URL },
	},
	{
		key:   "database.url_file",
		doc:   "A file that holds database.url, which then must be empty: for secrets that come as files.",
		field: func(c *Config) any { return &c.Database.URLFile },
	},
	{
		key:   "database.migrate_on_start",
		doc:   "Bring the schema up to date when serving starts. Default: true for the private PostgreSQL, else false: then\n\"postern migrate\" does it.",
		field: func(c *Config) any { return &c.Database.MigrateOnStart },
	},
	{
		key: "database.max_conns", preset: "32",
		doc:   "Connections to PostgreSQL at once.",
		field: func(c *Config) any { return &c.Database.MaxConns },
	},
	{
		key: "database.answer_from_memory", preset: "true",
		doc: "Whether what is in memory is enough for SELECT and NOOP while no other process of Postern is on the database. Processes\n" +
			"know of each other by a lock. Say false if something else changes the tables of mail.",
		field: func(c *Config) any { return &c.Database.AnswerFromMemory },
	},
	{
		key:   "embedded.bin_dir",
		doc:   "Folder of initdb and postgres for the private PostgreSQL. Default: PATH, then the usual places.",
		field: func(c *Config) any { return &c.Embedded.BinDir },
	},
	{
		key:   "embedded.user",
		doc:   "User to run the private PostgreSQL as when Postern runs as root. Default: the first of postern, postgres and\nnobody that exists.",
		field: func(c *Config) any { return &c.Embedded.User },
	},
	{
		key: "imap.listen", preset: ":993",
		doc:   "Addresses for IMAP with TLS from the first octet; \"off\" for none. Also a list: [\"192.0.2.1:993\", \"[2001:db8::1]:993\"].",
		field: func(c *Config) any { return &c.IMAP.Listen },
	},
	{
		key: "imap.starttls_listen",
		doc: "Addresses for IMAP without TLS until the client asks for it (STARTTLS): [\":143\"]. Nobody logs in before. Prefer imap.listen:\n" +
			"who stands in between can keep a client that does not insist from asking. Default: none.",
		field: func(c *Config) any { return &c.IMAP.StartTLSListen },
	},
	{
		key: "imap.idle_keepalive", preset: "2m",
		doc:   "How often an idling client hears from us when there is no news.",
		field: func(c *Config) any { return &c.IMAP.IdleKeepalive },
	},
	{
		key: "imap.answers", preset: "64MiB",
		doc:   "Memory for envelopes, structures and header fields that clients have asked for, for those who ask again; 0 for none.",
		field: func(c *Config) any { return &c.IMAP.Answers },
	},
	{
		key:   "imap.admin",
		doc:   "Where users may turn to, as clients can show it: \"mailto:postmaster@example.org\". Empty: they are not told.",
		field: func(c *Config) any { return &c.IMAP.Admin },
	},

	{
		key: "imap.disable",
		doc: "Capabilities that are not offered, and behave as if they did not exist: [\"COMPRESS=DEFLATE\", \"NOTIFY\"]. What cannot\n" +
			"be without them goes with them. For one account: \"postern account capabilities\".",
		field: func(c *Config) any { return &c.IMAP.Disable },
	},
	{
		key:   "imap.admins",
		doc:   "Addresses of the accounts that may set the quotas of others (SETQUOTA).",
		field: func(c *Config) any { return &c.IMAP.Admins },
	},
	{
		key: "imap.share_with_anyone", preset: "true",
		doc: "Whether a mailbox can be shared with \"anyone\", all accounts of this server. If not, \"anyone\" can be given the right to\n" +
			"post (mail for user+name) and nothing else. What has been granted before stays.",
		field: func(c *Config) any { return &c.IMAP.ShareWithAnyone },
	},
	{
		key: "imap.uidonly", preset: "false",
		doc:   "Offer UIDONLY (RFC 9586). Some versions of Outlook enable it and then go on using message numbers, which it forbids.",
		field: func(c *Config) any { return &c.IMAP.UIDOnly },
	},
	{
		key: "imap.message_limit", preset: "0",
		doc: "How many messages one command handles at most, told to clients as MESSAGELIMIT (RFC 9738). 0: no limit. It must not be\n" +
			"less than 1000: clients that do not know of it get less than they ask for.",
		field: func(c *Config) any { return &c.IMAP.MessageLimit },
	},
	{
		key: "imap.save_limit", preset: "0",
		doc:   "How many messages one command stores at most (COPY, MOVE, APPEND), told to clients as SAVELIMIT (RFC 9738). 0: no limit.",
		field: func(c *Config) any { return &c.IMAP.SaveLimit },
	},
	{
		key: "pop3.listen", preset: ":995",
		doc:   "Addresses for POP3 with TLS from the first octet; \"off\" for none.",
		field: func(c *Config) any { return &c.POP3.Listen },
	},
	{
		key:   "pop3.starttls_listen",
		doc:   "Addresses for POP3 without TLS until the client asks for it (STLS): [\":110\"]. The same holds. Default: none.",
		field: func(c *Config) any { return &c.POP3.StartTLSListen },
	},
	{
		key: "lmtp.listen", preset: "127.0.0.1:24",
		doc:   "Addresses for LMTP from your mail server, or \"unix:/path\"; \"off\" for none. Whoever can connect can deliver.",
		field: func(c *Config) any { return &c.LMTP.Listen },
	},
	{
		key: "lmtp.detail", preset: "existing", oneOf: []string{"existing", "create", "off"},
		doc:   "Where mail to user+detail@ goes: to the mailbox \"detail\" if there is one (existing), making it if not (create), or to\nINBOX (off).",
		field: func(c *Config) any { return &c.LMTP.Detail },
	},
	{
		key: "lmtp.recipient_delimiter", preset: "+",
		doc:   "What stands between user and detail.",
		field: func(c *Config) any { return &c.LMTP.RecipientDelimiter },
	},
	{
		key: "lmtp.quota_reject", preset: "452", oneOf: []string{"452", "552"},
		doc:   "Reply for a recipient over quota: 452 lets the sender try again, 552 bounces at once.",
		field: func(c *Config) any { return &c.LMTP.QuotaReject },
	},
	{
		key: "lmtp.max_recipients", preset: "1000",
		doc:   "Recipients of one message.",
		field: func(c *Config) any { return &c.LMTP.MaxRecipients },
	},
	{
		key: "postfix.listen",
		doc: "Addresses where Postfix may ask which recipients there are, as socketmap_table(5): \"127.0.0.1:2526\". Without TLS;\n" +
			"whoever can connect can ask. Default: none.",
		field: func(c *Config) any { return &c.Postfix.Listen },
	},
	{
		key: "http.listen", preset: "127.0.0.1:8025",
		doc:   "Addresses for /healthz, /readyz and /metrics, without TLS; \"off\" for none.",
		field: func(c *Config) any { return &c.HTTP.Listen },
	},
	{
		key: "tls.mode", oneOf: []string{"", "acme", "files", "self-signed"},
		doc: "Where the certificate comes from: from a CA over ACME, which is the default where hostname is a public name; the two\n" +
			"files below, which is the default once they are set; or made by us, about which clients will ask.",
		field: func(c *Config) any { return &c.TLS.Mode },
	},
	{
		key:   "tls.cert_file",
		doc:   "Certificate with its chain, PEM. Read again when it changes.",
		field: func(c *Config) any { return &c.TLS.CertFile },
	},
	{
		key:   "tls.key_file",
		doc:   "Its private key, PEM.",
		field: func(c *Config) any { return &c.TLS.KeyFile },
	},
	{
		key:   "tls.client_ca_file",
		doc:   "Certificates (PEM) of those who issue certificates to clients: a client that shows one may log in by SASL EXTERNAL to the\naccount whose address is in it. Empty: none is asked for.",
		field: func(c *Config) any { return &c.TLS.ClientCAFile },
	},
	{
		key:   "acme.email",
		doc:   "Where the CA writes when something is wrong with the certificate.",
		field: func(c *Config) any { return &c.ACME.Email },
	},
	{
		key:   "acme.names",
		doc:   "More host names to keep certificates for, besides hostname: [\"imap.example.org\", \"pop.example.org\"]. For names of\ncustomers see \"postern host\".",
		field: func(c *Config) any { return &c.ACME.Names },
	},
	{
		key: "acme.directory", preset: "https://acme-v02.api.letsencrypt.org/directory",
		doc:   "The CA's directory. Who uses it agrees to the CA's terms.",
		field: func(c *Config) any { return &c.ACME.Directory },
	},
	{
		key:   "acme.key_id",
		doc:   "External account binding, where the CA wants it: the key's name.",
		field: func(c *Config) any { return &c.ACME.KeyID },
	},
	{
		key:   "acme.hmac_file",
		doc:   "A file that holds that key, in base64url.",
		field: func(c *Config) any { return &c.ACME.HMACFile },
	},
	{
		key:   "acme.roots_file",
		doc:   "Certificates to trust when talking to the CA, PEM, for a CA of your own. Default: those of the system.",
		field: func(c *Config) any { return &c.ACME.RootsFile },
	},
	{
		key:   "acme.fallback_directory",
		doc:   "Another CA, asked when the first fails.",
		field: func(c *Config) any { return &c.ACME.FallbackDirectory },
	},
	{
		key:   "acme.fallback_key_id",
		doc:   "Its external account binding: the key's name.",
		field: func(c *Config) any { return &c.ACME.FallbackKeyID },
	},
	{
		key:   "acme.fallback_hmac_file",
		doc:   "A file that holds that key.",
		field: func(c *Config) any { return &c.ACME.FallbackHMACFile },
	},
	{
		key: "acme.http_listen", preset: ":80",
		doc:   "Address where the CA looks for HTTP-01, with tls.mode = acme; \"off\" for none. The CA comes to port 80.",
		field: func(c *Config) any { return &c.ACME.HTTPListen },
	},
	{
		key:   "acme.tls_listen",
		doc:   "Address where the CA looks for TLS-ALPN-01. The CA comes to port 443. Default: none.",
		field: func(c *Config) any { return &c.ACME.TLSListen },
	},
	{
		key: "acme.dns", oneOf: []string{"", "rfc2136", "hook"},
		doc: "Prove names by records in DNS (DNS-01) instead: with dynamic updates (rfc2136), or a command of yours (hook). Neither\n" +
			"port 80 nor 443 is needed then.",
		field: func(c *Config) any { return &c.ACME.DNS },
	},
	{
		key:   "acme.dns_server",
		doc:   "For rfc2136: the zone's name server, \"ns1.example.org:53\".",
		field: func(c *Config) any { return &c.ACME.DNSServer },
	},
	{
		key:   "acme.dns_key_name",
		doc:   "For rfc2136: name of the key that signs updates (TSIG).",
		field: func(c *Config) any { return &c.ACME.DNSKeyName },
	},
	{
		key: "acme.dns_key_algorithm", preset: "hmac-sha256",
		doc:   "For rfc2136: its algorithm.",
		field: func(c *Config) any { return &c.ACME.DNSKeyAlgorithm },
	},
	{
		key:   "acme.dns_key_file",
		doc:   "For rfc2136: a file that holds the key, in base64.",
		field: func(c *Config) any { return &c.ACME.DNSKeyFile },
	},
	{
		key: "acme.dns_hook",
		doc: "For hook: a program and its first arguments. It is called with \"present\" or \"cleanup\", the record's name and its value,\n" +
			"and must fail when it fails: [\"/usr/local/bin/dns-record\"].",
		field: func(c *Config) any { return &c.ACME.DNSHook },
	},
	{
		key:   "acme.resolvers",
		doc:   "Name servers that are asked whether the records of DNS-01 are there: [\"192.0.2.53:53\"]. Default: those of the system.",
		field: func(c *Config) any { return &c.ACME.Resolvers },
	},
	{
		key:   "crypt.master_key_file",
		doc:   "The key that seals the keys of the accounts: 32 random octets in base64 or hexadecimal. Whoever loses it loses the mail.\nDefault: master.key in data_dir, made when absent.",
		field: func(c *Config) any { return &c.Crypt.MasterKeyFile },
	},
	{
		key: "store.compression", preset: "s2", oneOf: []string{"s2", "zstd", "none"},
		doc:   "Of message bodies: s2 is fast, zstd is small.",
		field: func(c *Config) any { return &c.Store.Compression },
	},
	{
		key: "store.cache", preset: "256MiB",
		doc:   "Memory for the state of open mailboxes, about 40 octets a message.",
		field: func(c *Config) any { return &c.Store.Cache },
	},
	{
		key: "store.bodies", preset: "0",
		doc: "Memory for messages that have been read of late: other devices of their owner, and others who share the mailbox, get\n" +
			"them from there. 0 is a sixteenth of what the machine or the container has, at least 64 MiB.",
		field: func(c *Config) any { return &c.Store.Bodies },
	},
	{
		key: "store.undelete", preset: "14d",
		doc:   "How long expunged messages can be recovered.",
		field: func(c *Config) any { return &c.Store.Undelete },
	},
	{
		key: "store.index_from", preset: "2000",
		doc:   "How many messages a mailbox must have to be indexed for search; 0 for none. Smaller ones are read as fast.",
		field: func(c *Config) any { return &c.Store.IndexFrom },
	},
	{
		key: "store.index_load", preset: "50",
		doc:   "How much of one processor indexing may take, in percent.",
		field: func(c *Config) any { return &c.Store.IndexLoad },
	},
	{
		key:   "auth.trusted",
		doc:   "Addresses and networks behind which many users are (webmail, proxies): wrong passwords from there are not counted\nagainst the address.",
		field: func(c *Config) any { return &c.Auth.Trusted },
	},
	{
		key: "auth.password_min_length", preset: "8",
		doc:   "Characters that a new password must have at least.",
		field: func(c *Config) any { return &c.Auth.MinLength },
	},
	{
		key: "auth.password_min_strength", preset: "2",
		doc:   "How hard to guess a new password must be at least, from 0 (any) to 4, as zxcvbn estimates it.",
		field: func(c *Config) any { return &c.Auth.MinStrength },
	},
	{
		key:   "auth.breached_passwords",
		doc:   "A file of passwords that are refused because they are known: SHA-1 in hexadecimal, one a line, in order, as Have I Been\nPwned gives it out. It may be larger than memory.",
		field: func(c *Config) any { return &c.Auth.Breached },
	},
	{
		key:   "auth.mechanisms",
		doc:   "Mechanisms of SASL that are offered. Default: EXTERNAL, SCRAM-SHA-256-PLUS, SCRAM-SHA-256, OAUTHBEARER, XOAUTH2, PLAIN, LOGIN, as far as\nthe other settings allow. Without PLAIN, passwords are not taken in the clear, not even inside TLS.",
		field: func(c *Config) any { return &c.Auth.Mechanisms },
	},
	{
		key: "auth.history", preset: "90d",
		doc:   "How long the login history of accounts is kept; see \"postern account logins\".",
		field: func(c *Config) any { return &c.Auth.History },
	},
	{
		key: "auth.notice", preset: "false",
		doc:   "Write a mail to the owner of an account when it is logged in to from a network or with a mail program that is new to it.",
		field: func(c *Config) any { return &c.Auth.Notice },
	},
	{
		key: "proxy.trusted",
		doc: "Addresses and networks of proxies in front of IMAP and POP3 that speak the PROXY protocol, version 1 or 2. Connections\n" +
			"from there must begin with its header, and count as the client's that it names; nobody else's header is understood.",
		field: func(c *Config) any { return &c.Proxy.Trusted },
	},
	{
		key: "log.level", preset: "info", oneOf: []string{"debug", "info", "warn", "error"},
		doc:   "How much is logged.",
		field: func(c *Config) any { return &c.Log.Level },
	},
	{
		key: "log.format", preset: "json", oneOf: []string{"json", "console"},
		doc:   "For programs or for people.",
		field: func(c *Config) any { return &c.Log.Format },
	},
}

// lookup finds a setting by its key.
func lookup(key string) (*setting, bool) {
	for i := range settings {
		if settings[i].key == key {
			return &settings[i], true
		}
	}
	return nil, false
}

// value is the current value of a setting as one would write it.
func (s *setting) value(c *Config) string {
	switch p := s.field(c).(type) {
	case *string:
		return *p
	case *[]string:
		return strings.Join(*p, ",")
	case *int:
		return formatInt(int64(*p))
	case *size:
		return formatSize(*p)
	case *time.Duration:
		return formatDuration(*p)
	case *bool:
		return formatBool(*p)
	}
	panic("config: no way to write " + s.key) // a mistake in the table; every row is tested
}
