package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

func TestNewLogger(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := NewLogger(&out, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("not this")
	log.Info("this", zap.String("conn", "x1"))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["msg"] != "this" || line["conn"] != "x1" {
		t.Errorf("got %q, %v", out.String(), err)
	}
	out.Reset()
	if log, err = NewLogger(&out, "debug", "console"); err != nil {
		t.Fatal(err)
	}
	log.Debug("seen")
	if !strings.Contains(out.String(), "DEBUG\tseen") {
		t.Errorf("got %q", out.String())
	}
	for _, bad := range [][2]string{{"loud", "json"}, {"info", "xml"}} {
		if _, err := NewLogger(&out, bad[0], bad[1]); err == nil {
			t.Errorf("NewLogger(%q) succeeded", bad)
		}
	}
}

func TestEndpoint(t *testing.T) {
	t.Parallel()
	reg := NewRegistry()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "postern_test", Help: "A test."})
	reg.MustRegister(gauge)
	gauge.Set(7)
	var down atomic.Bool
	e := &Endpoint{Gatherer: reg, Log: zap.NewNop(), Checks: map[string]Check{
		"database": func(context.Context) error {
			if down.Load() {
				return errors.New("away")
			}
			return nil
		},
		"other": func(context.Context) error { return nil },
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- e.Serve(l) }()
	get := func(path string, code int, want string) {
		t.Helper()
		resp, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != code || !strings.Contains(string(body), want) {
			t.Errorf("GET %s: %d %s, want %d %s", path, resp.StatusCode, body, code, want)
		}
	}
	get("/healthz", 200, `{"status":"ok"}`)
	get("/readyz", 200, `{"status":"ok"}`)
	get("/metrics", 200, "postern_test 7\n")
	get("/else", 404, "")
	down.Store(true)
	get("/readyz", 503, `{"status":"not ready","failed":{"database":"away"}}`)
	get("/healthz", 200, "")
	if err := errors.Join(e.Shutdown(t.Context()), <-served); err != nil {
		t.Error(err)
	}
}
