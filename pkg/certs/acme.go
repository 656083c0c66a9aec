package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

const (
	// renewCheck is how often certificates are looked at: to renew those that are due, and to take over what another process
	// on the same storage has renewed, which must serve here within a minute.
	renewCheck = 45 * time.Second
	// loadWithin is how long a start may wait for certificates that are stored: a CA may be asked whether they are good.
	loadWithin = 5 * time.Second
	// allowedFor is how long the answer to "may this name have a certificate?" is good. Strangers ask for many names.
	allowedFor  = 30 * time.Second
	allowedKept = 10_000
	// acmeProtocol is what a CA that looks for TLS-ALPN-01 speaks (RFC 8737 §3).
	acmeProtocol = "acme-tls/1"
)

// CA is somebody who signs certificates over ACME (RFC 8555).
type CA struct {
	Directory string         // URL
	Roots     *x509.CertPool // to trust when talking to it; nil: those of the system
	KeyID     string         // of an account there that ours is bound to (RFC 8555 §7.3.4); "" for none
	HMAC      string         // its key, base64url
}

// ACME says how to get certificates from a CA.
type ACME struct {
	CAs     []CA     // the next is asked when one fails
	Email   string   // where the CA writes to; may be ""
	Names   []string // to have certificates for at all times; the first serves those who name none
	Storage certmagic.Storage
	// Allowed says whether a certificate may be ordered for another name when a client first asks for it; nil: never.
	Allowed func(ctx context.Context, name string) (bool, error)

	HTTP string      // address where the CA's HTTP-01 requests come in (a ChallengeServer serves it), "" for none
	TLS  string      // the same for TLS-ALPN-01
	DNS  DNSProvider // where DNS-01 records are made; then the others are not used. nil for none
	// Resolvers are asked whether DNS-01 records are there, "host:port"; none: those of the system.
	Resolvers []string

	RenewCheck time.Duration // 0 means 45 s
}

// DNSProvider makes and removes records; see RFC2136 and DNSHook.
type DNSProvider = certmagic.DNSProvider

// ordered gets its certificates from CAs. It is safe for concurrent use.
type ordered struct {
	opt     ACME
	log     *zap.Logger
	cache   *certmagic.Cache
	config  *certmagic.Config       // for opt.Names, which are ordered at once
	demand  *certmagic.Config       // for other names, which are ordered in handshakes; nil if there are none
	issuers []*certmagic.ACMEIssuer // of both: for challenges it does not matter whose
	allowed allowances
}

func newOrdered(opt ACME, log *zap.Logger) (*ordered, error) {
	if len(opt.CAs) == 0 || len(opt.Names) == 0 || opt.Storage == nil {
		return nil, errors.New("ACME needs a CA, a name and a storage")
	}
	if opt.RenewCheck == 0 {
		opt.RenewCheck = renewCheck
	}
	o := &ordered{opt: opt, log: log, allowed: allowances{known: make(map[string]allowance)}}
	o.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   o.configFor,
		RenewCheckInterval: opt.RenewCheck,
		Logger:             log,
	})
	var err error
	if o.config, err = o.configure(nil); err == nil && opt.Allowed != nil {
		o.demand, err = o.configure(&certmagic.OnDemandConfig{DecisionFunc: o.mayOrder})
	}
	if err != nil {
		o.cache.Stop()
		return nil, err
	}
	return o, nil
}

// configure makes a configuration over the one cache.
func (o *ordered) configure(demand *certmagic.OnDemandConfig) (*certmagic.Config, error) {
	config := certmagic.New(o.cache, certmagic.Config{
		Storage: o.opt.Storage, Logger: o.log, OnDemand: demand, DefaultServerName: o.opt.Names[0],
	})
	config.Issuers = nil // New has put the public ones there
	for _, ca := range o.opt.CAs {
		issuer, err := o.issuer(config, ca)
		if err != nil {
			return nil, err
		}
		o.issuers = append(o.issuers, issuer)
		config.Issuers = append(config.Issuers, issuer)
	}
	return config, nil
}

// configFor is whose a certificate in the cache is.
func (o *ordered) configFor(c certmagic.Certificate) (*certmagic.Config, error) {
	if o.demand == nil || slices.ContainsFunc(c.Names, o.own) {
		return o.config, nil
	}
	return o.demand, nil
}

// own reports whether a name is one of those there is always a certificate for.
func (o *ordered) own(name string) bool { return slices.Contains(o.opt.Names, name) }

