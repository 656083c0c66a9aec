package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Problem is one thing that is wrong.
type Problem struct {
	Key    string // "" when it is not about one
	Origin string // where it was set: "file:line", a variable or a flag; "" for a default
	Text   string // what is wrong and how to mend it
}

func (p Problem) String() string {
	switch {
	case p.Key == "":
		return p.Text
	case p.Origin == "":
		return p.Key + ": " + p.Text
	}
	return fmt.Sprintf("%s (%s): %s", p.Key, p.Origin, p.Text)
}

// Problems is everything that is wrong, one to a line.
type Problems []Problem

func (ps Problems) Error() string {
	lines := []string{"configuration:"}
	for _, p := range ps {
		lines = append(lines, "  "+p.String())
	}
	return strings.Join(lines, "\n")
}

var hostname = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$`)

// validate looks at what has been set as a whole. What could not be read has been complained about already.
func (l *loader) validate(c *Config) {
	l.check(c, "data_dir", c.DataDir != "", "a folder is needed")
	if l.check(c, "hostname", c.Hostname != "", "a name is needed") {
		ok := len(c.Hostname) <= 253 && hostname.MatchString(c.Hostname)
		l.check(c, "hostname", ok, fmt.Sprintf("%q is not the name of a machine", c.Hostname))
	}
	l.checkURL(c)
	l.checkListeners(c)
	l.checkTLS(c)
	l.checkACME(c)
	l.checkOAuth(c)
	l.checkDirectories(c)
	l.checkNetworks(c)
	l.checkNumbers(c)
	ok := len(c.LMTP.RecipientDelimiter) == 1 && strings.Contains("+-_=#.", c.LMTP.RecipientDelimiter)
	l.check(c, "lmtp.recipient_delimiter", ok, "one of + - _ = # . is needed")
}

// check complains unless ok, and returns it.
func (l *loader) check(c *Config, key string, ok bool, text string) bool {
	if !ok {
		l.complain(c, key, text)
	}
	return ok
}

// checkURL looks at the form only; the driver has the last word. It repeats nothing of a URL: there is a password in it.
func (l *loader) checkURL(c *Config) {
	raw := c.Database.URL
	if raw == "" {
		return
	}
	key := "database.url"
	if c.Database.URLFile != "" {
		key = "database.url_file"
	}
	if !strings.Contains(raw, "://") {
		l.check(c, key, strings.Contains(raw, "="), `neither a URL ("postgres://user:password@host/database") nor a list of keyword=value`)
		return
	}
	scheme, _, _ := strings.Cut(raw, "://")
	l.check(c, key, scheme == "postgres" || scheme == "postgresql", `a URL of PostgreSQL starts with "postgres://"`)
	if _, err := url.Parse(raw); err != nil && !strings.Contains(raw, ",") { // several hosts are no URL to net/url
		l.complain(c, key, "not a URL; characters such as @ : / % # in a password are written %40 %3A %2F %25 %23")
	}
}

func (l *loader) checkListeners(c *Config) {
	taken := make(map[string]string) // address → key
	for _, at := range []struct {
		key  string
		list []string
	}{
		{"imap.listen", c.IMAP.Listen},
		{"pop3.listen", c.POP3.Listen},
		{"imap.starttls_listen", c.IMAP.StartTLSListen},
		{"pop3.starttls_listen", c.POP3.StartTLSListen},
		{"lmtp.listen", c.LMTP.Listen},
		{"postfix.listen", c.Postfix.Listen},
		{"http.listen", c.HTTP.Listen},
		{"acme.http_listen", c.ACME.HTTPListen},
		{"acme.tls_listen", c.ACME.TLSListen},
	} {
		for _, addr := range at.list {
			if fault := addressFault(addr); fault != "" {
				l.complain(c, at.key, fmt.Sprintf("%q %s", addr, fault))
				continue
			}
			if other, ok := taken[addr]; ok && !strings.HasSuffix(addr, ":0") {
				l.complain(c, at.key, fmt.Sprintf("%s is taken by %s", addr, other))
			}
			taken[addr] = at.key
		}
	}
}

// addressFault says what is wrong with an address to listen on, if anything.
func addressFault(addr string) string {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		if !filepath.IsAbs(path) || len(path) > 100 {
			return "is not the socket of an absolute path of at most 100 octets"
		}
		return ""
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return `is not an address like ":993", "127.0.0.1:993", "[::1]:993" or "unix:/path"`
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return "has no port between 0 and 65535"
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil && !hostname.MatchString(host) {
		return "has no host before the port"
	}
	return ""
}

func (l *loader) checkTLS(c *Config) {
	if c.TLS.Mode != "files" {
		if c.TLS.CertFile+c.TLS.KeyFile != "" {
			l.complain(c, "tls.mode", fmt.Sprintf("is %s, but tls.cert_file or tls.key_file is set: set tls.mode to files and both of them", c.TLS.Mode))
		}
		return
	}
	for key, path := range map[string]string{"tls.cert_file": c.TLS.CertFile, "tls.key_file": c.TLS.KeyFile} {
		l.check(c, key, path != "", "is needed with tls.mode = files")
		l.checkReadable(c, key, path)
	}
}

func (l *loader) checkNetworks(c *Config) {
	for key, list := range map[string][]string{"auth.trusted": c.Auth.Trusted, "proxy.trusted": c.Proxy.Trusted} {
		for _, text := range list {
			_, err := parsePrefix(text)
			l.check(c, key, err == nil, fmt.Sprintf("%q is neither an address nor a network like 192.0.2.0/24", text))
		}
	}
}

// Networks parses addresses and networks that Load has checked: Auth.Trusted and Proxy.Trusted.
func Networks(texts []string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		if p, err := parsePrefix(text); err == nil {
			list = append(list, p)
		}
	}
	return list
}

func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

func (l *loader) checkNumbers(c *Config) {
	for _, n := range []struct {
		key            string
		value, low, up int64
	}{
		{"database.max_conns", int64(c.Database.MaxConns), 4, 10_000},
		{"lmtp.max_recipients", int64(c.LMTP.MaxRecipients), 100, 1_000_000}, // at least 100: RFC 5321 §4.5.3.1.8
		{"limits.message", c.Limits.Message, 64 << 10, 1 << 31},
		{"limits.connections", int64(c.Limits.Connections), 1, 1 << 20},
		{"limits.connections_per_address", int64(c.Limits.ConnectionsPerAddress), 1, 1 << 20},
		{"limits.sessions_per_account", int64(c.Limits.SessionsPerAccount), 1, 1 << 20},
		{"limits.mailboxes_per_account", int64(c.Limits.MailboxesPerAccount), 10, 200_000},
		{"limits.annotation", c.Limits.Annotation, 1 << 10, 1 << 20},
		{"limits.octets_before_login", c.Limits.OctetsBeforeLogin, 1 << 10, 1 << 30},
		{"limits.bad_commands", int64(c.Limits.BadCommands), 3, 1 << 30},
		{"limits.commands_per_second", int64(c.Limits.CommandsPerSecond), 0, 1 << 30},
		{"limits.commands_burst", int64(c.Limits.CommandsBurst), 1, 1 << 30},
		{"limits.min_rate", int64(c.Limits.MinRate), 0, 1 << 20},
		{"imap.answers", c.IMAP.Answers, 0, 1 << 40},
		{"imap.save_limit", int64(c.IMAP.SaveLimit), 0, 1 << 30},
		{"store.cache", c.Store.Cache, 1 << 20, 1 << 40},
		{"store.bodies", c.Store.Bodies, 4 << 20, 1 << 40},
		{"store.index_from", int64(c.Store.IndexFrom), 0, 1 << 30},
		{"store.index_load", int64(c.Store.IndexLoad), 1, 100},
		{"auth.ldap.questions", int64(c.Auth.LDAP.Questions), 1, 1000},
		{"auth.http.questions", int64(c.Auth.HTTP.Questions), 1, 1000},
	} {
		l.check(c, n.key, n.value >= n.low && n.value <= n.up, fmt.Sprintf("%d is not between %d and %d", n.value, n.low, n.up))
	}
	if n := c.IMAP.MessageLimit; n != 0 {
		l.check(c, "imap.message_limit", n >= 1000, fmt.Sprintf("%d is less than 1000", n))
	}
	const day = 24 * time.Hour
	for _, d := range []struct {
		key            string
		value, low, up time.Duration
	}{
		{"drain_timeout", c.DrainTimeout, 0, time.Hour},
		{"imap.idle_keepalive", c.IMAP.IdleKeepalive, 10 * time.Second, 29 * time.Minute}, // clients give up after 30
		{"limits.login_time", c.Limits.LoginTime, 10 * time.Second, time.Hour},
		{"limits.stall", c.Limits.Stall, 10 * time.Second, time.Hour},
		{"store.undelete", c.Store.Undelete, 0, 3650 * day},
		{"auth.history", c.Auth.History, day, 3650 * day},
		{"auth.oauth.timeout", c.Auth.OAuth.Timeout, 100 * time.Millisecond, 30 * time.Second},
		{"auth.ldap.timeout", c.Auth.LDAP.Timeout, 100 * time.Millisecond, 30 * time.Second},
		{"auth.ldap.cache", c.Auth.LDAP.Cache, 0, day},
		{"auth.http.timeout", c.Auth.HTTP.Timeout, 100 * time.Millisecond, 30 * time.Second},
		{"auth.http.cache", c.Auth.HTTP.Cache, 0, day},
	} {
		text := fmt.Sprintf("%s is not between %s and %s", formatDuration(d.value), formatDuration(d.low), formatDuration(d.up))
		l.check(c, d.key, d.value >= d.low && d.value <= d.up, text)
	}
}

// nearest suggests the key that was probably meant.
func nearest(key string) string {
	key = strings.ToLower(strings.TrimPrefix(key, prefix))
	plain := strings.NewReplacer(".", "_", "-", "_")
	best, least := "", len(key)/3+2
	for _, s := range settings {
		if d := distance(plain.Replace(key), plain.Replace(s.key)); d < least {
			best, least = s.key, d
		}
	}
	if best == "" {
		return `; "postern config show" lists them all`
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// distance is how many letters must be added, taken away or changed to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
