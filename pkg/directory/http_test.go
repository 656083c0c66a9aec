package directory_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"postern/pkg/auth"
	"postern/pkg/directory"
)

// program is the operator's.
func program(t *testing.T, answer http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(answer)
	s.Config.ErrorLog = zap.NewStdLog(zap.NewNop()) // of handshakes that fail as they are meant to
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func roots(s *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

// TestHTTP has every kind of answer. Only a plain yes or no is one.
func TestHTTP(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		status     int
		want       bool
		err        string // part of it
	}{
		{"yes", `{"ok": true}`, 200, true, ""},
		{"yes, and more", `{"ok": true, "name": "Anna", "groups": [1]}`, 200, true, ""},
		{"no", `{"ok": false}`, 200, false, ""},
		{"neither", `{}`, 200, false, "neither"},
		{"null", `null`, 200, false, "neither"},
		{"ok is null", `{"ok": null}`, 200, false, "neither"},
		{"ok is text", `{"ok": "true"}`, 200, false, "answer"},
		{"ok is a number", `{"ok": 1}`, 200, false, "answer"},
		{"a list", `[{"ok": true}]`, 200, false, "answer"},
		{"only true", `true`, 200, false, "answer"},
		{"two objects", `{"ok": true}{"ok": true}`, 200, false, "answer"},
		{"nothing", ``, 200, false, "answer"},
		{"a page", `<html>ok</html>`, 200, false, "answer"},
		{"cut", `{"ok": true`, 200, false, "answer"},
		{"endless", `{"ok": true, "x": "` + strings.Repeat("x", 1<<20) + `"}`, 200, false, "too long"},
		{"created", `{"ok": true}`, 201, false, "201"},
		{"no content", ``, 204, false, "204"},
		{"who are you", `{"ok": false}`, 401, false, "401"},
		{"forbidden", `{"ok": false}`, 403, false, "403"},
		{"not found", `{"ok": false}`, 404, false, "404"},
		{"too many", ``, 429, false, "429"},
		{"an error", `{"ok": true}`, 500, false, "500"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := program(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body) // they may hang up
			})
			ok, err := ask(t, directory.NewHTTP(directory.HTTPOptions{URL: s.URL, Roots: roots(s)}), "anna@example.org", "x")
			if ok != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%v, %v; want %v, %q", ok, err, tt.want, tt.err)
			}
		})
	}
}

// TestHTTPQuestion looks at what is sent.
func TestHTTPQuestion(t *testing.T) {
	t.Parallel()
	heard := make(chan string, 1)
	s := program(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		heard <- fmt.Sprintf("%s %s %s %s %s %v", r.Method, r.URL, r.Header.Get("Content-Type"), r.Header.Get("Authorization"), body, err)
		_, _ = io.WriteString(w, `{"ok": true}`) // they may hang up
	})
	h := directory.NewHTTP(directory.HTTPOptions{URL: s.URL + "/check?x=1", Roots: roots(s), Secret: "us"})
	q := auth.Question{User: "anna@example.org", Password: `"<&>\ ä`}
	q.Peer = auth.Peer{Protocol: "pop3", TLS: true, Addr: netip.MustParseAddr("::ffff:192.0.2.1")}
	if ok, err := h.Check(t.Context(), q); !ok || err != nil {
		t.Fatal(ok, err)
	}
	password, err := json.Marshal(q.Password)
	if err != nil {
		t.Fatal(err)
	}
	want := `POST /check?x=1 application/json Bearer us {"user":"anna@example.org","password":` + string(password) +
		`,"protocol":"pop3","address":"192.0.2.1","tls":true} <nil>`
	if got := <-heard; got != want {
		t.Errorf("sent  %s\nwant %s", got, want)
	}
	if ok, err := ask(t, h, "anna@example.org", ""); ok || err != nil || len(heard) > 0 {
		t.Errorf("an empty password: %v, %v, asked %v", ok, err, len(heard) > 0)
	}
}

