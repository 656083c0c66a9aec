package postfix

import "github.com/prometheus/client_golang/prometheus"

// Metrics is what a Server counts. A nil Metrics counts nothing.
type Metrics struct{ lookups *prometheus.CounterVec }

// NewMetrics makes Metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "postern_postfix_lookups_total", Help: "Questions of Postfix by map and answer: found, absent, error, bad.",
	}, []string{"map", "result"})}
	for name := range maps { // shown from the start, so that an alarm sees the first
		m.lookups.WithLabelValues(name, unavailable.result)
	}
	r.MustRegister(m.lookups)
	return m
}

// observe counts one question. Names come from the table of maps, or are "unknown": the label is bounded.
func (m *Metrics) observe(name, result string) {
	if m != nil {
		m.lookups.WithLabelValues(name, result).Inc()
	}
}
