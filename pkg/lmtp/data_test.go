package lmtp

import (
	"bufio"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// undot is dataReader's definition: lines end in CRLF, the first dot of a line goes, a line of one dot is the end.
func undot(wire string) (message, rest string, ok bool) {
	for wire != "" {
		line, after, found := strings.Cut(wire, "\r\n")
		if !found {
			return "", "", false
		}
		if line == "." {
			return message, after, true
		}
		message += strings.TrimPrefix(line, ".") + "\r\n"
		wire = after
	}
	return "", "", false
}

func readData(wire string, buffer int, by func(io.Reader) io.Reader) (message, rest string, err error) {
	in := bufio.NewReaderSize(by(strings.NewReader(wire)), buffer)
	b, err := io.ReadAll(&dataReader{r: in, lineStart: true})
	if err != nil {
		return "", "", err
	}
	left, err := io.ReadAll(in)
	return string(b), string(left), err
}

func TestDataReader(t *testing.T) {
	t.Parallel()
	whole := func(r io.Reader) io.Reader { return r }
	words := []string{".", "..", "\r\n", "\r\n.\r\n", "\r", "\n", "\r\n.", ".\r\n", "x", "text of some length"}
	for seed := range uint64(5_000) {
		r := rand.New(rand.NewPCG(seed, 0))
		var wire strings.Builder
		for range r.IntN(15) {
			wire.WriteString(words[r.IntN(len(words))])
		}
		if seed%2 == 0 {
			wire.WriteString("\r\n.\r\nNOOP\r\n")
		}
		want, wantRest, ok := undot(wire.String())
		for _, by := range []func(io.Reader) io.Reader{whole, iotest.OneByteReader, iotest.HalfReader} {
			got, rest, err := readData(wire.String(), 16, by)
			if !ok {
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("seed %d: %q has no end, and gave %q, %v", seed, wire.String(), got, err)
				}
				continue
			}
			if err != nil || got != want || rest != wantRest {
				t.Fatalf("seed %d: %q\ngave %q and %q, %v\nwant %q and %q", seed, wire.String(), got, rest, err, want, wantRest)
			}
		}
	}
}

func FuzzDataReader(f *testing.F) {
	f.Add("a\r\n.\r\n")
	f.Add("a\r\r\n.\r\n")
	f.Add(".\rb\r\n..\r\n.\r\n")
	f.Fuzz(func(t *testing.T, wire string) {
		want, wantRest, ok := undot(wire)
		got, rest, err := readData(wire, 16, iotest.HalfReader)
		if ok != (err == nil) || got != want || rest != wantRest {
			t.Errorf("gave %q and %q, %v; want %q and %q", got, rest, err, want, wantRest)
		}
	})
}

// TestLongLines: lines of messages have no limit, in DATA and in BDAT, and their octets arrive as they were sent.
func TestLongLines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.dial()
	for _, body := range []string{
		strings.Repeat("x", 3<<20),
		strings.Repeat("\x00\xff\r", 500_000) + "x",
		strings.Repeat("x", readBuffer-1) + "\r\n" + strings.Repeat("y", readBuffer-2) + "\r\n.",
		strings.Repeat(strings.Repeat("z", 997)+"\r\n", 3000),
	} {
		text := "Subject: long\r\n\r\n" + body + "\r\n"
		if got := c.send(alice, strings.ReplaceAll(text, "\r\n.", "\r\n..")+".\r\n"); !strings.HasPrefix(got, "250 ") {
			t.Fatal(got)
		}
		c.envelope("other@example.net", bob)
		c.say("BDAT 3")
		c.write(text[:3])
		c.hear("250")
		c.say("BDAT " + itoa(len(text)-3) + " LAST")
		c.write(text[3:])
		c.hear("250 2.0.0 <bob@example.org>")
		for _, address := range []string{alice, bob} {
			all := w.bodies(address, "INBOX")
			if got := all[len(all)-1]; got != text {
				t.Errorf("%s: %d octets of %d came, or others", address, len(got), len(text))
			}
		}
	}
}

// TestClientGone: a message whose end has not come is stored for nobody (rule 3).
func TestClientGone(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]string{
		"in the message":     "DATA\r\nSubject: x\r\n\r\nbody\r\n",
		"in the end":         "DATA\r\nSubject: x\r\n\r\nbody\r\n.\r",
		"in a chunk":         "BDAT 100 LAST\r\nSubject: x\r\n",
		"between chunks":     "BDAT 12\r\nSubject: x\r\n",
		"in a line":          "BDAT 12\r\nSubject: x\r\nBDAT 3",
		"in a refused chunk": "BDAT 100 LAST\r\n" + strings.Repeat("x", 60),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(s *Server) { s.MaxSize = 50 })
			c := w.dial()
			c.envelope("sender@example.net", alice)
			c.write(sent)
			c.Close()
			if err := w.server.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := w.messages(alice, "INBOX"); len(got) > 0 {
				t.Errorf("stored %q", got)
			}
		})
	}
}
