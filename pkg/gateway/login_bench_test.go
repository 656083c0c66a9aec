package gateway_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkLogin logs in again and again with a password that has been verified of late, each time on a new connection, and
// out again: by IMAP and POP3, with TLS sessions that are resumed and with whole handshakes. logins/s is what went through while
// the clients took their share of the processors; cpu-µs/login is what a login took of them in the server and its
// PostgreSQL, and logins/s/2cpu what two could do that have nothing else to do. Expected: 1,000 resumed, 300 whole.
func BenchmarkLogin(b *testing.B) {
	s, err := startServer(filepath.Join(workDir, "loginbench"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.stop()
	users := make([]string, 16)
	for i := range users {
		users[i] = fmt.Sprintf("user%d@example.org", i)
		if _, err := s.postern(password+"\n", "account", "add", users[i], "--password-stdin"); err != nil {
			b.Fatal(err)
		}
	}
	imap, pop3 := "a LOGIN %s \"%s\"\r\nb LOGOUT\r\n", "USER %s\r\nPASS %s\r\nQUIT\r\n"
	for _, d := range []door{
		{"imap", s.imap, imap, true},
		{"imap", s.imap, imap, false},
		{"pop3", s.pop3, pop3, true},
		{"pop3", s.pop3, pop3, false},
	} {
		b.Run(fmt.Sprintf("%s/resumed=%t", d.proto, d.resumed), func(b *testing.B) {
			clients := make([]*tls.Config, len(users))
			for i, user := range users { // the password is verified, the session known
				clients[i] = d.client()
				if _, err := d.logIn(clients[i], user); err != nil {
					b.Fatal(err)
				}
			}
			before := s.cpu(b)
			b.ResetTimer()
			d.rush(b, users, clients)
			b.StopTimer()
			each := (s.cpu(b) - before) / time.Duration(b.N)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
			b.ReportMetric(float64(each.Microseconds()), "cpu-µs/login")
			b.ReportMetric(2*float64(time.Second)/float64(each+1), "logins/s/2cpu")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// door is a way in.
type door struct {
	proto   string
	addr    string
	script  string // what is said, with places for user and password
	resumed bool   // whether TLS sessions are
}

func (d door) client() *tls.Config {
	c := &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}
	if d.resumed {
		c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return c
}

// rush has all users log in beside each other, b.N times together.
func (d door) rush(b *testing.B, users []string, clients []*tls.Config) {
	var begun atomic.Int64
	var wg sync.WaitGroup
	for i, user := range users {
		wg.Go(func() {
			for begun.Add(1) <= int64(b.N) {
				resumed, err := d.logIn(clients[i], user)
				if err != nil || resumed != d.resumed {
					b.Errorf("resumed: %t, %v", resumed, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// logIn says what is to be said on a new connection, hears all of the answers, and reports whether the TLS session was an
// old one.
func (d door) logIn(config *tls.Config, user string) (resumed bool, err error) {
	c, err := tls.Dial("tcp", d.addr, config)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if _, err := fmt.Fprintf(c, d.script, user, password); err != nil {
		return false, err
	}
	ok := false
	for r := bufio.NewScanner(c); r.Scan(); {
		ok = ok || strings.HasPrefix(r.Text(), "a OK") || strings.HasPrefix(r.Text(), "+OK Logged in")
	}
	if !ok {
		return false, errors.New("not logged in")
	}
	return c.ConnectionState().DidResume, nil
}

// cpu is what the server and its private PostgreSQL have taken of the processors.
func (s *server) cpu(b testing.TB) time.Duration {
	b.Helper()
	const tick = 10 * time.Millisecond // 100 Hz for user space, on every Linux
	postmaster, err := os.ReadFile(filepath.Join(s.dir, "postgres", "cluster", "postmaster.pid"))
	if err != nil {
		b.Fatal(err)
	}
	main, _, _ := strings.Cut(string(postmaster), "\n")
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.Fatal(err)
	}
	var sum time.Duration
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		pid := filepath.Base(filepath.Dir(name))
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		parent, own := fields[1], []int{11, 12} // utime, stime: proc(5) counts from the name
		switch {
		case pid == main: // and its children that have ended
			own = append(own, 13, 14)
		case parent != main && pid != strconv.Itoa(s.cmd.Process.Pid):
			continue
		}
		for _, i := range own {
			n, err := strconv.Atoi(fields[i])
			if err != nil {
				b.Fatal(err)
			}
			sum += time.Duration(n) * tick
		}
	}
	return sum
}