// issuer sets up what CertMagic needs to order from a CA.
func (o *ordered) issuer(config *certmagic.Config, ca CA) (*certmagic.ACMEIssuer, error) {
	template := certmagic.ACMEIssuer{
		CA: ca.Directory, Email: o.opt.Email, Agreed: true, TrustedRoots: ca.Roots, Logger: o.log,
		DisableHTTPChallenge: o.opt.HTTP == "", DisableTLSALPNChallenge: o.opt.TLS == "",
	}
	if ca.KeyID != "" {
		template.ExternalAccount = &acme.EAB{KeyID: ca.KeyID, MACKey: ca.HMAC}
	}
	if o.opt.DNS != nil {
		template.DNS01Solver = &certmagic.DNS01Solver{DNSManager: certmagic.DNSManager{
			DNSProvider: o.opt.DNS, Resolvers: o.opt.Resolvers, Logger: o.log,
		}}
	}
	// CertMagic looks whether somebody answers there, which we do.
	var err error
	if template.AltHTTPPort, err = portOf(o.opt.HTTP); err != nil {
		return nil, err
	}
	if template.AltTLSALPNPort, err = portOf(o.opt.TLS); err != nil {
		return nil, err
	}
	return certmagic.NewACMEIssuer(config, template), nil
}

func portOf(addr string) (int, error) {
	if addr == "" {
		return 0, nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, fmt.Errorf("address for challenges: %w", err)
	}
	return strconv.Atoi(port)
}

// mayOrder is asked in handshakes for names that have no certificate yet, and before one is renewed.
func (o *ordered) mayOrder(ctx context.Context, name string) error {
	ok, err := o.allowed.ask(ctx, name, o.opt.Allowed)
	if err != nil {
		return fmt.Errorf("look whether %s may have a certificate: %w", name, err)
	}
	if !ok {
		return fmt.Errorf("%s is not in the list of hosts", name)
	}
	return nil
}

// load takes from the storage what is there, and leaves what is missing or due to run.
func (o *ordered) load(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, loadWithin)
	defer cancel()
	for _, name := range o.opt.Names {
		if _, err := o.config.CacheManagedCertificate(ctx, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			o.log.Warn("a stored certificate cannot be loaded yet", zap.String("name", name), zap.Error(err))
		}
	}
}

// run orders what is missing and keeps all fresh until ctx ends. A CA that fails is asked again, less and less often.
func (o *ordered) run(ctx context.Context) error {
	defer o.cache.Stop()
	if err := o.config.ManageAsync(ctx, o.opt.Names); err != nil {
		return fmt.Errorf("manage certificates: %w", err)
	}
	<-ctx.Done()
	return nil
}

// get returns the certificate for a handshake, ordering it if that is allowed. Challenges are answered for all names.
func (o *ordered) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(hello.ServerName)
	if o.demand == nil || name == "" || o.own(name) || slices.Contains(hello.SupportedProtos, acmeProtocol) {
		return o.config.GetCertificate(hello)
	}
	return o.demand.GetCertificate(hello)
}

// leaf is the certificate that is served for the first name, or nil.
func (o *ordered) leaf() *x509.Certificate {
	for _, c := range o.cache.AllMatchingCertificates(o.opt.Names[0]) {
		if c.Leaf != nil {
			return c.Leaf
		}
	}
	return nil
}

// challenges answers a CA that looks for HTTP-01 (RFC 8555 §8.3), for all processes on the storage.
func (o *ordered) challenges() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, issuer := range o.issuers {
			if issuer.HandleHTTPChallenge(w, r) {
				return
			}
		}
		http.NotFound(w, r)
	})
}

// challengeTLS is for a listener where only CAs that look for TLS-ALPN-01 are served (RFC 8737).
func (o *ordered) challengeTLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: o.get, NextProtos: []string{acmeProtocol}}
}

// allowances remembers answers for a while. It is safe for concurrent use.
type allowances struct {
	mu    sync.Mutex
	known map[string]allowance // guarded by mu
}

type allowance struct {
	ok    bool
	until time.Time
}

func (a *allowances) ask(ctx context.Context, name string, allowed func(context.Context, string) (bool, error)) (bool, error) {
	a.mu.Lock()
	k, found := a.known[name]
	a.mu.Unlock()
	if found && time.Now().Before(k.until) {
		return k.ok, nil
	}
	ok, err := allowed(ctx, name)
	if err != nil {
		return false, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) >= allowedKept {
		clear(a.known)
	}
	a.known[name] = allowance{ok, time.Now().Add(allowedFor)}
	return ok, nil
}
