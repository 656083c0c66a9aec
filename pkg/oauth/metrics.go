package oauth

import "github.com/prometheus/client_golang/prometheus"

const (
	resultOK      = "ok"
	resultExpired = "expired"
	resultRefused = "refused"
	resultError   = "error"
)

// Metrics is what a Validator counts. A nil Metrics counts nothing.
type Metrics struct{ tokens, requests *prometheus.CounterVec }

// NewMetrics makes Metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_oauth_tokens_total", Help: "Access tokens by result: ok, expired, refused, error (the provider could not be asked).",
		}, []string{"result"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_oauth_requests_total", Help: "Questions to providers, discovery with keys or introspection, by result: ok, error.",
		}, []string{"request", "result"}),
	}
	for _, name := range []string{"discovery", "introspection"} { // shown from the start, so that an alarm sees the first
		m.requests.WithLabelValues(name, resultError)
	}
	m.tokens.WithLabelValues(resultError)
	r.MustRegister(m.tokens, m.requests)
	return m
}

func (m *Metrics) checked(result string) {
	if m != nil {
		m.tokens.WithLabelValues(result).Inc()
	}
}

func (m *Metrics) asked(request string, err error) {
	if m == nil {
		return
	}
	result := resultOK
	if err != nil {
		result = resultError
	}
	m.requests.WithLabelValues(request, result).Inc()
}
