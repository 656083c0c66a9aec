package gateway_test

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var halfOpenMany = flag.Int("half-open", 1200, "connections in TestHalfOpen; some thousand take minutes")

const (
	halfOpenTime = 10 * time.Second // to log in; and with many, as long again as it takes to open them
	warm         = 300              // connections that come before anything is measured
)

// halfOpened is how many connections there can be: each takes a descriptor here and one there.
func halfOpened(t *testing.T) int {
	t.Helper()
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	files.Cur = files.Max // the server is a Go program too, and does the same at its start
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	return min(*halfOpenMany, int(min(files.Cur, 1<<20))-warm-300)
}

// TestHalfOpen has many connections that go as far as they can without a login: TCP alone, half of a handshake, and then, octet
// by octet, a command or a literal. Each costs little, those who are logged in are served, and all end when their time is over,
// with a line of the log each and nothing left behind.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	n := halfOpened(t)
	s, err := startServer(filepath.Join(workDir, "halfopen-"+rand.Text()),
		"POSTERN_LIMITS_CONNECTIONS_PER_ADDRESS=1000000", "POSTERN_LIMITS_LOGIN_TIME="+(halfOpenTime+time.Duration(n/100)*time.Second).String())
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	s.account(t, "anna@example.org")
	owners := []*lines{dialTLS(t, s.imap), dialTLS(t, s.pop3)}
	owners[0].send("a LOGIN anna@example.org \"%s\"", password)
	owners[0].until("a OK")
	owners[1].send("USER anna@example.org\r\nPASS %s", password)
	owners[1].until("+OK Logged in")

	h := &halfOpens{t: t, s: s, cache: &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(1)}}
	defer h.close()
	h.open(warm)
	goroutines, files := s.metric(t, "go_goroutines"), s.metric(t, "process_open_fds")
	before, said := s.settled(t), strings.Count(s.output(), "\n")
	h.open(n)
	stop := h.drip()
	each := (s.settled(t) - before) / int64(n)
	t.Logf("%d connections, %d octets each", n, each)
	if each > mostOpen && len(raceFlags) == 0 {
		t.Errorf("%d octets for each connection, want at most %d", each, mostOpen)
	}
	start := time.Now()
	owners[0].send("b NOOP")
	owners[0].until("b OK")
	owners[1].send("NOOP")
	owners[1].until("+OK")
	t.Logf("two NOOPs take %v meanwhile", time.Since(start))

	h.ended.Wait()
	stop()
	const others = 50 // connections to the database, and of those who ask for metrics
	if !await(func() bool {
		return s.metric(t, "go_goroutines") <= goroutines+others && s.metric(t, "process_open_fds") <= files+others
	}) {
		t.Errorf("left behind: %v goroutines, before %v; %v files, before %v",
			s.metric(t, "go_goroutines"), goroutines, s.metric(t, "process_open_fds"), files)
	}
	if lines := strings.Count(s.output(), "\n") - said; lines > n+warm+100 {
		t.Errorf("%d lines of the log for %d connections", lines, n+warm)
	}
	owners[0].send("c NOOP")
	owners[0].until("c OK")
}

// halfOpens are the connections.
type halfOpens struct {
	t       *testing.T
	s       *server
	cache   *tls.Config
	raw     []net.Conn
	dripped []net.Conn
	ended   sync.WaitGroup // the server has ended them
}

func (h *halfOpens) close() {
	for _, c := range h.raw {
		_ = c.Close()
	}
}

// open opens so many, those that take longest first: half of a handshake has less time than others.
func (h *halfOpens) open(n int) {
	h.t.Helper()
	for i := range n {
		h.one(i%2, (3*i/n+2)%3)
	}
}

// one opens a connection.
func (h *halfOpens) one(protocol, stage int) {
	h.t.Helper()
	raw, err := net.Dial("tcp", []string{h.s.imap, h.s.pop3}[protocol])
	if err != nil {
		h.t.Fatal(err)
	}
	h.raw = append(h.raw, raw)
	c := raw
	switch stage {
	case 1: // the beginning of a record of 512 octets
		_, err = raw.Write(append([]byte{22, 3, 1, 2, 0, 1, 0, 1, 252}, make([]byte, 100)...))
	case 2:
		c = tls.Client(raw, h.cache)
		begin := [][]string{{"", "a NO", "a LOGIN {2000}\r\n"}, {"", "NO", "AUTH PLAIN\r\n"}}[protocol]
		_, err = io.WriteString(c, begin[len(h.dripped)/2%len(begin)])
		if err == nil {
			_, err = c.Read(make([]byte, 1000)) // the greeting
		}
		h.dripped = append(h.dripped, c)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	_ = raw.SetDeadline(time.Now().Add(10 * time.Minute))
	h.ended.Go(func() {
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			h.t.Error("a connection has not ended")
		}
	})
}

// drip sends an octet on each of those that have come so far every second, until it is stopped.
func (h *halfOpens) drip() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-tick.C:
			case <-done:
				tick.Stop()
				return
			}
			for _, c := range h.dripped {
				_, _ = fmt.Fprint(c, "x") // it may have ended
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
