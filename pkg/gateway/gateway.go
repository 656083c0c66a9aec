// Package gateway wires Postern together: it opens the store, builds the servers and their listeners, serves until it is
// told to stop, and stops in order. It is the only package that knows all the others.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"postern/pkg/auth"
	"postern/pkg/certs"
	"postern/pkg/config"
	"postern/pkg/imap"
	"postern/pkg/listen"
	"postern/pkg/lmtp"
	"postern/pkg/oauth"
	"postern/pkg/observe"
	"postern/pkg/pop3"
	"postern/pkg/postfix"
	"postern/pkg/serve"
)

// Options is what a Gateway is made of besides the settings.
type Options struct {
	Config   *config.Config
	Log      *zap.Logger // nil: no log
	Registry *prometheus.Registry
	Version  string
	// RenewCheck is how often certificates of a CA are looked at; 0 means what package certs holds right.
	RenewCheck time.Duration
}

// Gateway is a Postern with its listeners open. Run serves on them.
type Gateway struct {
	log     *zap.Logger
	backend *Backend
	certs   *certs.Manager
	refused *prometheus.CounterVec // connections, by service and reason
	auth    *auth.Auth
	tokens  *oauth.Validator // nil: access tokens are not taken
	drain   time.Duration
	// services in the order in which they are told to stop: mail stops coming in first, health is answered to the end.
	services []service
}

// server is what every protocol's server does, as net/http's.
type server interface {
	Serve(l net.Listener) error
	Shutdown(ctx context.Context) error
}

type service struct {
	name      string
	server    server
	listeners []net.Listener
}

// New opens the database (starting the private one if none is configured), the certificates and the listeners. It refuses
// on the first thing that is wrong and leaves nothing running then.
func New(ctx context.Context, o Options) (_ *Gateway, err error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Registry == nil {
		o.Registry = observe.NewRegistry()
	}
	g := &Gateway{log: o.Log, drain: o.Config.DrainTimeout, refused: countRefused(o.Registry)}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	if err = CheckSettings(o.Config); err != nil {
		return nil, err
	}
	if g.backend, err = OpenBackend(ctx, o); err != nil {
		return nil, err
	}
	if g.certs, err = newCerts(ctx, o, g.backend.Store); err != nil {
		return nil, err
	}
	if g.tokens, err = newTokens(o); err != nil {
		return nil, err
	}
	if g.auth, err = newAuth(o, g.backend.Store, g.tokens, g.noticer(o)); err != nil {
		return nil, err
	}
	for _, s := range g.plan(o) {
		if err := g.listen(ctx, s); err != nil {
			return nil, fmt.Errorf("%s: %w", s.setting(), err)
		}
	}
	return g, nil
}

// planned is a service before its listeners are open.
type planned struct {
	name   string
	server server
	addrs  []string
	listen listen.Options
}

// setting is what says where the service listens.
func (p planned) setting() string {
	if strings.Contains(p.name, ".") {
		return p.name + "_listen"
	}
	return p.name + ".listen"
}

// plan builds the servers.
func (g *Gateway) plan(o Options) []planned {
	c, st := o.Config, g.backend.Store
	who := countLogins(g.auth, o.Registry)
	clients := listen.Options{
		TLS: g.certs.TLSConfig(), Proxies: config.Networks(c.Proxy.Trusted),
		Max: c.Limits.Connections, MaxPerAddr: c.Limits.ConnectionsPerAddress, Handshake: min(listen.DefaultHandshake, c.Limits.LoginTime),
	}
	later := clients
	later.TLS, later.StartTLS = nil, clients.TLS
	pops := &pop3.Server{
		Accounts: st, Auth: who, Hostname: c.Hostname, Log: o.Log.Named("pop3"), Metrics: pop3.NewMetrics(o.Registry),
		LoginTimeout: c.Limits.LoginTime, Limits: limitsOf(c.Limits),
	}
	imaps := &imap.Server{
		Accounts: st, Auth: who, Hostname: c.Hostname, Version: o.Version, Log: o.Log.Named("imap"),
		Metrics: imap.NewMetrics(o.Registry), MaxMessage: c.Limits.Message, IdleKeepalive: c.IMAP.IdleKeepalive,
		MaxSessionsPerAccount: c.Limits.SessionsPerAccount, MaxMetadata: int(c.Limits.Annotation), Admin: c.IMAP.Admin,
		Disable: c.IMAP.Disable, Admins: c.IMAP.Admins, NotWithAnyone: !c.IMAP.ShareWithAnyone, UIDOnly: c.IMAP.UIDOnly,
		Answers: positive(c.IMAP.Answers), MessageLimit: c.IMAP.MessageLimit, SaveLimit: c.IMAP.SaveLimit,
		LoginTimeout: c.Limits.LoginTime, Limits: limitsOf(c.Limits),
	}
	plan := []planned{
		{"lmtp", &lmtp.Server{
			Accounts: st, Hostname: c.Hostname, Log: o.Log.Named("lmtp"), Metrics: lmtp.NewMetrics(o.Registry),
			MaxSize: c.Limits.Message, MaxRecipients: c.LMTP.MaxRecipients, QuotaReject: c.LMTP.QuotaReject == "552",
			Detail: lmtp.Detail(c.LMTP.Detail), Limits: limitsOf(c.Limits),
		}, c.LMTP.Listen, listen.Options{Max: c.Limits.Connections, MaxPerAddr: -1}},
		{"postfix", &postfix.Server{
			Accounts: st, QuotaReject: c.LMTP.QuotaReject == "552", Log: o.Log.Named("postfix"),
			Metrics: postfix.NewMetrics(o.Registry),
		}, c.Postfix.Listen, listen.Options{Max: c.Limits.Connections, MaxPerAddr: -1}},
		{"pop3", pops, c.POP3.Listen, clients},
		{"imap", imaps, c.IMAP.Listen, clients},
		{"pop3.starttls", pops, c.POP3.StartTLSListen, later},
		{"imap.starttls", imaps, c.IMAP.StartTLSListen, later},
	}
	if challenges := g.certs.ChallengeServer(); challenges != nil {
		plan = append(plan,
			planned{"acme.http", challenges, c.ACME.HTTPListen, listen.Options{MaxPerAddr: -1}},
			planned{"acme.tls", g.certs.ChallengeServer(), c.ACME.TLSListen, listen.Options{TLS: g.certs.ChallengeTLS(), MaxPerAddr: -1}})
	}
	return append(plan, planned{"http", &observe.Endpoint{ // last: it answers while the others stop
		Gatherer: o.Registry, Log: o.Log.Named("http"), Checks: map[string]observe.Check{"database": st.Ping},
		Warnings: map[string]observe.Check{"certificate": func(context.Context) error { return g.certs.ExpiresSoon() }},
	}, c.HTTP.Listen, listen.Options{}})
}

