package gateway_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkIdle holds 1,000 sessions in IDLE over TLS, each on a mailbox of 1,000 messages, and prints what one of them
// costs the server in resident memory (octets/session: what all but the first of each account have added, divided by their
// number), and how many database connections they hold (db-conns-in-use). Expected: at most 65,536 and 0.
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
	s.fillAll(b, users, messages)
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
	for _, user := range users { // the mailboxes come into the cache, the passwords are hashed
		open(user, 1)
	}
	before := s.settled(b)
	for _, user := range users { // one round is the measurement, however often b asks
		open(user, perAccount-1)
	}
	after := s.settled(b)
	b.ReportMetric(float64(after-before)/float64(accounts*(perAccount-1)), "octets/session")
	b.ReportMetric(s.metric(b, "postern_sql_connections_in_use"), "db-conns-in-use")
	b.ReportMetric(0, "ns/op")
}

// fillAll delivers n short mails, each to all users at once.
func (s *server) fillAll(b *testing.B, users []string, n int) {
	b.Helper()
	c := dialLMTP(b, s.lmtp, 1)[0]
	defer c.Close()
	envelope, codes := "MAIL FROM:<ann@example.com>\r\n", []string{"250 "}
	for _, user := range users {
		envelope += "RCPT TO:<" + user + ">\r\n"
		codes = append(codes, "250 ")
	}
	for i := range n {
		_, err := fmt.Fprintf(c, "%sDATA\r\n", envelope)
		if err == nil {
			err = c.expect(append(codes, "354 ")...)
		}
		if err == nil {
			_, err = fmt.Fprintf(c, "Subject: short mail %d\r\n\r\nHello.\r\n.\r\n", i)
		}
		if err = errors.Join(err, c.expect(codes[1:]...)); err != nil {
			b.Fatal(err)
		}
	}
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
func (s *server) resident(b testing.TB) int64 {
	b.Helper()
	return s.memory(b, "VmRSS:")
}

// memory reads a line of what the kernel says of the server, in octets.
func (s *server) memory(b testing.TB, line string) int64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), line)
	kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return kb << 10
}

// settled is the resident memory once garbage has been collected and what it took given back: hashing a password for each
// user alone takes tens of megabytes for a moment. Nobody but the collector can be asked, and it works when it must, so
// the server is made to work until its memory no longer shrinks.
func (s *server) settled(b testing.TB) int64 {
	b.Helper()
	for least := s.resident(b); ; {
		for until := time.Now().Add(3 * time.Second); time.Now().Before(until); {
			s.metric(b, "postern_sql_connections_in_use")
		}
		now := s.resident(b)
		if now > least-least/100 {
			return min(now, least)
		}
		least = now
	}
}

// metric reads one gauge.
func (s *server) metric(b testing.TB, name string) float64 {
	b.Helper()
	value, ok := s.counted(b, name)
	if !ok {
		b.Fatalf("no metric %s", name)
	}
	return value
}

// counted reads a metric that may not be there yet.
func (s *server) counted(b testing.TB, name string) (value float64, ok bool) {
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
			return f, true
		}
	}
	return 0, false
}
