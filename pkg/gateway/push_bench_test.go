package gateway_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/pkg/store/postgres/pgtest"
)

// BenchmarkPush prints how long after LMTP's 250 an idling session hears EXISTS: in the process that took the mail, and in
// another one on the same database. Expected: ms-p95 at most 50 here and 200 there. An announcement that comes before the
// 250 counts as 0. The mails come in pairs, one right behind the other, and then none for a while.
func BenchmarkPush(b *testing.B) {
	const pairs, apart = 50, 40 * time.Millisecond
	dsn := pgtest.Durable(b)
	g := startGateway(b, dsn)
	second := g.second(b)
	for _, at := range []struct{ name, imap string }{{"same process", g.addr("imap")}, {"other process", second.imap}} {
		user := g.accounts(b, 1)[0]
		in, m := dialLMTP(b, g.addr("lmtp"), 1)[0], newMails()
		w, count := idleOn(b, at.imap, user), 0
		b.Run(at.name, func(b *testing.B) {
			var took []time.Duration
			tick := time.NewTicker(apart)
			defer tick.Stop()
			for b.Loop() {
				for range pairs {
					<-tick.C
					var accepted [2]time.Time
					for i := range accepted {
						if err := in.deliver(user, m.mail()); err != nil {
							b.Fatal(err)
						}
						accepted[i] = time.Now()
					}
					for _, at := range accepted {
						count++
						took = append(took, max(0, w.until(b, count).Sub(at)))
					}
				}
			}
			slices.Sort(took)
			for _, p := range []int{50, 95, 99, 100} {
				b.ReportMetric(took[(len(took)-1)*p/100].Seconds()*1000, fmt.Sprintf("ms-p%d", p))
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkNotify prints what is left of the rate of delivery when somebody listens (%ofUnwatched): a session that idles
// here and one in another process on the same database, on one of 200 mailboxes, or on the one to which all mail goes.
// Expected: 90 or more.
func BenchmarkNotify(b *testing.B) {
	dsn := pgtest.Durable(b)
	g := startGateway(b, dsn)
	second := g.second(b)
	senders, m, users := dialLMTP(b, g.addr("lmtp"), deliverers), newMails(), g.accounts(b, 200)
	for _, n := range []int{200, 1} {
		b.Run(fmt.Sprintf("mailboxes=%d", n), func(b *testing.B) {
			deliver := func() { send(b, senders, m, burst, func(i int) string { return users[i%n] }) }
			deliver()
			var alone, watched time.Duration
			for b.Loop() {
				for range 4 {
					alone += timed(deliver)
					here, there := idleOn(b, g.addr("imap"), users[0]), idleOn(b, second.imap, users[0])
					watched += timed(deliver)
					here.Close()
					there.Close()
				}
			}
			b.ReportMetric(100*float64(alone)/float64(watched), "%ofUnwatched")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// second runs the program on the same database.
func (g *inProcess) second(b *testing.B) *server {
	b.Helper()
	s, err := startServer(filepath.Join(b.TempDir(), "second"), slices.DeleteFunc(slices.Clone(g.environ), func(s string) bool {
		return strings.Contains(s, "LISTEN") || strings.Contains(s, "DATA_DIR")
	})...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.stop)
	return s
}

// watcher is a session in IDLE on INBOX.
type watcher struct {
	*imapClient
	heard chan exists
	last  exists
}

// exists is an EXISTS and when it came.
type exists struct {
	n  int
	at time.Time
}

func idleOn(b *testing.B, addr, user string) *watcher {
	b.Helper()
	w := &watcher{imapClient: dialIMAP(b, addr, user), heard: make(chan exists, 1<<16)}
	w.command(b, "SELECT INBOX")
	if _, err := fmt.Fprint(w, "i IDLE\r\n"); err != nil {
		b.Fatal(err)
	}
	for ready := false; !ready; {
		line, _, err := w.line()
		if err != nil {
			b.Fatal(err)
		}
		ready = bytes.HasPrefix(line, []byte("+ "))
	}
	go func() {
		for {
			line, _, err := w.line()
			if err != nil {
				return // closed
			}
			var n int
			if _, err := fmt.Sscanf(string(line), "* %d EXISTS", &n); err == nil {
				w.heard <- exists{n, time.Now()}
			}
		}
	}()
	return w
}

// until waits for the news that there are n messages, or more, and returns when it came.
func (w *watcher) until(b *testing.B, n int) time.Time {
	b.Helper()
	for w.last.n < n {
		select {
		case w.last = <-w.heard:
		case <-time.After(10 * time.Second):
			b.Fatalf("no EXISTS of %d messages in 10 s", n)
		}
	}
	return w.last.at
}