// TestHTTPStale has a program close a connection that it has kept open, just as it is asked the next thing there.
func TestHTTPStale(t *testing.T) {
	t.Parallel()
	var first sync.Map // remote addresses that have asked
	s := program(t, func(w http.ResponseWriter, r *http.Request) {
		if _, again := first.LoadOrStore(r.RemoteAddr, true); again {
			panic(http.ErrAbortHandler) // closes the connection
		}
		_, _ = io.WriteString(w, `{"ok": true}`) // they may hang up
	})
	h := directory.NewHTTP(directory.HTTPOptions{URL: s.URL, Roots: roots(s)})
	for range 3 {
		if ok, err := ask(t, h, "anna@example.org", "x"); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
}

// TestHTTPNowhereElse: a password goes where the operator says, and nowhere else.
func TestHTTPNowhereElse(t *testing.T) {
	t.Parallel()
	elsewhere := program(t, func(w http.ResponseWriter, _ *http.Request) {
		t.Error("the password went elsewhere")
		_, _ = io.WriteString(w, `{"ok": true}`) // they may hang up
	})
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := program(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, status) })
		pool := roots(s)
		pool.AddCert(elsewhere.Certificate())
		ok, err := ask(t, directory.NewHTTP(directory.HTTPOptions{URL: s.URL, Roots: pool}), "anna@example.org", "x")
		if ok || err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) {
			t.Errorf("%d: %v, %v", status, ok, err)
		}
	}
	ok, err := ask(t, directory.NewHTTP(directory.HTTPOptions{URL: elsewhere.URL, Roots: x509.NewCertPool()}), "anna@example.org", "x")
	if ok || err == nil || !strings.Contains(err.Error(), "x509") {
		t.Errorf("the wrong CA: %v, %v", ok, err)
	}
}

// TestWatch counts answers, and logs an outage once.
func TestWatch(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.DebugLevel)
	registry := prometheus.NewRegistry()
	status, body := make(chan int, 1), make(chan string, 1)
	s := program(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(<-status)
		_, _ = io.WriteString(w, <-body) // they may hang up
	})
	c := directory.Watch("http", directory.NewHTTP(directory.HTTPOptions{URL: s.URL, Roots: roots(s)}), zap.New(core), directory.NewMetrics(registry))
	for _, code := range []int{200, 500, 500, 200, 200, 500} {
		status <- code
		body <- `{"ok": true}`
		_, _ = ask(t, c, "anna@example.org", "secret word") // counted below
	}
	status <- 200
	body <- `{"ok": false}`
	_, _ = ask(t, c, "anna@example.org", "secret word") // the same
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Check(gone, auth.Question{User: "anna@example.org", Password: "secret word"}); err == nil {
		t.Error("the client has gone, and there was an answer")
	}
	var told []string
	for _, line := range logs.All() {
		told = append(told, line.Message)
		if text := fmt.Sprint(line.ContextMap()); strings.Contains(text, "secret") || strings.Contains(text, "anna") {
			t.Errorf("the log tells %s", text)
		}
	}
	const away, back = "directory cannot be asked", "directory is back"
	if got, want := fmt.Sprint(told), fmt.Sprint([]string{away, back, away, back}); got != want {
		t.Errorf("log %s, want %s", got, want)
	}
	if got, want := counted(t, registry), "http abandoned 1, http error 3, http ok 3, http refused 1, ldap error 0"; got != want {
		t.Errorf("counted %s, want %s", got, want)
	}
}

// counted is what the counter of answers shows.
func counted(t *testing.T, r *prometheus.Registry) string {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if m.GetCounter() != nil {
				shown = append(shown, fmt.Sprintf("%s %s %v", m.GetLabel()[0].GetValue(), m.GetLabel()[1].GetValue(), m.GetCounter().GetValue()))
			}
		}
	}
	return strings.Join(shown, ", ")
}
