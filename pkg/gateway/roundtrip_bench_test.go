package gateway_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"testing"
	"time"

	"postern/pkg/certs"
	"postern/pkg/store/postgres/pgtest"
)

// BenchmarkRoundTrip sends small commands one by one, each when the one before has been answered, and prints how many times
// as long they take as lines to which a server over TLS answers as many octets and does nothing else (xEcho). NOOP asks the
// database one thing, FETCH of flags nothing, FETCH of a body of 2 KB is one statement more than that.
func BenchmarkRoundTrip(b *testing.B) {
	const count = 200
	g := startGateway(b, pgtest.Durable(b))
	user := g.accounts(b, 1)[0]
	mails := &mails{texts: [][]byte{[]byte(fmt.Sprintf("%02000d\r\n", 1))}}
	send(b, dialLMTP(b, g.addr("lmtp"), deliverers), mails, count, func(int) string { return user })
	c := dialIMAP(b, g.addr("imap"), user)
	c.command(b, "SELECT INBOX")
	for _, m := range []struct {
		name string
		line func(i int) string
	}{
		{"NOOP", func(int) string { return "NOOP" }},
		{"FLAGS", func(i int) string { return fmt.Sprintf("UID FETCH %d (FLAGS)", i%count+1) }},
		{"BODY", func(i int) string { return fmt.Sprintf("UID FETCH %d (BODY.PEEK[])", i%count+1) }},
	} {
		b.Run(m.name, func(b *testing.B) {
			echo := dialEcho(b, int(c.command(b, m.line(0))))
			var ours, bare time.Duration
			n := 0
			for b.Loop() {
				line := m.line(n)
				n++
				ours += timed(func() { c.command(b, line) })
				bare += timed(func() { echo(b, line) })
			}
			b.ReportMetric(float64(ours)/float64(bare), "xEcho")
			b.ReportMetric(float64(ours.Microseconds())/float64(n), "us")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// dialEcho connects to a server with the TLS of the gateway that answers every line with so many octets.
func dialEcho(b *testing.B, octets int) func(b *testing.B, line string) {
	b.Helper()
	m, err := certs.New(b.Context(), certs.Options{Mode: "self-signed", Dir: b.TempDir(), Hostname: "localhost"})
	if err != nil {
		b.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", m.TLSConfig())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		answer := make([]byte, octets)
		for r := bufio.NewReader(c); err == nil; {
			if _, err = r.ReadSlice('\n'); err == nil {
				_, err = c.Write(answer)
			}
		}
	}()
	c, err := tls.Dial("tcp", l.Addr().String(), insecure)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	answer := make([]byte, octets)
	return func(b *testing.B, line string) {
		b.Helper()
		if _, err := io.WriteString(c, "t "+line+"\r\n"); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, answer); err != nil {
			b.Fatal(err)
		}
	}
}
