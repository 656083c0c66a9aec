package gateway_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"postern/pkg/certs"
	"postern/pkg/store/postgres/pgtest"
)

// BenchmarkFetchBodies reads 2,000 plain mails of 20 KB on average with one UID FETCH 1:* (BODY.PEEK[]), and prints how
// that compares with a server that sends as many octets over TLS on the loopback interface and does nothing else (%ofTLS).
// Expected: 40 or more. What the ratio leaves is spent on the query, opening the seals, unpacking and the protocol.
func BenchmarkFetchBodies(b *testing.B) {
	const count = 2000
	g := startGateway(b, pgtest.Durable(b), "POSTERN_STORE_BODIES=4MiB") // what is read comes from the database
	user := g.accounts(b, 1)[0]
	send(b, dialLMTP(b, g.addr("lmtp"), deliverers), newMails(), count, func(int) string { return user })
	c := dialIMAP(b, g.addr("imap"), user)
	fetch := func() int64 { return c.command(b, "UID FETCH 1:* (BODY.PEEK[])") }
	c.command(b, "SELECT INBOX")
	octets := fetch()
	source := bareTLS(b, octets)
	b.SetBytes(octets)
	var bare, ours time.Duration
	for b.Loop() {
		bare += timed(func() { source.drain(b, octets) })
		ours += timed(func() { fetch() })
	}
	b.ReportMetric(100*float64(bare)/float64(ours), "%ofTLS")
	b.ReportMetric(float64(octets)/1e6*float64(b.N)/ours.Seconds(), "MB/s")
	b.ReportMetric(float64(octets)/1e6*float64(b.N)/bare.Seconds(), "bare-MB/s")
	b.ReportMetric(0, "ns/op")
}

// imapClient is a session that reads as fast as it can and keeps nothing.
type imapClient struct {
	net.Conn
	r *bufio.Reader
}

// dialIMAP logs in with the common password.
func dialIMAP(b *testing.B, addr, user string) *imapClient {
	b.Helper()
	nc, err := tls.Dial("tcp", addr, insecure)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { nc.Close() })
	c := &imapClient{nc, bufio.NewReaderSize(nc, 64<<10)}
	c.command(b, fmt.Sprintf("LOGIN %s \"%s\"", user, password))
	return c
}

// command sends a command and returns how many octets came back; an answer other than OK fails the benchmark.
func (c *imapClient) command(b *testing.B, line string) (octets int64) {
	b.Helper()
	if _, err := io.WriteString(c, "t "+line+"\r\n"); err != nil {
		b.Fatal(err)
	}
	return c.answer(b, "t ")
}

// firstLine sends a command and returns how long the first line of its answer took; the rest is left unread.
func (c *imapClient) firstLine(b *testing.B, line string) time.Duration {
	b.Helper()
	return timed(func() {
		if _, err := io.WriteString(c, "t "+line+"\r\n"); err != nil {
			b.Fatal(err)
		}
		if _, _, err := c.line(); err != nil {
			b.Fatal(err)
		}
	})
}

// answer reads to the tagged reply.
func (c *imapClient) answer(b *testing.B, tag string) (octets int64) {
	b.Helper()
	for {
		line, n, err := c.line()
		if err != nil {
			b.Fatal(err)
		}
		octets += n
		if bytes.HasPrefix(line, []byte(tag)) {
			if !bytes.HasPrefix(line, []byte(tag+"OK")) {
				b.Fatalf("%s", line)
			}
			return octets
		}
	}
}

// line reads a line, which stays valid until the next, and passes over the literal it announces. It returns how many
// octets that were.
func (c *imapClient) line() (line []byte, octets int64, err error) {
	line, err = c.r.ReadSlice('\n')
	octets = int64(len(line))
	size, announced := bytes.CutSuffix(line, []byte("}\r\n"))
	if err != nil || !announced {
		return line, octets, err
	}
	size = size[bytes.LastIndexByte(size, '{')+1:]
	literal, err := strconv.Atoi(string(size))
	if err != nil {
		return line, octets, fmt.Errorf("literal: %w", err)
	}
	line = bytes.Clone(line)
	skipped, err := c.r.Discard(literal)
	return line, octets + int64(skipped), err
}

// tlsSource sends octets to whoever connects.
type tlsSource struct{ addr string }

// bareTLS is a server with the TLS of the gateway and nothing else.
func bareTLS(b *testing.B, octets int64) tlsSource {
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
		p := make([]byte, 64<<10)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			for left := octets; left > 0 && err == nil; left -= int64(len(p)) {
				_, err = c.Write(p[:min(left, int64(len(p)))])
			}
			c.Close() // the reader counts
		}
	}()
	return tlsSource{l.Addr().String()}
}

func (s tlsSource) drain(b *testing.B, octets int64) {
	b.Helper()
	c, err := tls.Dial("tcp", s.addr, insecure)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if _, err := io.CopyN(io.Discard, bufio.NewReaderSize(c, 64<<10), octets); err != nil {
		b.Fatal(err)
	}
}
