package pop3

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postern/pkg/serve"
)

// result is how a command went.
type result uint8

const (
	resultRefused result = iota // a rule said no
	resultOK
	resultBad   // not POP3
	resultError // our side failed
)

var resultNames = [...]string{resultRefused: "refused", resultOK: "ok", resultBad: "bad", resultError: "error"}

// Metrics is what a Server counts. A nil Metrics counts nothing.
type Metrics struct {
	sessions prometheus.Gauge
	commands *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	octets   *prometheus.CounterVec
	limits   *prometheus.CounterVec // limit
}

// NewMetrics makes Metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		sessions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postern_pop3_sessions", Help: "POP3 sessions that are open.",
		}),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_pop3_commands_total", Help: "POP3 commands by how they went: ok, refused, bad, error.",
		}, []string{"command", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "postern_pop3_command_seconds", Help: "Time a POP3 command took, with the time the client took to read.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 10),
		}, []string{"command"}),
		octets: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_pop3_octets_total", Help: "Octets of ended POP3 sessions, by direction: in, out.",
		}, []string{"direction"}),
		limits: serve.NewLimited("postern_pop3_limited_total", "POP3 sessions that a limit has ended, or slowed down (command-rate), by limit.",
			serve.LimitEarlyOctets, serve.LimitEarlyCommands, serve.LimitFailures, serve.LimitBad,
			serve.LimitRate, serve.LimitSlowReader),
	}
	r.MustRegister(m.sessions, m.commands, m.seconds, m.octets, m.limits)
	return m
}

// limited counts a session that a limit has ended or slowed down.
func (m *Metrics) limited(limit string) {
	if m != nil {
		m.limits.WithLabelValues(limit).Inc()
	}
}

func (m *Metrics) begin() {
	if m != nil {
		m.sessions.Inc()
	}
}

func (m *Metrics) end(t *tally) {
	if m == nil {
		return
	}
	m.sessions.Dec()
	m.octets.WithLabelValues("in").Add(float64(t.in))
	m.octets.WithLabelValues("out").Add(float64(t.out))
}

// observe counts one command. Names come from the table of commands, or are "unknown": the label is bounded.
func (m *Metrics) observe(command string, r result, took time.Duration) {
	if m == nil {
		return
	}
	m.commands.WithLabelValues(command, resultNames[r]).Inc()
	m.seconds.WithLabelValues(command).Observe(took.Seconds())
}
