package lmtp

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postern/pkg/serve"
)

// Metrics is what a Server counts. A nil Metrics counts nothing.
type Metrics struct {
	sessions   prometheus.Gauge
	commands   *prometheus.CounterVec
	deliveries *prometheus.CounterVec
	seconds    prometheus.Histogram
	octets     prometheus.Counter
	limits     *prometheus.CounterVec // limit
}

// NewMetrics makes Metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		sessions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postern_lmtp_sessions", Help: "LMTP sessions that are open.",
		}),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_lmtp_commands_total", Help: "LMTP commands by how they went: ok, refused, bad, error.",
		}, []string{"command", "result"}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_lmtp_deliveries_total",
			Help: "Recipients by what became of their message: delivered, again (a repetition, not stored twice), deferred (4xx), refused (5xx).",
		}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "postern_lmtp_delivery_seconds", Help: "Time it took to store a message for a recipient.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 10),
		}),
		octets: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postern_lmtp_delivered_octets_total", Help: "Octets of delivered messages, counted for each recipient.",
		}),
		limits: serve.NewLimited("postern_lmtp_limited_total", "LMTP sessions that a limit has ended, by limit.",
			serve.LimitBad, serve.LimitSlowReader, serve.LimitSlowWriter),
	}
	r.MustRegister(m.sessions, m.commands, m.deliveries, m.seconds, m.octets, m.limits)
	return m
}

// limited counts a session that a limit has ended.
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

func (m *Metrics) end() {
	if m != nil {
		m.sessions.Dec()
	}
}

// observe counts one command. Names come from the table of commands, or are "unknown": the label is bounded.
func (m *Metrics) observe(command string, r *reply) {
	if m == nil {
		return
	}
	result := "refused"
	switch {
	case r == nil:
		result = "ok"
	case r.bad():
		result = "bad"
	case r.code == unavailable.code:
		result = "error"
	}
	m.commands.WithLabelValues(command, result).Inc()
}

// delivered counts one recipient.
func (m *Metrics) delivered(code int, again bool, size int64, took time.Duration) {
	if m == nil {
		return
	}
	result := "delivered"
	switch {
	case code >= 500:
		result = "refused"
	case code >= 400:
		result = "deferred"
	case again:
		result = "again"
	}
	m.deliveries.WithLabelValues(result).Inc()
	m.seconds.Observe(took.Seconds())
	if result == "delivered" {
		m.octets.Add(float64(size))
	}
}
