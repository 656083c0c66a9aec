package serve

import "github.com/prometheus/client_golang/prometheus"

// The limits that end sessions, or slow them down, as metrics and documents name them.
const (
	LimitEarlyOctets   = "early-octets"
	LimitEarlyCommands = "early-commands"
	LimitFailures      = "failed-logins"
	LimitBad           = "bad-commands"
	LimitRate          = "command-rate"
	LimitSlowReader    = "slow-reader"
	LimitSlowWriter    = "slow-writer"
)

// NewLimited makes a counter of sessions by the limit that ended or slowed them. The limits a protocol has are shown before they
// have done either. The caller registers it.
func NewLimited(name, help string, limits ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"limit"})
	for _, limit := range limits {
		c.WithLabelValues(limit)
	}
	return c
}
