package gateway_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
)

// BenchmarkIdle holds 1,000 sessions in IDLE over TLS, each on a mailbox of 1,000 messages, and prints what one of them
// costs the server in memory, and how many database connections they hold.
func BenchmarkIdle(b *testing.B) {
	const accounts, perAccount, messages = 20, 50, 1000
	s, err := startServer(filepath.Join(workDir, "idle"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.stop()
	var users []string
	for i := range accounts {
		user := fmt.Sprintf("idle%d@example.org", i)
		if _, err := s.postern(password+"\n", "account", "add", user, "--password-stdin"); err != nil {
			b.Fatal(err)
		}
		users = append(users, user)
	}
	if err := s.fillAll(users, messages); err != nil {
		b.Fatal(err)
	}
	open := func(user string, n int) {
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				if err := s.idle(b, user); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
	for _, user := range users { // the mailboxes come into the cache, and the allocator warms up
		open(user, 1)
	}
	before := s.resident(b)
	for _, user := range users { // one round is the measurement, however often b asks
		open(user, perAccount-1)
	}
	after := s.resident(b)
	b.ReportMetric(float64(after-before)/float64(accounts*(perAccount-1)), "octets/session")
	b.ReportMetric(s.metric(b, "postern_sql_connections_in_use"), "db-conns-in-use")
	b.ReportMetric(0, "ns/op")
}

// fillAll delivers n mails, each to all users at once.
func (s *server) fillAll(users []string, n int) error {
	conn, err := net.Dial("tcp", s.lmtp)
	if err != nil {
		return err
	}
	c := smtp.NewClientLMTP(conn)
	defer c.Close()
	if err := c.Hello("localhost"); err != nil {
		return err
	}
	for i := range n {
		if err := c.Mail("sender@example.com", nil); err != nil {
			return err
		}
		for _, u := range users {
			if err := c.Rcpt(u, nil); err != nil {
				return err
			}
		}
		w, err := c.Data()
		if err != nil {
			return err
		}
		if _, err := io.Copy(w, bytes.NewReader(corpusMail(1+i-i%50, users[0])[:400])); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "\r\n%d\r\n", i); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
	return c.Quit()
}

// idle opens one session and leaves it in IDLE.
func (s *server) idle(b *testing.B, user string) error {
	c, err := tls.Dial("tcp", s.imap, insecure)
	if err != nil {
		return err
	}
	b.Cleanup(func() { c.Close() })
	if _, err := fmt.Fprintf(c, "a LOGIN %s \"%s\"\r\nb SELECT INBOX\r\nc IDLE\r\n", user, password); err != nil {
		return err
	}
	var heard bytes.Buffer
	for buf := make([]byte, 2048); !strings.Contains(heard.String(), "\n+ "); {
		n, err := c.Read(buf)
		heard.Write(buf[:n])
		if err != nil {
			return fmt.Errorf("%w after %q", err, heard.String())
		}
	}
	return nil
}

// resident is the server's resident memory in octets, without its PostgreSQL.
func (s *server) resident(b *testing.B) int64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return kb << 10
}

// metric reads one gauge.
func (s *server) metric(b *testing.B, name string) float64 {
	b.Helper()
	resp, err := http.Get("http://" + s.http + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				b.Fatal(err)
			}
			return f
		}
	}
	b.Fatalf("no metric %s", name)
	return 0
}
