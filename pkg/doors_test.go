package pkg_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	uberzap "go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"postern/pkg/auth"
	"postern/pkg/certs"
	"postern/pkg/imap"
	"postern/pkg/listen"
	"postern/pkg/pop3"
	"postern/pkg/store/memory"
)

const (
	resident  = "anna@example.org"
	secret    = "correct horse battery 7" // that no input has
	forged    = "203.0.113.9"             // that PROXY headers claim
	proxyLine = "PROXY TCP4 " + forged + " 192.0.2.2 56324 993\r\n"
	patience  = 30 * time.Second
	hearing   = time.Second // what was said in the clear may have swallowed the command that begins TLS
)

// door is a listener of one kind.
type door struct {
	addr    string
	imap    bool // or POP3
	clear   bool // TLS begins with a command
	proxied bool // a PROXY header comes first
	logs    *observer.ObservedLogs
}

// openDoors serves at a door of each kind until the test ends, with real logins behind them.
func openDoors(t testing.TB) (doors []door) {
	t.Helper()
	mail := memory.New()
	keys, err := auth.NewSecrets(secret, "")
	if err != nil {
		t.Fatal(err)
	}
	id := mail.AddAccount(resident, keys.Hash, 0)
	if err := mail.RenewSecrets(t.Context(), id, keys.Hash, keys); err != nil {
		t.Fatal(err)
	}
	cert, err := certs.New(t.Context(), certs.Options{Mode: certs.SelfSigned, Dir: t.TempDir(), Hostname: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		core, logs := observer.New(zapcore.InfoLevel)
		log := uberzap.New(core)
		who := auth.New(auth.Options{
			Directory: mail, Log: log, Throttle: auth.Throttle{Trusted: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
			Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		})
		d := door{imap: i&1 == 0, clear: i&2 != 0, proxied: i&4 != 0, logs: logs}
		o := listen.Options{Addr: "127.0.0.1:0", TLS: cert.TLSConfig(), Log: log}
		if d.clear {
			o.TLS, o.StartTLS = nil, cert.TLSConfig()
		}
		if d.proxied {
			o.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		}
		l, err := listen.Listen(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		var server interface {
			Serve(l net.Listener) error
			Shutdown(ctx context.Context) error
		} = &imap.Server{Accounts: mail, Auth: who, Hostname: "localhost", Log: log}
		if !d.imap {
			server = &pop3.Server{Accounts: mail, Auth: who, Hostname: "localhost", Log: log}
		}
		go server.Serve(l) //nolint:errcheck // ended by Shutdown, and by it alone
		t.Cleanup(func() {
			if err := server.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		})
		d.addr = l.Addr().String()
		doors = append(doors, d)
	}
	return doors
}

// visit says something at a door: first in the clear, if anything, and then, unless the door was shut on it, in TLS, cut
// into records of some octets. It returns all that the server said in TLS.
func (d door) visit(first, said string, record int) (string, error) {
	raw, err := net.Dial("tcp", d.addr)
	if err != nil {
		return "", err
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(patience))
	if d.clear {
		if first != "" && !strings.HasSuffix(first, "\n") {
			first += "\r\n"
		}
		first += map[bool]string{true: "t STARTTLS\r\n", false: "STLS\r\n"}[d.imap]
	}
	if _, err := io.WriteString(raw, first); err != nil {
		return "", err
	}
	if d.clear && !agrees(raw) {
		return "", errors.New("TLS was not begun")
	}
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		return "", err
	}
	go func() {
		for len(said) > 0 {
			n := min(record, len(said))
			if _, err := io.WriteString(c, said[:n]); err != nil {
				return // the server has had enough
			}
			said, record = said[n:], record*2
		}
		_ = c.CloseWrite() // as above
	}()
	out, err := io.ReadAll(c)
	return string(out), err
}

// agrees reads what is said in the clear, octet by octet, up to the line after which TLS begins.
func agrees(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(hearing))
	defer c.SetReadDeadline(time.Now().Add(patience))
	var line strings.Builder
	for b := make([]byte, 1); ; {
		if _, err := c.Read(b); err != nil {
			return false
		}
		line.WriteByte(b[0])
		if b[0] != '\n' {
			continue
		}
		if s := line.String(); strings.HasPrefix(s, "t OK") || strings.HasPrefix(s, "+OK Begin") {
			return true
		}
		line.Reset()
	}
}

// answers are the beginnings of what IMAP servers say before a login.
var answers = regexp.MustCompile(`^(\+ |(\*|[^\s+(){%*"\\\x00-\x1f\x7f]+) (OK|NO|BAD|BYE|CAPABILITY|ID|NAMESPACE|ENABLED)\b)`)

// maildropAnswers is what POP3 servers say, roughly: CAPA has lines of its own.
var maildropAnswers = regexp.MustCompile(`(?s)^(\+OK |-ERR |\+ ).*\r\n$`)

// check holds what must be true whatever was said: replies only, nobody let in, no fault of ours, and nobody taken for who they
// say they are but by a proxy.
func (d door) check(t *testing.T, out string) {
	t.Helper()
	if d.imap {
		for line := range strings.Lines(out) {
			if !answers.MatchString(line) || !strings.HasSuffix(line, "\r\n") {
				t.Errorf("said %q", line)
			}
		}
	} else if out != "" && !maildropAnswers.MatchString(out) {
		t.Errorf("said %q", out)
	}
	for _, e := range d.logs.TakeAll() {
		if e.Level >= zapcore.ErrorLevel || e.Message == "login" {
			t.Errorf("%s: %s %v", e.Level, e.Message, e.ContextMap())
		}
		if fmt.Sprint(e.ContextMap()["remote"]) == forged && !d.proxied {
			t.Errorf("%s: a header of nobody's proxy is believed", e.Message)
		}
	}
}

// FuzzDoors says anything at every door, through TLS and before it, as strangers can.
func FuzzDoors(f *testing.F) {
	for i := range byte(8) {
		f.Add(i, "", "a LOGIN "+resident+" wrong\r\nb CAPABILITY\r\nc ID NIL\r\nd LOGOUT\r\n", byte(1))
		f.Add(i, "", "USER "+resident+"\r\nPASS wrong\r\nCAPA\r\nQUIT\r\n", byte(2))
		f.Add(i, proxyLine, "a AUTHENTICATE SCRAM-SHA-256 biwsbj1hbm5hQGV4YW1wbGUub3JnLHI9eA==\r\n*\r\n", byte(7))
		f.Add(i, "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x09\xc0\x00\x02\x02\xdc\x04\x03\xe1", "AUTH PLAIN\r\n*\r\nAUTH LOGIN =\r\n\r\n", byte(3))
		f.Add(i, "a LOGIN "+resident+" wrong\r\nb NOOP\r\n", "a LOGIN {20}\r\nanna@example.org    {3+}\r\nabc\r\na LOGIN {99999999}\r\n", byte(0))
		f.Add(i, "USER "+resident+"\r\n", "c APPEND INBOX {9}\r\n\x16\x03\x01\x00\x05hello\r\n"+strings.Repeat("x", 9000)+"\r\n", byte(250))
	}
	doors := openDoors(f)
	f.Fuzz(func(t *testing.T, which byte, first, said string, record byte) {
		d := doors[int(which)%len(doors)]
		if d.proxied && first == "" {
			first = proxyLine
		}
		out, err := d.visit(first, said, 1+int(record))
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("the connection does not end: %q", out)
		}
		d.check(t, out)
	})
}

