package pop3

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"postern/pkg/auth"
	"postern/pkg/serve"
)

// talk is a connection driven by a test.
type talk struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func (w *world) dial() *talk {
	w.t.Helper()
	nc, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	c := &talk{w.t, nc, bufio.NewReader(nc)}
	c.hear("+OK mail.example.org")
	return c
}

func (w *world) login() *talk {
	w.t.Helper()
	c := w.dial()
	c.say("USER " + alice)
	c.hear("+OK")
	c.say("PASS " + secret)
	c.hear("+OK")
	return c
}

func (c *talk) say(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c, line+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
}

// hear reads a line that must begin with prefix.
func (c *talk) hear(prefix string) string {
	c.t.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, prefix) {
		c.t.Fatalf("want %s, got %q, %v", prefix, line, err)
	}
	return line
}

// hearLines reads the rest of a multi-line reply, dots and all.
func (c *talk) hearLines() []string {
	c.t.Helper()
	var lines []string
	for {
		line := c.hear("")
		if line == ".\r\n" {
			return lines
		}
		lines = append(lines, line)
	}
}

// hearEnd expects the server to close the connection without another word.
func (c *talk) hearEnd() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.in); err != nil || len(rest) > 0 {
		c.t.Fatalf("want the end, got %q, %v", rest, err)
	}
}

// talkative lets much be said without a login.
func talkative(s *Server) { s.Limits.Early = 8 * maxDiscard }

func TestLineTooLong(t *testing.T) {
	t.Parallel()
	c := newWorld(t, talkative).dial()
	for _, n := range []int{maxLine, 3 * maxLine, maxDiscard / 2} {
		c.say("USER " + strings.Repeat("x", n))
		c.hear("-ERR Line too long.")
	}
	c.say("USER " + alice)
	c.hear("+OK")
}

// TestLongResponse: what carries a response of SASL may be longer, in the command or after it, but not without end.
func TestLongResponse(t *testing.T) {
	t.Parallel()
	c := newWorld(t, talkative).dial()
	for _, n := range []int{maxLine, maxResponse - 100, maxResponse, maxDiscard / 2} {
		want := "-ERR [AUTH]"
		if n >= maxResponse {
			want = "-ERR Line too long."
		}
		c.say("AUTH PLAIN " + strings.Repeat("A", n&^3))
		c.hear(want)
		if n < maxResponse { // three of these end the session
			continue
		}
		c.say("AUTH PLAIN")
		c.hear("+ ")
		c.say(strings.Repeat("A", n&^3))
		c.hear(want)
	}
	c.say("USER " + alice)
	c.hear("+OK")
}

func TestLineWithoutEnd(t *testing.T) {
	t.Parallel()
	c := newWorld(t).dial()
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
	c := newWorld(t).login()
	for _, last := range []string{"NOOP", "EHLO example.org"} { // they are counted in a row
		for range serve.DefaultBad - 1 {
			c.say("EHLO example.org")
			c.hear("-ERR Unknown command.")
		}
		c.say(last)
		c.hear(map[bool]string{true: "+OK", false: "-ERR Too many bad commands."}[last == "NOOP"])
	}
	c.hearEnd()
}

func TestTooManyOctetsBeforeLogin(t *testing.T) {
	t.Parallel()
	const most = 4 << 10
	w := newWorld(t, func(s *Server) { s.Limits.Early = most })
	for _, said := range []string{"", "AUTH PLAIN\r\n", strings.Repeat("LANG en\r\n", 99)} {
		said += strings.Repeat("x", most-len(said)-2) // no more: what is not read when it is closed may reset a connection
		c := w.dial()
		c.say(said)
		heard, err := io.ReadAll(c.in)
		if err != nil || !strings.HasSuffix(string(heard), "-ERR Too much without a login.\r\n") {
			t.Errorf("%.20q: heard %q, %v", said, heard, err)
		}
	}
	c := w.login()
	for range 1000 {
		c.say("NOOP")
		c.hear("+OK")
	}
}

func TestTooManyCommandsBeforeLogin(t *testing.T) {
	t.Parallel()
	c := newWorld(t).dial()
	for range maxEarly {
		c.say("LANG en")
		c.hear("+OK")
	}
	c.say("LANG en")
	c.hear("-ERR Too many commands without a login.")
	c.hearEnd()
}

func TestNoPlaintextPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Server) { s.Auth.(*doorman).none = true })
	c := w.dial()
	c.say("USER " + alice)
	c.hear("-ERR USER is not offered")
	c.say("AUTH PLAIN")
	c.hear("-ERR This mechanism")
	c.say("CAPA")
	c.hear("+OK")
	for _, line := range c.hearLines() {
		if strings.HasPrefix(line, "USER") || strings.HasPrefix(line, "SASL") {
			t.Errorf("offers %q", line)
		}
	}
}

