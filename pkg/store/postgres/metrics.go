package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics is what a Store counts. It is also the pool's tracer, so that timing costs no layer. It is safe for
// concurrent use.
type Metrics struct {
	times        *prometheus.HistogramVec
	statements   prometheus.Counter
	cacheHits    prometheus.Counter
	cacheMisses  prometheus.Counter
	cacheBytes   prometheus.Gauge
	warmed       prometheus.Counter
	keyBytes     prometheus.Gauge
	keysMade     prometheus.Counter
	notifyDelay  prometheus.Histogram
	alone        prometheus.GaugeFunc
	presence     atomic.Pointer[presence]
	bodyErrors   prometheus.Counter
	sweptBodies  prometheus.Counter
	indexed      prometheus.Counter
	unindexed    prometheus.Counter
	indexMerged  prometheus.Counter
	indexLag     prometheus.Gauge
	connsInUse   prometheus.GaugeFunc
	connsTotal   prometheus.GaugeFunc
	connsAwaited prometheus.CounterFunc
	pool         atomic.Pointer[pgxpool.Pool]
}

// NewMetrics makes Metrics and registers them; r may be nil.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		times: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "postern_sql_seconds", Help: "Time of SQL statements and pipelines.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
		}, []string{"kind", "result"}),
		statements:  counter("postern_sql_statements_total", "SQL statements, those of pipelines one by one."),
		cacheHits:   counter("postern_snapshot_cache_hits_total", "Mailboxes opened that were in memory."),
		cacheMisses: counter("postern_snapshot_cache_misses_total", "Mailboxes opened that had to be read."),
		cacheBytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postern_snapshot_cache_bytes", Help: "Memory taken by snapshots of mailboxes.",
		}),
		warmed: counter("postern_snapshot_cache_warmed_total", "Mailboxes read after the start because they were in memory before it."),
		keyBytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postern_sort_keys_bytes", Help: "Memory taken by the sort keys of mailboxes.",
		}),
		keysMade: counter("postern_sort_keys_made_total", "Messages whose sort keys had to be made of their headers."),
		notifyDelay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "postern_notify_seconds", Help: "Time from a commit to the notification of other processes.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8),
		}),
		bodyErrors:  counter("postern_body_errors_total", "Bodies of messages found missing or damaged."),
		sweptBodies: counter("postern_swept_bodies_total", "Bodies of messages deleted for good."),
		indexed:     counter("postern_index_messages_total", "Messages put into the index for substring search."),
		unindexed:   counter("postern_index_skipped_total", "Messages left out of the index, which searches read."),
		indexMerged: counter("postern_index_merged_total", "Segments of the index merged into greater ones."),
		indexLag: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postern_index_lag", Help: "Messages of large mailboxes that are not indexed yet.",
		}),
	}
	m.gauges()
	return m, m.register(r)
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

func (m *Metrics) gauges() {
	m.connsInUse = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "postern_sql_connections_in_use", Help: "Database connections in use.",
	}, m.stat(func(s *pgxpool.Stat) float64 { return float64(s.AcquiredConns()) }))
	m.connsTotal = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "postern_sql_connections", Help: "Database connections open.",
	}, m.stat(func(s *pgxpool.Stat) float64 { return float64(s.TotalConns()) }))
	m.alone = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "postern_alone", Help: "1 while no other process is on the database, so that what is in memory is enough.",
	}, m.aloneness)
	m.connsAwaited = prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "postern_sql_connection_waits_total", Help: "How often a connection had to be waited for.",
	}, m.stat(func(s *pgxpool.Stat) float64 { return float64(s.EmptyAcquireCount()) }))
}

// aloneness is 1 while the process is alone.
func (m *Metrics) aloneness() float64 {
	if p := m.presence.Load(); p != nil && p.alone() {
		return 1
	}
	return 0
}

// stat reads from the pool, once there is one.
func (m *Metrics) stat(read func(*pgxpool.Stat) float64) func() float64 {
	return func() float64 {
		if pool := m.pool.Load(); pool != nil {
			return read(pool.Stat())
		}
		return 0
	}
}

func (m *Metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{
		m.times, m.statements, m.cacheHits, m.cacheMisses, m.cacheBytes, m.warmed, m.keyBytes, m.keysMade, m.notifyDelay, m.alone,
		m.bodyErrors, m.sweptBodies,
		m.connsInUse, m.connsTotal, m.connsAwaited, m.indexed, m.unindexed, m.indexMerged, m.indexLag,
	} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

// tally is the key under which a context may carry a *atomic.Int64 that counts the statements run on its behalf.
type tally struct{}

func (m *Metrics) count(ctx context.Context, n int) {
	m.statements.Add(float64(n))
	if c, ok := ctx.Value(tally{}).(*atomic.Int64); ok {
		c.Add(int64(n))
	}
}

type traced struct {
	start time.Time
	kind  string
}

type tracedKey struct{}

// TraceQueryStart implements pgx.QueryTracer.
func (m *Metrics) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	m.count(ctx, 1)
	return context.WithValue(ctx, tracedKey{}, traced{time.Now(), verb(data.SQL)})
}

// TraceQueryEnd implements pgx.QueryTracer.
func (m *Metrics) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	m.observe(ctx, data.Err)
}

// TraceBatchStart implements pgx.BatchTracer.
func (m *Metrics) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	m.count(ctx, data.Batch.Len())
	return context.WithValue(ctx, tracedKey{}, traced{time.Now(), "pipeline"})
}

// TraceBatchQuery implements pgx.BatchTracer.
func (m *Metrics) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (m *Metrics) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchEndData) {
	m.observe(ctx, data.Err)
}

func (m *Metrics) observe(ctx context.Context, err error) {
	t, ok := ctx.Value(tracedKey{}).(traced)
	if !ok {
		return
	}
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.times.WithLabelValues(t.kind, result).Observe(time.Since(t.start).Seconds())
}

// verb is the first word of a statement, so that the number of labels is bounded.
func verb(sql string) string {
	word, _, _ := strings.Cut(strings.TrimLeft(sql, " \n\t"), " ")
	word, _, _ = strings.Cut(word, "\n")
	switch word {
	case "select", "insert", "update", "delete", "with", "begin", "commit", "rollback":
		return word
	}
	return "other"
}
