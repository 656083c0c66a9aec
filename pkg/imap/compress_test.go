package imap

import (
	"bufio"
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"testing"

	"postern/pkg/store/memory"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const compressLine = "z COMPRESS DEFLATE\r\n"

// packed is what a client sends that compresses from here on, flushing after each piece.
func packed(t testing.TB, pieces ...string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range pieces {
		_, err := io.WriteString(w, piece)
		if err = errors.Join(err, w.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// unpacked is what a client hears that knows where compression begins: behind the reply that agrees to it.
func unpacked(t testing.TB, said string) string {
	t.Helper()
	const begin = " OK Compressing from here on.\r\n"
	before, after, ok := strings.Cut(said, begin)
	if !ok {
		return said
	}
	got, err := io.ReadAll(flate.NewReader(strings.NewReader(after)))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) { // no final block: the connection just ends
		t.Fatalf("%v after %q", err, got)
	}
	return before + begin + string(got)
}

// TestCompressedAlike: a conversation is the same whether it is compressed or not, also when compressed octets come right
// behind the command that asks for it, and in pieces.
func TestCompressedAlike(t *testing.T) {
	t.Parallel()
	login := openings[1]
	plain := overhear(t, login+"z NOOP\r\n"+conversation)
	plain = plain[strings.Index(plain, "\r\nz OK"):]
	_, plain, _ = strings.Cut(plain[2:], "\r\n")
	var pieces []string
	r := rand.New(rand.NewPCG(4, 978))
	for rest := conversation; rest != ""; {
		n := min(len(rest), 1+r.IntN(40))
		pieces, rest = append(pieces, rest[:n]), rest[n:]
	}
	got := unpacked(t, overhear(t, login+compressLine+packed(t, pieces...)))
	_, got, _ = strings.Cut(got, "here on.\r\n")
	if withoutIDs(got) != withoutIDs(plain) {
		t.Errorf("compressed\n%s\nplain\n%s", got, plain)
	}
}

// withoutIDs leaves out what differs between any two worlds.
func withoutIDs(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if !strings.Contains(line, "UIDVALIDITY") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// TestCompressedCut: wherever a compressed session breaks off, or turns to nonsense, it just ends: overhear checks that
// nothing is logged as an error.
func TestCompressedCut(t *testing.T) {
	t.Parallel()
	whole := packed(t, "a SELECT INBOX\r\n", "b APPEND INBOX {100+}\r\n"+strings.Repeat("0123456789", 10)+"\r\n", "c IDLE\r\n")
	for n := range len(whole) {
		unpacked(t, overhear(t, openings[1]+compressLine+whole[:n]))
		damaged := whole[:n] + "\xff\xff\xff\xff" + whole[n:]
		unpacked(t, overhear(t, openings[1]+compressLine+damaged))
	}
	overhear(t, compressLine+whole) // before login
	if said := unpacked(t, overhear(t, openings[1]+compressLine+"\xff")); !strings.Contains(said, "* BYE The compressed data is damaged.") {
		t.Errorf("%q", said)
	}
}

// TestCompressedBomb: a literal that is a thousand times what was sent is bounded as any other.
func TestCompressedBomb(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "a APPEND INBOX {9999999999+}\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(w, zeros{}, maxSkipInflated+1); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	said := unpacked(t, overhear(t, openings[1]+compressLine+b.String()))
	runtime.ReadMemStats(&after)
	if !strings.Contains(said, "* BYE Too much.") {
		t.Errorf("%q", said)
	}
	if n := int64(after.HeapSys) - int64(before.HeapSys); n > 64<<20 {
		t.Errorf("it took %d octets of memory", n)
	}
}

// TestCompressedShutdown: a compressed session that idles hears BYE.
func TestCompressedShutdown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	core, logs := observer.New(zap.WarnLevel)
	b.server.Log = zap.New(core)
	b.start()
	client, server := net.Pipe()
	b.pipes.conns <- server
	heard := make(chan string, 1)
	go func() {
		said, _ := io.ReadAll(&hearingReader{r: client}) // it ends when the server closes
		heard <- string(said)
	}()
	idle := packed(t, "a SELECT INBOX\r\nb IDLE\r\n")
	if _, err := io.WriteString(client, openings[1]+compressLine+idle); err != nil {
		t.Fatal(err)
	}
	if err := b.stop(t, patience); err != nil {
		t.Error(err)
	}
	said := unpacked(t, <-heard)
	if !strings.Contains(said, "* BYE The server is shutting down.") || logs.Len() > 0 {
		t.Errorf("%q, %v", said, logs.All())
	}
	if n := b.server.compressed.Load(); n != 0 {
		t.Errorf("%d sessions are still counted", n)
	}
}

// hearingReader makes the end of a pipe an end.
type hearingReader struct{ r io.Reader }

// Read implements io.Reader.
func (h *hearingReader) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if errors.Is(err, io.ErrClosedPipe) {
		err = io.EOF
	}
	return n, err
}

// FuzzConnCompressed sends anything behind COMPRESS: as it is, or compressed in two pieces.
func FuzzConnCompressed(f *testing.F) {
	f.Add(packed(f, conversation), false, 0)
	f.Add(conversation, true, 100)
	f.Add("a APPEND INBOX {6+}\r\na: b\r\n\r\nb IDLE\r\nDONE\r\nc COMPRESS DEFLATE\r\n", true, 20)
	f.Fuzz(func(t *testing.T, input string, pack bool, cut int) {
		if pack {
			cut = min(max(cut, 0), len(input))
			input = packed(t, input[:cut], input[cut:])
		}
		r := bufio.NewReader(strings.NewReader(unpacked(t, overhear(t, openings[2]+compressLine+input))))
		for {
			p, err := readResponse(r, false)
			if errors.Is(err, io.EOF) && len(p) == 0 {
				return
			}
			if err != nil || !wellFormed.Match(p) {
				t.Fatalf("%q, %v", p, err)
			}
		}
	})
}

// BenchmarkCompressedMemory says what a compressed session holds while it waits: after one short command, and after all the
// memory it can get was used.
func BenchmarkCompressedMemory(b *testing.B) {
	for name, input := range map[string]string{
		"short": "a NOOP\r\n",
		"full":  "a SELECT INBOX\r\n" + strings.Repeat("a FETCH 1 ENVELOPE\r\n", 2000),
	} {
		b.Run(name, func(b *testing.B) {
			s := memory.New()
			server := &Server{Accounts: s, Auth: &testAuth{id: s.AddAccount(testUser, "", 0)}, MaxSessionsPerAccount: 1 << 30, MaxSessionsPerAccountAndAddress: 1 << 30, MaxCompressed: 1 << 30}
			const n = 200
			for b.Loop() {
				plain := waitingMemory(b, server, openings[1]+input, n)
				b.ReportMetric(float64(waitingMemory(b, server, openings[1]+compressLine+packed(b, input), n)-plain)/n, "B/session-more")
			}
		})
	}
}

// waitingMemory is what n sessions hold that have all run input.
func waitingMemory(b *testing.B, server *Server, input string, n int) int64 {
	before := memoryInUse()
	quit := make(chan struct{})
	var ended []chan struct{}
	for range n {
		nc := &waitingConn{tape: tape{in: strings.NewReader(input)}, waits: make(chan struct{}), quit: quit}
		done := make(chan struct{})
		go func() {
			defer close(done)
			newConn(server, nc).Serve(b.Context())
		}()
		<-nc.waits
		ended = append(ended, done)
	}
	held := memoryInUse() - before
	close(quit)
	for _, done := range ended {
		<-done
	}
	return held
}

// waitingConn is a connection whose client has said all it will say and stays. What it hears is gone.
type waitingConn struct {
	tape
	waits, quit chan struct{}
}

// Read implements net.Conn.
func (c *waitingConn) Read(p []byte) (int, error) {
	if n, err := c.in.Read(p); err == nil {
		return n, nil
	}
	close(c.waits)
	<-c.quit
	return 0, io.EOF
}

// Write implements net.Conn.
func (c *waitingConn) Write(p []byte) (int, error) { return len(p), nil }
