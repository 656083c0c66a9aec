package directory

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"postern/pkg/auth"
)

// Metrics is what is counted of directories.
type Metrics struct {
	questions *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
}

// NewMetrics makes Metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		questions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_directory_questions_total",
			Help: "Questions to directories elsewhere by result: ok, refused (wrong), abandoned (by the client), error (no answer).",
		}, []string{"directory", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "postern_directory_seconds", Help: "How long directories elsewhere took.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 30},
		}, []string{"directory"}),
	}
	for _, name := range []string{"ldap", "http"} { // shown from the start, so that an alarm sees the first
		m.questions.WithLabelValues(name, "error")
		m.seconds.WithLabelValues(name)
	}
	r.MustRegister(m.questions, m.seconds)
	return m
}

// watched is a Checker whose answers are counted, and whose outages are logged.
type watched struct {
	auth.Checker
	name    string
	log     *zap.Logger
	metrics *Metrics

	mu   sync.Mutex
	away bool // guarded by mu
}

// Watch counts a directory's answers under a name, and logs when there are none any more, and when there are again.
func Watch(name string, c auth.Checker, log *zap.Logger, m *Metrics) auth.Checker {
	return &watched{Checker: c, name: name, log: log, metrics: m}
}

// Check implements auth.Checker.
func (w *watched) Check(ctx context.Context, q auth.Question) (bool, error) {
	start := time.Now()
	ok, err := w.Checker.Check(ctx, q)
	w.metrics.seconds.WithLabelValues(w.name).Observe(time.Since(start).Seconds())
	result := "ok"
	switch {
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		result = "abandoned"
	case err != nil:
		result = "error"
		w.note(err)
	case !ok:
		result = "refused"
		w.note(nil)
	default:
		w.note(nil)
	}
	w.metrics.questions.WithLabelValues(w.name, result).Inc()
	return ok, err
}

// note leaves one line when an outage begins and one when it ends.
func (w *watched) note(err error) {
	w.mu.Lock()
	changed := w.away != (err != nil)
	w.away = err != nil
	w.mu.Unlock()
	switch {
	case !changed:
	case err != nil:
		w.log.Warn("directory cannot be asked", zap.String("directory", w.name), zap.Error(err))
	default:
		w.log.Info("directory is back", zap.String("directory", w.name))
	}
}
