package imap

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// idlers is how many sessions BenchmarkIdle holds.
const idlers = 1000

// clientsEnv tells a copy of the test program to be the clients of BenchmarkIdle, so that their memory is not counted.
const clientsEnv = "POSTERN_TEST_IDLE_CLIENTS"

// BenchmarkIdle holds 1,000 sessions that idle over TLS on a mailbox of 1,000 messages, and says what one costs.
func BenchmarkIdle(b *testing.B) {
	w := newWorld(b, inMemory)
	w.server.MaxSessionsPerAccount, w.server.MaxSessionsPerAccountAndAddress = idlers, idlers
	box, err := w.account.Mailbox(b.Context(), "INBOX")
	if err != nil {
		b.Fatal(err)
	}
	if err := deliver(b, w.account, box.ID, []byte("Subject: x\r\n\r\nx\r\n"), nil, 1000); err != nil {
		b.Fatal(err)
	}
	l := startServing(b, w.server, listenTLS(b, selfSigned(b)))
	for name := range idleWays {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				before, routines := memoryInUse(), runtime.NumGoroutine()
				quit := startIdlers(b, l.Addr().String(), name)
				b.ReportMetric(float64(memoryInUse()-before)/idlers, "B/session")
				b.ReportMetric(float64(runtime.NumGoroutine()-routines)/idlers, "goroutines/session")
				quit()
			}
		})
	}
}

// idleWays are ways to wait for news: what a client says, and what it hears when it waits.
var idleWays = map[string]struct{ says, hears string }{
	"IDLE":   {"c IDLE\r\n", "+ "},
	"NOTIFY": {"c NOTIFY SET (selected (MessageNew (UID FLAGS) MessageExpunge FlagChange)) (personal (MessageNew MessageExpunge FlagChange MailboxName))\r\n", "c OK"},
}

func memoryInUse() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC() // buffers in pools take two to go, stacks shrink by half each time
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// startIdlers runs the clients and returns when all of them idle.
func startIdlers(b *testing.B, addr, way string) (quit func()) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestIdleClients$")
	cmd.Env = append(os.Environ(), clientsEnv+"="+addr+" "+strconv.Itoa(idlers)+" "+way)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "idling\n" {
		b.Fatalf("clients say %q, %v", line, err)
	}
	return func() {
		if err := in.Close(); err != nil {
			b.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	}
}

// TestIdleClients is no test but the other side of BenchmarkIdle.
func TestIdleClients(t *testing.T) {
	words := strings.Fields(os.Getenv(clientsEnv))
	if len(words) != 3 {
		return
	}
	addr, way := words[0], idleWays[words[2]]
	count, err := strconv.Atoi(words[1])
	if err != nil {
		t.Fatal(err)
	}
	for range count {
		c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }() // the benchmark is over
		if _, err := fmt.Fprintf(c, "a LOGIN %s %s\r\nb SELECT INBOX\r\n%s", testUser, testPassword, way.says); err != nil {
			t.Fatal(err)
		}
		for r := bufio.NewReader(c); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(line, way.hears) {
				break
			}
		}
	}
	fmt.Println("idling")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the benchmark is over
}
