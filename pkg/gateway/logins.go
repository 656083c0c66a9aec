package gateway

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"postern/pkg/auth"
	"postern/pkg/store"
)

// logins counts what an Authenticator decides.
type logins struct {
	auth.Authenticator
	total *prometheus.CounterVec
}

func countLogins(a *auth.Auth, r prometheus.Registerer) auth.Authenticator {
	l := &logins{a, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "postern_logins_total",
		Help: "Logins by protocol and result: ok, refused (wrong), throttled (too many wrong ones), busy (too many at once), abandoned, error (ours).",
	}, []string{"proto", "result"})}
	r.MustRegister(l.total, gauge("postern_bans", "Bans in force.", a.Bans),
		gauge("postern_login_queue", "Logins that wait for a password hash.", a.Waiting),
		gauge("postern_directory_queue", "Logins that wait to ask a directory elsewhere.", a.WaitingElsewhere))
	return l
}

// Login implements auth.Authenticator.
func (l *logins) Login(ctx context.Context, p auth.Peer, user, password string) (auth.Identity, error) {
	id, err := l.Authenticator.Login(ctx, p, user, password)
	l.count(p, err)
	return id, err
}

// Exchange implements auth.Authenticator.
func (l *logins) Exchange(ctx context.Context, p auth.Peer, mech string, initial []byte,
	ask func([]byte) ([]byte, error),
) (auth.Identity, error) {
	id, err := l.Authenticator.Exchange(ctx, p, mech, initial, ask)
	l.count(p, err)
	return id, err
}

func (l *logins) count(p auth.Peer, err error) {
	result := "abandoned"
	switch {
	case err == nil:
		result = "ok"
	case errors.Is(err, auth.ErrThrottled):
		result = "throttled"
	case errors.Is(err, auth.ErrDenied):
		result = "refused"
	case errors.Is(err, auth.ErrBusy):
		result = "busy"
	case errors.Is(err, store.ErrUnavailable):
		result = "error"
	}
	l.total.WithLabelValues(p.Protocol, result).Inc()
}

// countRefused makes the counter of connections that do not get to the protocol.
func countRefused(r prometheus.Registerer) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "postern_connections_refused_total",
		Help: "Connections refused before the protocol, by service and reason: full, address, proxy, handshake.",
	}, []string{"service", "reason"})
	r.MustRegister(c)
	return c
}

func gauge(name, help string, value func() int) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value()) })
}
