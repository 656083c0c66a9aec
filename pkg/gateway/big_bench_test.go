package gateway_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// bigSize is how large BenchmarkBigMessage's message is, and bigLines how many lines of base64 that makes.
const (
	bigSize  = 50 << 20
	bigLines = bigSize / 78
)

// BenchmarkBigMessage takes a message of 50 MB with an attachment through every way in and out, and prints by how much the
// server's resident memory exceeded what it was before (MB-peak). Expected: a few, whatever the size. The message read in
// fragments of 64 KB must not take more than twice the time of the message read at once (xWhole).
func BenchmarkBigMessage(b *testing.B) {
	s, err := startServer(filepath.Join(workDir, "big"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.stop()
	const user = "big@example.org"
	if _, err := s.postern(password+"\n", "account", "add", user, "--password-stdin"); err != nil {
		b.Fatal(err)
	}
	c := dialIMAP(b, s.imap, user)
	in := dialLMTP(b, s.lmtp, 1)[0]
	measure := func(name string, f func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			var peak int64
			var took time.Duration
			for range b.N {
				peak = max(peak, s.peak(b, func() { took += timed(func() { f(b) }) }))
			}
			b.ReportMetric(float64(peak)/1e6, "MB-peak")
			b.ReportMetric(took.Seconds()*1000/float64(b.N), "ms")
			b.ReportMetric(0, "ns/op")
		})
	}
	measure("LMTP", func(b *testing.B) { in.deliverBig(b, user) })
	measure("APPEND", func(b *testing.B) { c.appendBig(b) })
	c.command(b, "SELECT INBOX")
	whole := func(b *testing.B) { c.command(b, "FETCH 1 BODY.PEEK[]") }
	pieces := func(b *testing.B) {
		for from := 0; from < bigSize; from += 64 << 10 {
			c.command(b, fmt.Sprintf("FETCH 1 BODY.PEEK[]<%d.65536>", from))
		}
	}
	measure("FETCH", whole)
	measure("FETCH-64K", pieces)
	b.Run("FETCH-64K/FETCH", func(b *testing.B) {
		var once, often time.Duration
		for range max(b.N, 5) {
			once += timed(func() { whole(b) })
			often += timed(func() { pieces(b) })
		}
		b.ReportMetric(float64(often)/float64(once), "xWhole")
		b.ReportMetric(0, "ns/op")
	})
	measure("RETR", func(b *testing.B) { retrieve(b, s.pop3, user) })
}

// peak is by how much f raised the server's resident memory at its highest.
func (s *server) peak(b *testing.B, f func()) int64 {
	b.Helper()
	before := s.settled(b)
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0); err != nil {
		b.Fatal(err) // 5 forgets the highest so far
	}
	f()
	return s.memory(b, "VmHWM:") - before
}

// big writes the message: text in base64, which does not compress.
func big(w io.Writer) error {
	const header = "From: Ann <ann@example.com>\r\nSubject: Large %x\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	out := bufio.NewWriter(w)
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0)) // never the same twice: it would be taken for a repetition
	fmt.Fprintf(out, header, r.Uint64())                         //nolint:errcheck // Flush returns it
	raw, line := make([]byte, 57), make([]byte, 78)
	copy(line[76:], "\r\n")
	for range bigLines {
		for i := range raw {
			raw[i] = byte(r.Uint32())
		}
		base64.StdEncoding.Encode(line, raw)
		out.Write(line) //nolint:errcheck // Flush returns it
	}
	return out.Flush()
}

func (c *lmtpClient) deliverBig(b *testing.B, to string) {
	b.Helper()
	if _, err := fmt.Fprintf(c, "MAIL FROM:<ann@example.com>\r\nRCPT TO:<%s>\r\nDATA\r\n", to); err != nil {
		b.Fatal(err)
	}
	if err := c.expect("250 ", "250 ", "354 "); err != nil {
		b.Fatal(err)
	}
	if err := big(c); err != nil {
		b.Fatal(err)
	}
	if _, err := io.WriteString(c, ".\r\n"); err != nil {
		b.Fatal(err)
	}
	if err := c.expect("250 "); err != nil {
		b.Fatal(err)
	}
}

func (c *imapClient) appendBig(b *testing.B) {
	b.Helper()
	var text bytes.Buffer
	if err := big(&text); err != nil {
		b.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "a APPEND INBOX {%d+}\r\n", text.Len()); err != nil {
		b.Fatal(err)
	}
	if _, err := text.WriteTo(c); err != nil {
		b.Fatal(err)
	}
	if _, err := io.WriteString(c, "\r\n"); err != nil {
		b.Fatal(err)
	}
	c.answer(b, "a ")
}

// retrieve downloads the first message over POP3.
func retrieve(b *testing.B, addr, user string) {
	b.Helper()
	c, err := tls.Dial("tcp", addr, insecure)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "USER %s\r\nPASS %s\r\nRETR 1\r\n", user, password); err != nil {
		b.Fatal(err)
	}
	octets := 0
	for r := bufio.NewReaderSize(c, 64<<10); ; {
		line, err := r.ReadSlice('\n')
		if err != nil || bytes.HasPrefix(line, []byte("-ERR")) {
			b.Fatalf("%v after %q", err, line)
		}
		if octets += len(line); string(line) == ".\r\n" {
			break
		}
	}
	if octets < bigSize/2 {
		b.Fatalf("only %d octets", octets)
	}
}