// TestAbandonedExchanges gives up a SASL exchange at each of its steps, in each of the ways there are, with real mechanisms over
// TLS: it fails, a command that was sent instead of an answer runs, and who then logs in is in.
func TestAbandonedExchanges(t *testing.T) {
	t.Parallel()
	code := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) + "\r\n" }
	steps := map[string][]string{ // that a client answers before it has had enough
		"PLAIN": {}, "LOGIN": {code(resident)},
		"SCRAM-SHA-256":      {code("n,,n=" + resident + ",r=nonce")},
		"SCRAM-SHA-256-PLUS": {code("p=tls-exporter,,n=" + resident + ",r=nonce")},
	}
	for _, d := range openDoors(t)[:4] {
		for mech, answers := range steps {
			for n := range len(answers) + 1 {
				for _, end := range []string{"*", "!!!", "b NOOP", "NOOP", strings.Repeat("A", 9000)} {
					if d.imap == (end == "NOOP") {
						continue // the other protocol's
					}
					said := "a AUTHENTICATE " + mech + "\r\n" + strings.Join(answers[:n], "") + end + "\r\n" +
						"c LOGIN " + resident + " \"" + secret + "\"\r\nd LOGOUT\r\n"
					want := regexp.MustCompile(`(?s)\ba (NO|BAD) .*\bc OK `)
					if !d.imap {
						said = "AUTH " + mech + "\r\n" + strings.Join(answers[:n], "") + end + "\r\nUSER " + resident + "\r\nPASS " + secret + "\r\nSTAT\r\nQUIT\r\n"
						want = regexp.MustCompile(`(?s)-ERR .*\+OK 0 0\r\n\+OK `)
					}
					if out, err := d.visit("", said, 1<<14); err != nil || !want.MatchString(out) {
						t.Errorf("%s after %d answers, %.9s: %v, %q", mech, n, end, err, out)
					}
				}
			}
		}
	}
}
