package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
)

// notPublic are the domains for which no CA gives certificates (RFC 2606, RFC 6761, RFC 6762, RFC 8375, and what is used
// without an RFC).
var notPublic = []string{
	"localhost", "test", "example", "invalid", "local", "internal", "home.arpa", "lan", "home", "corp", "localdomain",
	"example.com", "example.net", "example.org",
}

// publicName reports whether a CA could know a name.
func publicName(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if _, err := netip.ParseAddr(name); err == nil || !strings.Contains(name, ".") {
		return false
	}
	for _, domain := range notPublic {
		if name == domain || strings.HasSuffix(name, "."+domain) {
			return false
		}
	}
	return true
}

// checkACME looks at what ACME needs, if it is used.
func (l *loader) checkACME(c *Config) {
	if c.TLS.Mode != "acme" {
		return
	}
	a := &c.ACME
	for key, raw := range map[string]string{"acme.directory": a.Directory, "acme.fallback_directory": a.FallbackDirectory} {
		u, err := url.Parse(raw)
		optional := raw == "" && key != "acme.directory"
		l.check(c, key, optional || err == nil && u.Scheme == "https" && u.Host != "", fmt.Sprintf("%q is not a URL with https", raw))
	}
	for _, name := range a.Names {
		l.check(c, "acme.names", hostname.MatchString(name) && strings.Contains(name, "."), fmt.Sprintf("%q is not the name of a host", name))
	}
	l.checkBinding(c, "acme.key_id", a.KeyID, "acme.hmac_file", a.HMACFile)
	l.checkBinding(c, "acme.fallback_key_id", a.FallbackKeyID, "acme.fallback_hmac_file", a.FallbackHMACFile)
	for key, path := range map[string]string{
		"acme.hmac_file": a.HMACFile, "acme.fallback_hmac_file": a.FallbackHMACFile, "acme.roots_file": a.RootsFile,
		"acme.dns_key_file": a.DNSKeyFile,
	} {
		l.checkReadable(c, key, path)
	}
	for key, list := range map[string][]string{"acme.http_listen": a.HTTPListen, "acme.tls_listen": a.TLSListen} {
		l.check(c, key, len(list) <= 1 && !strings.HasPrefix(strings.Join(list, ""), "unix:"), "one address with a port is needed, or \"off\"")
	}
	l.checkDNS(c)
}

func (l *loader) checkBinding(c *Config, idKey, id, fileKey, file string) {
	l.check(c, idKey, id != "" || file == "", "is needed with "+fileKey)
	l.check(c, fileKey, id == "" || file != "", "is needed with "+idKey)
}

// checkReadable complains of a file that is named and cannot be read.
func (l *loader) checkReadable(c *Config, key, path string) {
	if path == "" {
		return
	}
	f, err := os.Open(path)
	if !l.check(c, key, err == nil, fmt.Sprint(err)) {
		return
	}
	f.Close()
}

func (l *loader) checkDNS(c *Config) {
	a := &c.ACME
	switch a.DNS {
	case "":
		l.check(c, "acme.http_listen", len(a.HTTPListen)+len(a.TLSListen) > 0,
			"the CA must be able to look at us: set it, acme.tls_listen or acme.dns; or tls.mode to files or self-signed")
	case "rfc2136":
		_, _, err := net.SplitHostPort(a.DNSServer)
		l.check(c, "acme.dns_server", err == nil, `an address like "ns1.example.org:53" is needed with acme.dns = rfc2136`)
		l.check(c, "acme.dns_key_name", a.DNSKeyName != "", "is needed with acme.dns = rfc2136")
		l.check(c, "acme.dns_key_file", a.DNSKeyFile != "", "is needed with acme.dns = rfc2136")
	case "hook":
		l.check(c, "acme.dns_hook", len(a.DNSHook) > 0, "is needed with acme.dns = hook")
	}
	for _, addr := range a.Resolvers {
		_, _, err := net.SplitHostPort(addr)
		l.check(c, "acme.resolvers", err == nil, fmt.Sprintf("%q is not an address like \"192.0.2.53:53\"", addr))
	}
}