// limitsOf is what the servers of all protocols are told of the limits.
func limitsOf(c config.Limits) serve.Limits {
	return serve.Limits{
		Early: c.OctetsBeforeLogin, Bad: c.BadCommands, Rate: positive(c.CommandsPerSecond), Burst: c.CommandsBurst,
		Stall: c.Stall, MinRate: positive(c.MinRate),
	}
}

// listen opens the listeners of a service; one without addresses is switched off.
func (g *Gateway) listen(ctx context.Context, p planned) error {
	p.listen.Log = g.log.Named(p.name)
	for _, reason := range []listen.Reason{listen.Full, listen.Crowded, listen.Unproxied, listen.Unshaken} {
		g.refused.WithLabelValues(p.name, string(reason)) // shown before there are any
	}
	p.listen.Refused = func(reason listen.Reason) { g.refused.WithLabelValues(p.name, string(reason)).Inc() }
	s := service{name: p.name, server: p.server}
	for _, p.listen.Addr = range p.addrs {
		l, err := listen.Listen(ctx, p.listen)
		if err != nil {
			return errors.Join(err, s.close())
		}
		s.listeners = append(s.listeners, l)
	}
	g.services = append(g.services, s)
	return nil
}

func (s *service) close() error {
	var errs []error
	for _, l := range s.listeners {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Addr is where a service listens: "imap", "pop3", "lmtp" or "http"; nil if it is switched off.
func (g *Gateway) Addr(name string) net.Addr {
	for _, s := range g.services {
		if s.name == name && len(s.listeners) > 0 {
			return s.listeners[0].Addr()
		}
	}
	return nil
}

// Run serves until ctx ends, then stops accepting, tells the sessions, waits for what is running, at most for the drain
// time, and closes the store. It returns nil after an orderly stop. A Gateway runs once.
func (g *Gateway) Run(ctx context.Context) error {
	defer func() {
		g.close()
		g.log.Info("stopped")
	}()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.certs.Run(ctx) })
	group.Go(func() error { return g.auth.Run(ctx) })
	group.Go(func() error { return g.tokens.Warm(ctx) })
	for _, s := range g.services {
		for _, l := range s.listeners {
			g.log.Info("listening", zap.String("service", s.name), zap.Stringer("addr", l.Addr()))
			group.Go(func() error {
				if err := s.server.Serve(l); err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
				return nil
			})
		}
	}
	group.Go(func() error {
		<-ctx.Done()
		return g.shutdown()
	})
	return group.Wait()
}

// shutdown ends the services of mail together and then the endpoint. That a client did not leave in time is no failure:
// its connection was closed.
func (g *Gateway) shutdown() error {
	g.log.Info("stopping", zap.Duration("at_most", g.drain))
	ctx, cancel := context.WithTimeout(context.Background(), g.drain)
	defer cancel()
	var mail errgroup.Group
	last := len(g.services) - 1
	for _, s := range g.services[:last] {
		mail.Go(func() error { return g.stop(ctx, s) })
	}
	return errors.Join(mail.Wait(), g.stop(ctx, g.services[last]))
}

func (g *Gateway) stop(ctx context.Context, s service) error {
	err := s.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		g.log.Warn("sessions were cut off", zap.String("service", s.name))
		return nil
	}
	return err
}

func (g *Gateway) close() {
	for _, s := range g.services {
		if err := s.close(); err != nil {
			g.log.Warn("close listener", zap.String("service", s.name), zap.Error(err))
		}
	}
	if g.backend != nil {
		g.backend.Close()
	}
}
