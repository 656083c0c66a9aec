package gateway_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	attackers   = 200             // connections that guess, each from a network of its own
	attackTime  = 8 * time.Second //
	hashMemory  = 20 << 20        // of one password hash
	halfOpen    = 1500            // connections that say nothing
	warm        = 300             // that come before anything is measured
	mostOpen    = 40 << 10        // octets one of them may cost
	noopLatency = 100 * time.Millisecond
)

// TestAttack guesses passwords as fast as the server answers, from many networks and from one, and says what it is to those
// who are logged in. Memory may grow by the hashes under way (and as many that wait to be collected) and the connections.
func TestAttack(t *testing.T) {
	s, err := startServer(filepath.Join(workDir, "attack"), "POSTERN_PROXY_TRUSTED=127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	s.account(t, "anna@example.org")
	owner := dialFrom(t, s.imap, netip.MustParseAddr("192.0.2.1"))
	owner.send("a LOGIN anna@example.org \"%s\"\r\nb SELECT INBOX", password)
	owner.until("b OK")
	calm := noops(owner, time.Second)
	before := s.resident(t)

	var guesses, answers atomic.Int64
	var wg sync.WaitGroup
	end := time.Now().Add(attackTime)
	for i := range attackers {
		wg.Go(func() {
			from := netip.AddrFrom4([4]byte{100, 64, byte(i), 1})
			if i%2 == 0 {
				from = netip.MustParseAddr("203.0.113.66")
			}
			for time.Now().Before(end) {
				n := guess(s.imap, from, end)
				guesses.Add(n)
				if n == 0 {
					return
				}
				answers.Add(1)
			}
		})
	}
	pressed := noops(owner, attackTime)
	most := s.resident(t)
	wg.Wait()
	bound := int64(2*hashMemory*runtime.GOMAXPROCS(0) + attackers*mostOpen*2)
	t.Logf("%d guesses on %d connections in %v; NOOP p50 %v, p99 %v, at most %v (before: p50 %v, p99 %v); memory %d MiB more, may be %d",
		guesses.Load(), answers.Load(), attackTime, quantile(pressed, 0.5), quantile(pressed, 0.99), pressed[len(pressed)-1],
		quantile(calm, 0.5), quantile(calm, 0.99), (most-before)>>20, bound>>20)
	// On a machine that has other things to do, what the session suffered without an attack counts for it.
	if limit := noopLatency + 5*quantile(calm, 0.99); quantile(pressed, 0.95) > limit {
		t.Errorf("NOOP took %v under attack", quantile(pressed, 0.95))
	}
	if most-before > bound && len(raceFlags) == 0 { // the race detector's own memory is many times that
		t.Errorf("memory grew by %d MiB, more than %d", (most-before)>>20, bound>>20)
	}
}

// guess tries passwords on one connection until it is closed or the time is over, all pipelined.
func guess(addr string, from netip.Addr, end time.Time) (n int64) {
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		return 0
	}
	defer raw.Close()
	_ = raw.SetDeadline(end)
	if _, err := fmt.Fprintf(raw, "PROXY TCP4 %s 127.0.0.1 40000 993\r\n", from); err != nil {
		return 0
	}
	c := tls.Client(raw, insecure)
	var all strings.Builder
	for i := range 10 {
		fmt.Fprintf(&all, "a%d LOGIN anna@example.org guess%d\r\n", i, time.Now().UnixNano()+int64(i))
	}
	if _, err := c.Write([]byte(all.String())); err != nil {
		return 0
	}
	for r := bufio.NewScanner(c); r.Scan(); {
		if strings.HasPrefix(r.Text(), "a") {
			n++
		}
	}
	return max(n, 1)
}

// noops sends one after another and returns how long each took, in order.
func noops(l *lines, d time.Duration) (took []time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		start := time.Now()
		l.send("n NOOP")
		l.until("n OK")
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[int(float64(len(sorted)-1)*q)]
}

// TestHalfOpen has many connections that go as far as they can without a login and then say nothing: before the
// handshake, before a command, in the middle of a line, in a literal. Others are served, and each costs little.
func TestHalfOpen(t *testing.T) {
	s, err := startServer(filepath.Join(workDir, "halfopen"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	s.account(t, "anna@example.org")
	cache := &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	var before int64
	for i := range warm + halfOpen {
		if i == warm {
			before = s.settled(t)
		}
		raw, err := net.Dial("tcp", s.imap)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		if i%4 == 0 {
			continue
		}
		c := tls.Client(raw, cache)
		if _, err := fmt.Fprint(c, []string{"", "a NOOP\r\n", "a LOG", "a LOGIN {20}\r\nanna"}[i%4]); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	each := (s.settled(t) - before) / halfOpen
	t.Logf("%d connections, %d octets each", halfOpen, each)
	if each > mostOpen && len(raceFlags) == 0 {
		t.Errorf("%d octets for each connection, want at most %d", each, mostOpen)
	}
	l := dialTLS(t, s.imap)
	l.send("a LOGIN anna@example.org \"%s\"", password)
	l.until("a OK")
}
