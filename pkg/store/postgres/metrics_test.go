package postgres

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"postern/pkg/store"
)

func TestVerbIsBounded(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		"\nselect uid\nfrom messages": "select",
		"select\n1":                   "select",
		"with x as (select 1)":        "with",
		"begin isolation level":       "begin",
		"listen postern":              "other",
		"":                            "other",
	} {
		if got := verb(sql); got != want {
			t.Errorf("verb(%q) = %q, want %q", sql, got, want)
		}
	}
}

// TestMetrics reads mail and finds that in the registry.
func TestMetrics(t *testing.T) {
	t.Parallel()
	r := prometheus.NewPedanticRegistry()
	f := newFixture(t, func(o *Options) { o.Registerer = r })
	f.mail(plain("1", 10))
	f.openInbox(f.a)
	f.openInbox(f.a)
	if _, _, err := f.a.Open(t.Context(), "nowhere"); !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	f.await("a notification to be sent", func() bool { return value(t, r, "postern_notify_seconds") > 0 })
	for name, least := range map[string]float64{
		"postern_sql_seconds": 5, "postern_sql_statements_total": 10, "postern_sql_connections": 1,
		"postern_snapshot_cache_hits_total": 1, "postern_snapshot_cache_misses_total": 1, "postern_snapshot_cache_bytes": 1,
	} {
		if got := value(t, r, name); got < least {
			t.Errorf("%s = %v, want at least %v", name, got, least)
		}
	}
	if _, err := NewMetrics(r); err == nil || !strings.Contains(err.Error(), "register metrics") {
		t.Errorf("registered twice: %v", err)
	}
}

// value is a metric's value, or its number of observations, summed over its labels.
func value(t *testing.T, r *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}