// TestTimeouts: RFC 1939 §3 has the server close an idle connection without a word, and remove nothing.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	t.Run("login", func(t *testing.T) {
		t.Parallel()
		c := newWorld(t, func(s *Server) { s.LoginTimeout = 30 * time.Millisecond }).dial()
		c.hearEnd()
	})
	t.Run("idle", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *Server) { s.IdleTimeout = 100 * time.Millisecond })
		w.deliver("S: a\r\n\r\nb\r\n")
		c := w.login()
		c.say("DELE 1")
		c.hear("+OK")
		c.hearEnd()
		if got := w.uids(); len(got) != 1 {
			t.Errorf("INBOX holds %v", got)
		}
	})
	t.Run("store", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *Server) { s.StoreTimeout = 50 * time.Millisecond })
		w.deliver("S: a\r\n\r\nb\r\n")
		w.store.fail("body 1", errHang)
		c := w.login()
		c.say("RETR 1")
		c.hear("-ERR [SYS/TEMP]")
		w.store.heal()
		c.say("RETR 1")
		c.hear("+OK")
	})
	t.Run("write", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *Server) { s.Limits.Stall = 50 * time.Millisecond })
		w.deliver("S: a\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 250_000))
		c := w.login()
		c.say("RETR 1")
		w.awaitUnlocked() // it reads nothing; its session ends and gives the maildrop up
	})
}

// TestCutShort: when a message cannot be read to its end, the reply must not look complete.
func TestCutShort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("S: a\r\n\r\n" + strings.Repeat("0123456789\r\n", retrWindow/6))
	w.store.fail("tail 1", io.ErrNoProgress)
	c := w.login()
	c.say("RETR 1")
	c.hear("+OK")
	rest, err := io.ReadAll(c.in)
	if err != nil || len(rest) == 0 || strings.HasSuffix(string(rest), "\r\n.\r\n") {
		t.Errorf("%d octets, ending in %q, %v", len(rest), rest[max(0, len(rest)-10):], err)
	}
}

// TestPanic: a bug ends its own session, with a reply, and gives the maildrop up.
func TestPanic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("S: a\r\n\r\nb\r\n")
	w.store.fail("body 1", errPanic)
	c := w.login()
	c.say("RETR 1")
	c.hear("-ERR [SYS/PERM]")
	c.hearEnd()
	w.login()
}

func TestLogAndMetrics(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.DebugLevel)
	registry := prometheus.NewRegistry()
	w := newWorld(t, func(s *Server) { s.Log, s.Metrics = zap.New(core), NewMetrics(registry) })
	w.deliver("S: a\r\n\r\nb\r\n", "S: b\r\n\r\nb\r\n")
	c := w.login()
	for _, line := range []string{"RETR 1", "DELE 1", "RETR 1", "XYZZY", "QUIT"} {
		c.say(line)
	}
	if _, err := io.ReadAll(c.in); err != nil {
		t.Fatal(err)
	}
	if err := w.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	ends := logs.FilterMessage("session ended").All()
	if len(ends) != 1 || logs.Len() != 1 {
		t.Fatalf("logged %v", logs.All())
	}
	fields := ends[0].ContextMap()
	for key, want := range map[string]any{
		"proto": "pop3", "user": alice, "reason": "quit", "commands": int64(7), "retrieved": int64(1), "removed": int64(1),
	} {
		if fields[key] != want {
			t.Errorf("%s = %v, want %v", key, fields[key], want)
		}
	}
	if text := fmt.Sprint(fields); strings.Contains(text, secret) {
		t.Error("the password is in the log")
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			counted[f.GetName()+" "+strings.Join(labels, " ")] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for key, want := range map[string]float64{
		"postern_pop3_commands_total RETR ok": 1, "postern_pop3_commands_total RETR refused": 1,
		"postern_pop3_commands_total unknown bad": 1, "postern_pop3_commands_total QUIT ok": 1, "postern_pop3_sessions ": 0,
	} {
		if counted[key] != want {
			t.Errorf("%s = %v, want %v", key, counted[key], want)
		}
	}
}

func TestPeer(t *testing.T) {
	t.Parallel()
	server, client := net.Pipe()
	defer server.Close()
	defer client.Close()
	if got := remoteAddr(server); got.IsValid() {
		t.Errorf("a pipe has address %v", got)
	}
	if got := (auth.Peer{Addr: remoteAddr(fromAddr{server, "[::ffff:192.0.2.1]:995"})}); got.Addr.String() != "192.0.2.1" {
		t.Errorf("got %v", got.Addr)
	}
}

type fromAddr struct {
	net.Conn
	addr string
}

func (f fromAddr) RemoteAddr() net.Addr { return f }
func (f fromAddr) Network() string      { return "tcp" }
func (f fromAddr) String() string       { return f.addr }
