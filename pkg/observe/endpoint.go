package observe

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// Check says why something is not ready, nil when it is. It must return when ctx ends.
type Check func(ctx context.Context) error

// Endpoint serves /healthz, /readyz and /metrics over HTTP. Its fields are set before Serve.
type Endpoint struct {
	Gatherer prometheus.Gatherer
	Checks   map[string]Check // by name; all must pass for /readyz
	Warnings map[string]Check // those that fail are told there, and change nothing
	Log      *zap.Logger      // nil: no log

	once   sync.Once
	server *http.Server
}

// checkTime bounds a readiness check: a database that takes longer is not ready.
const checkTime = 3 * time.Second

func (e *Endpoint) http() *http.Server {
	e.once.Do(func() {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, readiness{Status: "ok"}) })
		mux.HandleFunc("GET /readyz", e.ready)
		mux.Handle("GET /metrics", promhttp.HandlerFor(e.Gatherer, promhttp.HandlerOpts{}))
		e.server = &http.Server{
			Handler:           mux,
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      30 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    16 << 10,
		}
		if e.Log != nil {
			e.server.ErrorLog, _ = zap.NewStdLogAt(e.Log, zap.WarnLevel)
		}
	})
	return e.server
}

// Serve answers until Shutdown; then it returns nil.
func (e *Endpoint) Serve(l net.Listener) error {
	if err := e.http().Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown stops accepting and waits for running requests, at most until ctx ends.
func (e *Endpoint) Shutdown(ctx context.Context) error { return e.http().Shutdown(ctx) }

// ready runs all checks at once and lists the ones that fail.
func (e *Endpoint) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTime)
	defer cancel()
	a := readiness{Status: "ok", Failed: faults(ctx, e.Checks), Warnings: faults(ctx, e.Warnings)}
	code := http.StatusOK
	if len(a.Failed) > 0 {
		a.Status, code = "not ready", http.StatusServiceUnavailable
	}
	answer(w, code, a)
}

// faults runs checks beside each other and returns what the failing ones say.
func faults(ctx context.Context, checks map[string]Check) map[string]string {
	var mu sync.Mutex
	var wg sync.WaitGroup
	failed := make(map[string]string)
	for name, check := range checks {
		wg.Go(func() {
			if err := check(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[name] = err.Error()
			}
		})
	}
	wg.Wait()
	return failed
}

// readiness is what /healthz and /readyz answer.
type readiness struct {
	Status   string            `json:"status"`
	Failed   map[string]string `json:"failed,omitempty"`
	Warnings map[string]string `json:"warnings,omitempty"`
}

func answer(w http.ResponseWriter, code int, a readiness) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// The client may be gone; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(a)
}
