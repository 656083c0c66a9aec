package lmtp

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"postern/pkg/serve"
)

// TestClient lets another implementation deliver.
func TestClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nc, err := net.Dial("tcp", w.start())
	if err != nil {
		t.Fatal(err)
	}
	c := smtp.NewClientLMTP(nc)
	t.Cleanup(func() { c.Close() })
	if err := c.Mail("carol@example.net", &smtp.MailOptions{Size: 100, UTF8: true, Body: smtp.Body8BitMIME}); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{alice, bob} {
		if err := c.Rcpt(to, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Rcpt("nobody@example.org", nil); err == nil {
		t.Error("nobody was accepted")
	}
	data, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(data, "Subject: x\r\n\r\n.dot\r\n..\r\n"); err != nil {
		t.Fatal(err)
	}
	replies, err := data.CloseWithLMTPResponse()
	if err != nil || len(replies) != 2 {
		t.Fatalf("%v, %v", replies, err)
	}
	if got := w.bodies(bob, "INBOX"); len(got) != 1 || got[0] != "Subject: x\r\n\r\n.dot\r\n..\r\n" {
		t.Errorf("got %q", got)
	}
	if err := c.Quit(); err != nil {
		t.Error(err)
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "lmtp")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, w.server, l)
	c := newTalk(t, "unix", path)
	if got := c.send(alice, "S: x\r\n\r\n.\r\n"); !strings.HasPrefix(got, "250") {
		t.Fatal(got)
	}
	if got := w.messages(alice, "INBOX")[0]; !strings.Contains(got, "\r\nReceived: from mta.example.net\r\n\tby ") {
		t.Errorf("got %q", got)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	web := httptest.NewTLSServer(nil)
	defer web.Close()
	w := newWorld(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", web.TLS)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, w.server, l)
	pool := x509.NewCertPool()
	pool.AddCert(web.Certificate())
	nc, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	c := smtp.NewClientLMTP(nc)
	t.Cleanup(func() { c.Close() })
	if err := c.SendMail("carol@example.net", []string{alice}, strings.NewReader("S: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if got := w.messages(alice, "INBOX")[0]; !strings.Contains(got, " with LMTPS id ") {
		t.Errorf("got %q", got)
	}
}

func TestLineTooLong(t *testing.T) {
	t.Parallel()
	c := newWorld(t).dial()
	for _, n := range []int{maxLine, readBuffer, maxDiscard / 2} {
		c.say("NOOP " + strings.Repeat("x", n))
		c.hear("500 5.5.2")
	}
	c.say("NOOP")
	c.hear("250")
	junk := strings.Repeat("x", 64<<10)
	for range 1000 {
		if _, err := io.WriteString(c, junk); err != nil {
			return // cut off
		}
	}
	t.Fatal("64 MB of one line were read")
}

func TestTooManyBadCommands(t *testing.T) {
	t.Parallel()
	c := newWorld(t).dial()
	for range 2 { // they are counted in a row
		for range serve.DefaultBad - 1 {
			c.say("GET / HTTP/1.1")
			c.hear("500 5.5.1")
		}
		c.say("NOOP")
		c.hear("250")
	}
	for range serve.DefaultBad {
		c.say("GET / HTTP/1.1")
		c.hear("500 5.5.1")
	}
	c.hear("421 4.7.0")
	c.hearEnd()
}

// TestNobodyAgainAndAgain: a mail server that keeps its connection and pipelines may send to any number of people who are not
// here (RFC 2033 §4.2 wants 503 for its DATA).
func TestNobodyAgainAndAgain(t *testing.T) {
	t.Parallel()
	c := newWorld(t).dial()
	for range 2 * serve.DefaultBad {
		c.write("MAIL FROM:<sender@example.net>\r\nRCPT TO:<nobody@example.org>\r\nDATA\r\nRSET\r\n")
		c.hear("250 2.1.0")
		c.hear("550 5.1.1")
		c.hear("503 5.5.1")
		c.hear("250 2.0.0")
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Server) { s.ReadTimeout = 50 * time.Millisecond })
	idle := w.dial()
	idle.hear("421 4.4.2")
	idle.hearEnd()
	c := w.dial()
	c.envelope("sender@example.net", alice)
	c.say("DATA")
	c.hear("354")
	c.say("Subject: x")
	c.hear("421 4.4.2")
	c.hearEnd()
}

// TestShutdown: sessions that wait hear 421; one that sends a message may finish it and has its replies first.
func TestShutdown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	idle, busy := w.dial(), w.dial()
	busy.envelope("sender@example.net", alice)
	busy.say("DATA")
	busy.hear("354")
	done := make(chan error, 1)
	go func() { done <- w.server.Shutdown(t.Context()) }()
	idle.hear("421 4.3.2")
	idle.hearEnd()
	busy.write("Subject: x\r\n\r\n.\r\n")
	busy.hear("250 2.0.0 <alice@example.org>")
	busy.hear("421 4.3.2")
	busy.hearEnd()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := len(w.messages(alice, "INBOX")); n != 1 {
		t.Errorf("INBOX holds %d", n)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.server.Serve(l); err != nil {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

// TestShutdownDeadline: a store that does not answer and a client that does not send are given up.
func TestShutdownDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	silent, waiting := w.dial(), w.dial()
	silent.envelope("sender@example.net", bob)
	silent.say("DATA")
	silent.hear("354")
	stored := make(chan struct{})
	w.store.before = func(string) { close(stored) }
	w.store.fail("append "+alice, errHang)
	waiting.envelope("sender@example.net", alice)
	waiting.say("DATA")
	waiting.hear("354")
	waiting.write("Subject: x\r\n\r\n.\r\n")
	<-stored
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestLogAndMetrics(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.DebugLevel)
	registry := prometheus.NewRegistry()
	w := newWorld(t, func(s *Server) { s.Log, s.Metrics = zap.New(core), NewMetrics(registry) })
	c := w.dial()
	c.say("MAIL FROM:<>")
	c.hear("250")
	c.say("RCPT TO:<nobody@example.org>")
	c.hear("550")
	c.say("RSET")
	c.hear("250")
	for range 2 { // the second one repeats the first
		c.send(alice, "Subject: a secret\r\n\r\nof theirs\r\n.\r\n")
	}
	w.store.fail("append "+alice, errors.New("a bug, on purpose"))
	c.send(alice, "Subject: another secret\r\n\r\n.\r\n")
	c.say("QUIT")
	c.hear("221")
	c.hearEnd()
	if err := w.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, l := range logs.All() {
		fields := l.ContextMap()
		told = append(told, fmt.Sprintf("%s %s %v", l.Level, l.Message, fields["code"]))
		if text := fmt.Sprint(fields); strings.Contains(text, "secret") || fields["proto"] != "lmtp" {
			t.Errorf("logged %s", text)
		}
	}
	want := "info recipient refused 550;info delivered 250;info delivered 250;error not delivered 451;info session ended <nil>"
	if got := strings.Join(told, ";"); got != want {
		t.Errorf("logged %s", got)
	}
	for key, want := range map[string]float64{
		"postern_lmtp_deliveries_total delivered": 1, "postern_lmtp_deliveries_total again": 1,
		"postern_lmtp_deliveries_total deferred": 1, "postern_lmtp_sessions": 0,
		"postern_lmtp_commands_total RCPT refused": 1, "postern_lmtp_commands_total DATA ok": 3,
	} {
		if got := value(t, registry, key); got != want {
			t.Errorf("%s = %v, want %v", key, got, want)
		}
	}
}

func value(t *testing.T, registry *prometheus.Registry, key string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			if name == key {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Errorf("no metric %s", key)
	return -1
}

// FuzzLMTP sends octets to a whole session over a store in memory. Whatever they are, the session ends with the
// connection and says nothing but replies.
func FuzzLMTP(f *testing.F) {
	begin := "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nRCPT TO:<bob+x@example.org>\r\n"
	for _, seed := range []string{
		"", "QUIT\r\n", "\r\n", begin + "DATA\r\nS: x\r\n\r\n.\r\nQUIT\r\n", begin + "DATA\r\n.\n.\r.\r\r\n.\r\nNOOP\r\n",
		begin + "BDAT 3\r\nabcNOOP\r\nBDAT 0 LAST\r\nQUIT\r\n", begin + "BDAT 9999\r\nabc", begin + "BDAT 5\r\nabcdeRSET\r\nBDAT 2 LAST\r\nab",
		begin + "MAIL FROM:<a@b> SIZE=9 BODY=7BIT\r\nRCPT TO:<\"\\\"\"@x> NOTIFY=NEVER\r\nVRFY\r\n" + strings.Repeat("x", 5000) + "\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		w := newWorld(t)
		w.server.MaxSize = 1000
		client, server := net.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c := newConn(w.server, server)
			defer c.Abort()
			c.Serve(t.Context())
		}()
		go func() {
			client.Write(input)                               //nolint:errcheck // the session may be over before its end
			client.Write([]byte("\r\n.\r\nRSET\r\nQUIT\r\n")) //nolint:errcheck // the same
			client.Close()
		}()
		var out bytes.Buffer
		if err := client.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := out.ReadFrom(client); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Fatalf("%v after %q", err, out.String())
		}
		for line := range strings.Lines(out.String()) {
			if len(line) < 6 || line[0] < '2' || line[0] > '5' || !strings.HasSuffix(line, "\r\n") {
				t.Errorf("said %q", line)
			}
		}
		<-ended
	})
}
