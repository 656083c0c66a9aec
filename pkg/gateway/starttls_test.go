package gateway_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// TestStartTLS has both protocols begin in the clear: nobody logs in there, what an attacker puts before the handshake is
// never run (RFC 9051 §11.1, RFC 2595 §4), and what was said before is said anew.
func TestStartTLS(t *testing.T) {
	t.Parallel()
	shared.account(t, "starttls@example.org")
	l := dialClear(t, shared.imapClear)
	hears(t, l.until("* OK"), "STARTTLS", "LOGINDISABLED")
	l.send("a LOGIN starttls@example.org \"%s\"\r\nb AUTHENTICATE PLAIN AGFubmEAcA==\r\nc CAPABILITY", password)
	hears(t, l.until("a "), "a NO [PRIVACYREQUIRED]")
	hears(t, l.until("b "), "b NO")
	hears(t, l.until("c OK"), "STARTTLS", "LOGINDISABLED")
	l.send("d STARTTLS\r\ne NOOP\r\nf LOGIN") // in one go: e and f are injected
	hears(t, l.until("d "), "d OK")
	l.secure()
	l.send("g CAPABILITY")
	got := l.until("g ")
	hears(t, got, "AUTH=PLAIN", "g OK")
	for _, not := range []string{"STARTTLS", "LOGINDISABLED", "\ne ", "\nf "} {
		if strings.Contains("\n"+strings.Join(got, "\n"), not) {
			t.Errorf("%q after the handshake: %q", not, got)
		}
	}
	l.send("h STARTTLS\r\ni LOGIN starttls@example.org \"%s\"", password)
	hears(t, l.until("h "), "h BAD")
	hears(t, l.until("i "), "i OK")

	p := dialClear(t, shared.pop3Clear)
	p.until("+OK")
	p.send("CAPA")
	got = p.until(".")
	hears(t, got, "STLS")
	if all := strings.Join(got, "\n"); strings.Contains(all, "\nUSER\n") || strings.Contains(all, "SASL") {
		t.Errorf("passwords in the clear: %q", got)
	}
	p.send("USER starttls@example.org")
	hears(t, p.until("-ERR"), "-ERR")
	p.send("STLS\r\nUSER mallory@example.org\r\nNOOP") // the last two are injected
	p.until("+OK")
	p.secure()
	p.send("PASS %s", password)
	hears(t, p.until("-ERR"), "-ERR")
	p.send("CAPA")
	got = p.until(".")
	hears(t, got, "USER", "SASL")
	if strings.Contains(strings.Join(got, "\n"), "STLS") {
		t.Errorf("STLS again: %q", got)
	}
	p.send("USER starttls@example.org\r\nPASS %s\r\nQUIT", password)
	p.until("+OK Bye")
}

// TestStartTLSBroken has clients that begin TLS and then speak something else, or nothing: the server says why in its log and
// serves on.
func TestStartTLSBroken(t *testing.T) {
	t.Parallel()
	imap, pop3 := shared.imapClear, shared.pop3Clear
	for addr, begin := range map[string]string{imap: "a STARTTLS", pop3: "STLS"} {
		for _, then := range []string{"a LOGIN x y\r\nb NOOP\r\n", "\x16\x03\x01", ""} {
			l := dialClear(t, addr)
			l.send("%s", begin)
			l.until(map[string]string{imap: "a OK", pop3: "+OK Begin"}[addr])
			if _, err := fmt.Fprint(l.c, then); err != nil {
				t.Fatal(err)
			}
			if err := l.c.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			_ = l.c.SetReadDeadline(time.Now().Add(time.Minute))
			for s := bufio.NewScanner(l.c); s.Scan(); { // an alert at most
				if strings.Contains(s.Text(), "OK") {
					t.Errorf("after a broken handshake: %q", s.Text())
				}
			}
		}
	}
	dialClear(t, imap).until("* OK")
}

func dialClear(t *testing.T, addr string) *lines {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &lines{t, c, bufio.NewReader(c)}
}

// secure begins TLS.
func (l *lines) secure() {
	l.t.Helper()
	if l.r.Buffered() > 0 {
		l.t.Fatal("something came before the handshake")
	}
	c := tls.Client(l.c, insecure)
	l.c, l.r = c, bufio.NewReader(c)
}

func hears(t *testing.T, got []string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(strings.Join(got, "\n"), w) {
			t.Errorf("no %q in %q", w, got)
		}
	}
}
