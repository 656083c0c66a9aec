package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	attackTime  = 8 * time.Second // at least
	attackMost  = 3 * time.Minute // until so many as fewAnswers are answered, on a machine that has other work
	guessesEach = 100             // that an attacker pipelines on a connection
	fewAnswers  = 100
	hashMemory  = 20 << 20 // of one password hash
	mostOpen    = 40 << 10 // octets one of them may cost
	noopLatency = 10 * time.Second
)

var attackers = flag.Int("attackers", 1000, "connections that guess passwords at once in TestAttack")

// TestAttack guesses passwords from a process of its own, which stands for other machines: on many connections, each from
// another network, by the hundred. It says what that is to those who are logged in. Memory may grow by the hashes under way
// (and as many that wait to be collected) and by the connections.
func TestAttack(t *testing.T) {
	s, err := startServer(filepath.Join(workDir, "attack"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	s.account(t, "anna@example.org")
	owner := dialTLS(t, s.imap)
	owner.send("a LOGIN anna@example.org \"%s\"\r\nb SELECT INBOX", password)
	owner.until("b OK")
	calm := noops(owner, time.Second, func() bool { return true })
	before := s.resident(t)

	attack := exec.Command(os.Args[0])
	attack.Env = append(os.Environ(), attackEnv+"="+s.imap+" "+strconv.Itoa(*attackers))
	var said bytes.Buffer
	attack.Stdout, attack.Stderr = &said, &said
	orders, err := attack.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := attack.Start(); err != nil {
		t.Fatal(err)
	}
	count := func(result string) float64 {
		n, _ := s.counted(t, `postern_logins_total{proto="imap",result="`+result+`"}`)
		return n
	}
	var hashed, spared float64
	latest := time.Now().Add(attackMost)
	pressed := noops(owner, attackTime, func() bool {
		hashed, spared = count("refused"), count("throttled")+count("busy")
		return hashed+spared >= fewAnswers || time.Now().After(latest)
	})
	_ = orders.Close() // ends it
	err = attack.Wait()
	offered := fmt.Sprintf("%s (%v)", bytes.TrimSpace(said.Bytes()), err)
	grown := s.memory(t, "VmHWM:") - before
	bound := int64(2*hashMemory*max(1, runtime.GOMAXPROCS(0)/2) + 3**attackers*mostOpen)
	t.Logf("%s; %.0f judged by a hash, %.0f refused without one; %d NOOPs: p50 %v, p99 %v, at most %v (before: p50 %v, p99 %v); "+
		"memory %d MiB more at most, may be %d", offered, hashed, spared,
		len(pressed), quantile(pressed, 0.5), quantile(pressed, 0.99), pressed[len(pressed)-1], quantile(calm, 0.5), quantile(calm, 0.99),
		grown>>20, bound>>20)
	if n, _ := s.counted(t, `postern_imap_commands_total{command="LOGIN",result="error"}`); n > 0 {
		t.Errorf("an attack is told to the operator as %.0f failures of ours", n)
	}
	if hashed+spared < fewAnswers {
		t.Errorf("no attack: %s", offered)
	}
	// How long is for docs/performance.md to say, of a machine that does nothing else; here the attackers have half of it.
	if quantile(pressed, 0.95) > noopLatency {
		t.Errorf("NOOP took %v under attack", quantile(pressed, 0.95))
	}
	if grown > bound && len(raceFlags) == 0 { // the race detector's own memory is many times that
		t.Errorf("memory grew by %d MiB, more than %d", grown>>20, bound>>20)
	}
}

// attackEnv has the test's program attack instead: its value is whom, and on how many connections.
const attackEnv = "POSTERN_TEST_ATTACK"

// attackFor is what the other process does until its standard input ends.
func attackFor(orders string) int {
	addr, n, _ := strings.Cut(orders, " ")
	connections, err := strconv.Atoi(n)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, 10) // other machines would not take the server's processors
	var opened, answered atomic.Int64
	var wg sync.WaitGroup
	begun := time.Now()
	ctx, stop := context.WithCancel(context.Background())
	sessions := tls.NewLRUClientSessionCache(1)
	for range connections {
		wg.Go(func() {
			for ctx.Err() == nil {
				heard, err := guess(ctx, addr, sessions)
				if err == nil {
					opened.Add(1)
				}
				answered.Add(heard)
			}
		})
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	took := time.Since(begun)
	stop()
	wg.Wait()
	fmt.Printf("%.0f guesses offered a second on %d connections of %d at once, %d answered",
		float64(opened.Load()*guessesEach)/took.Seconds(), opened.Load(), connections, answered.Load())
	return 0
}

// guess tries passwords on a connection from somewhere until it is closed or ctx ends, all pipelined, and returns how many were
// answered: every other one is of a user there is.
func guess(ctx context.Context, addr string, sessions tls.ClientSessionCache) (answered int64, err error) {
	from := net.IPv4(127, byte(1+rand.IntN(250)), byte(rand.IntN(250)), byte(1+rand.IntN(250)))
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
	raw, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, err
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })()
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: sessions})
	var all strings.Builder
	for i := range guessesEach {
		user := "anna"
		if i%2 == 1 {
			user = fmt.Sprintf("user%d", rand.IntN(1e6))
		}
		fmt.Fprintf(&all, "a%d LOGIN %s@example.org guess%d\r\n", i, user, rand.Int())
	}
	if _, err := c.Write([]byte(all.String())); err != nil {
		return 0, err
	}
	for r := bufio.NewScanner(c); r.Scan(); {
		if strings.HasPrefix(r.Text(), "a") {
			answered++
		}
	}
	return answered, nil
}

// noops sends one after another, for a time and then until enough, and returns how long each took, in order.
func noops(l *lines, d time.Duration, enough func() bool) (took []time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end) || !enough(); {
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
