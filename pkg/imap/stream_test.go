package imap

import (
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"postern/pkg/auth"
)

// conversation has a bit of everything. It ends with LOGOUT, so that its answer ends too.
const conversation = "\r\na CAPABILITY\r\n" +
	"b LOGIN {17+}\r\n" + testUser + " {6}\r\n" + testPassword + "\r\n" +
	"c ENABLE QRESYNC\nd APPEND INBOX (\\Seen) {23+}\r\nSubject: x\r\n\r\nd NOOP\r\n\r\n\r\n" +
	"e SELECT inbox (CONDSTORE)\r\nf IDLE\r\nDONE\r\ng FETCH 1 (FLAGS BODY.PEEK[])\r\n" +
	"h IDLE\r\n\r\n\r\ni NOOP\r\nj FROB {4+}\r\n\r\n\r\n {2+}\r\n\r\n \"\r\nk UID FETCH 1:* (UID)\r\n" +
	"l STORE 1 +FLAGS ($x)\r\nm LIST \"\" {1}\r\n%\r\nn \x00\r\no LOGOUT\r\n"

// answerTo sends the pieces of a conversation and returns all that is said to it. Times and mod-sequences do not differ
// between stores that are new.
func answerTo(t *testing.T, pieces []string) string {
	t.Helper()
	b := newBench(t)
	b.start()
	client, server := net.Pipe()
	b.pipes.conns <- server
	go func() {
		for _, piece := range pieces {
			if _, err := io.WriteString(client, piece); err != nil {
				return // the answer will show it
			}
		}
	}()
	answer, err := io.ReadAll(client)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.stop(t, patience); err != nil {
		t.Error(err)
	}
	return string(answer)
}

// TestSplit: how the stream is cut into pieces changes nothing.
func TestSplit(t *testing.T) {
	t.Parallel()
	want := answerTo(t, []string{conversation})
	if !strings.Contains(want, "o OK") || strings.Contains(want, "d OK NOOP") {
		t.Fatalf("heard\n%s", want)
	}
	if got := answerTo(t, strings.Split(conversation, "")); got != want {
		t.Errorf("octet by octet:\n%s\nwant:\n%s", got, want)
	}
	for i := range len(conversation) {
		if got := answerTo(t, []string{conversation[:i], conversation[i:]}); got != want {
			t.Errorf("cut at %d, %q:\n%s\nwant:\n%s", i, conversation[:i], got, want)
		}
	}
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		var pieces []string
		for rest := conversation; rest != ""; {
			n := min(1+r.IntN(40), len(rest))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		if got := answerTo(t, pieces); got != want {
			t.Errorf("seed %d:\n%s\nwant:\n%s", seed, got, want)
		}
	}
}

// TestFlushes: pipelined commands are answered in as few pieces as they came.
func TestFlushes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.start()
	p := b.dial(t, "l")
	counted := &countingConn{}
	client, server := net.Pipe()
	counted.Conn = server
	b.pipes.conns <- counted
	q := newPipe(client)
	q.until(t, "* OK")
	before := counted.writes.Load()
	if _, err := io.WriteString(client, strings.Repeat("a NOOP\r\n", 20)+"b NOOP\r\n"); err != nil {
		t.Fatal(err)
	}
	q.until(t, "b OK")
	if n := counted.writes.Load() - before; n != 1 {
		t.Errorf("21 answers in %d writes", n)
	}
	p.do(t, "z NOOP")
	if err := b.stop(t, patience); err != nil {
		t.Error(err)
	}
}

type countingConn struct {
	net.Conn
	writes atomic.Int64
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// TestPrivacy: where passwords are not taken, nobody is invited to send one.
func TestPrivacy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.server.Auth = noMechanisms{}
	b.start()
	p := b.dial(t, "")
	if heard := p.do(t, "a CAPABILITY"); !strings.HasSuffix(heard[0], "LOGINDISABLED") {
		t.Error(heard)
	}
	p.say(t, "b LOGIN x y")
	p.until(t, "b NO [PRIVACYREQUIRED]")
	if err := b.stop(t, patience); err != nil {
		t.Error(err)
	}
}

type noMechanisms struct{ auth.Authenticator }

func (noMechanisms) Mechanisms(auth.Peer) []string { return nil }
