package gateway_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"postern/pkg/store/postgres/pgtest"
)

const (
	deliverers = 16   // connections that deliver at once
	burst      = 1500 // messages between two looks at the clock
)

// BenchmarkDeliver delivers plain mail of 20 KB on average through LMTP, by 16 connections, into 200 mailboxes and into
// one, and prints how that compares with 16 connections that insert the same octets into the same PostgreSQL, a row and a
// commit each (%ofINSERT). Expected: 60 or more. What the ratio leaves is spent on the protocol, the log, the hash and the
// MIME tree, compressing, sealing, the index row and the counters; what it gains is commits shared by several messages.
// µsCPU is what this process takes for a message, both ends of LMTP and indexing behind it included: unlike the others it
// says the same beside other work.
func BenchmarkDeliver(b *testing.B) {
	dsn := pgtest.Durable(b)
	g := startGateway(b, dsn)
	mails, floor := newMails(), pgtest.NewFloor(b, dsn, deliverers)
	users := g.accounts(b, 200)
	senders := dialLMTP(b, g.addr("lmtp"), deliverers)
	for _, n := range []int{200, 1} {
		b.Run(fmt.Sprintf("mailboxes=%d", n), func(b *testing.B) {
			deliver := func() { send(b, senders, mails, burst, func(i int) string { return users[i%n] }) }
			deliver() // connections, caches and statements are there
			var bare, ours, used time.Duration
			for b.Loop() {
				bare += timed(func() { floor.Insert(b, burst, func(int) []byte { return mails.mail() }) })
				used -= processCPU(b)
				ours += timed(deliver)
				used += processCPU(b)
			}
			b.ReportMetric(float64(b.N*burst)/ours.Seconds(), "msg/s")
			b.ReportMetric(float64(b.N*burst)/bare.Seconds(), "INSERT/s")
			b.ReportMetric(100*float64(bare)/float64(ours), "%ofINSERT")
			b.ReportMetric(float64(used.Microseconds())/float64(b.N*burst), "µsCPU/msg")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func timed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

// processCPU is the time of the processor that this process has had.
func processCPU(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
