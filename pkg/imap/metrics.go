package imap

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postern/pkg/serve"
)

// Metrics is what a Server counts. A nil Metrics counts nothing.
type Metrics struct {
	sessions   prometheus.Gauge
	commands   *prometheus.CounterVec   // command, result
	seconds    *prometheus.HistogramVec // command
	octets     *prometheus.CounterVec   // direction
	unreadable prometheus.Counter
	limits     *prometheus.CounterVec // limit
}

// NewMetrics makes and registers the metrics of IMAP. It panics when they are registered already.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		sessions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postern_imap_sessions", Help: "Open IMAP connections.",
		}),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_imap_commands_total", Help: "IMAP commands by name and result (ok, refused, bad, error).",
		}, []string{"command", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "postern_imap_command_seconds", Help: "How long IMAP commands took, IDLE excepted.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 10),
		}, []string{"command"}),
		octets: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_imap_octets_total", Help: "Octets of ended IMAP sessions, before encryption.",
		}, []string{"direction"}),
		unreadable: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postern_imap_unreadable_messages_total", Help: "Messages that FETCH could not read from the store.",
		}),
		limits: serve.NewLimited("postern_imap_limited_total", "IMAP sessions that a limit has ended, or slowed down (command-rate), by limit.",
			serve.LimitEarlyOctets, serve.LimitEarlyCommands, serve.LimitFailures, serve.LimitBad,
			serve.LimitRate, serve.LimitSlowReader, serve.LimitSlowWriter),
	}
	r.MustRegister(m.sessions, m.commands, m.seconds, m.octets, m.unreadable, m.limits)
	return m
}

func (m *Metrics) opened() {
	if m != nil {
		m.sessions.Inc()
	}
}

func (m *Metrics) closed(in, out int64) {
	if m != nil {
		m.sessions.Dec()
		m.octets.WithLabelValues("in").Add(float64(in))
		m.octets.WithLabelValues("out").Add(float64(out))
	}
}

// ran counts a command. name is from the table, or "unknown".
func (m *Metrics) ran(name string, r result, took time.Duration) {
	if m == nil {
		return
	}
	m.commands.WithLabelValues(name, string(r)).Inc()
	if name != "IDLE" {
		m.seconds.WithLabelValues(name).Observe(took.Seconds())
	}
}

// limited counts a session that a limit has ended or slowed down; "" is none.
func (m *Metrics) limited(limit string) {
	if m != nil && limit != "" {
		m.limits.WithLabelValues(limit).Inc()
	}
}

// unread counts a message that could not be read.
func (m *Metrics) unread() {
	if m != nil {
		m.unreadable.Inc()
	}
}
