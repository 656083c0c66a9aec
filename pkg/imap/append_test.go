package imap

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"postern/pkg/imap/wire"
	"postern/pkg/store/memory"
)

// FuzzParseAppend reads any number of messages as APPEND does, with literals of which nothing is asked.
func FuzzParseAppend(f *testing.F) {
	f.Add(" Sent (\\Seen) \" 1-Feb-2006 15:04:05 +0130\" {4+}\r\nabcd ~{3+}\r\nabc\r\n")
	f.Add(" INBOX CATENATE (URL \"/INBOX/;UID=1\" TEXT {3}\r\nabc URL x) () {1}\r\nx\r\n")
	f.Add(" INBOX CATENATE (TEXT ~{3+}\r\nabc)\r\n")
	f.Fuzz(func(t *testing.T, line string) {
		d := wire.NewDecoder(bufio.NewReader(strings.NewReader(line)), wire.DecoderOptions{Continue: func() error { return nil }})
		d.Begin(wire.Limits{Line: maxLine, Literal: 1 << 20})
		r, err := parseAppend(d, 0)
		for m := r.first; err == nil; {
			if (m.literal == nil) == (m.form == nil) {
				t.Fatalf("%+v", m)
			}
			octets := readForm(t, d, m)
			if _, err = io.Copy(io.Discard, onlyReader{octets}); err != nil || !d.TrySP() {
				break
			}
			m = parseAppendMessage(d)
			err = d.Err()
		}
		if err == nil {
			_ = d.End() // whatever it says, the rest can be passed over
		}
		if err := d.Discard(); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
	})
}

// readForm opens the octets of a message in a session that has nothing its URLs could mean.
func readForm(t *testing.T, d *wire.Decoder, m appendMessage) io.Reader {
	if m.literal != nil {
		return m.literal
	}
	s := memory.New()
	account, err := s.Account(t.Context(), s.AddAccount(testUser, "", 0))
	if err != nil {
		t.Fatal(err)
	}
	c := &conn{srv: &Server{}, stream: &stream{}, account: account}
	return m.form(t.Context(), &incoming{c: c, d: d})
}

// TestAppendOverQuota: a client that waits hears that there is no room before it has sent anything.
func TestAppendOverQuota(t *testing.T) {
	t.Parallel()
	said := overhear(t, openings[1]+"a APPEND INBOX {60000}\r\nb NOOP\r\n") // overhear gives 1 MiB
	if !strings.Contains(said, "+ Go ahead.") {
		t.Errorf("%q", said)
	}
	big := strings.Repeat("x", 60_000)
	var all strings.Builder
	for range 17 {
		all.WriteString("a APPEND INBOX {60000+}\r\n" + big + "\r\n")
	}
	said = overhear(t, openings[1]+all.String()+"b APPEND INBOX {60000}\r\nc APPEND INBOX {10+}\r\n0123456789 {60000}\r\nd NOOP\r\n")
	_, said, _ = strings.Cut(said, "Logged in")
	if strings.Contains(said, "+ Go ahead.") || !strings.Contains(said, "b NO [OVERQUOTA]") ||
		!strings.Contains(said, "c NO [OVERQUOTA]") || !strings.Contains(said, "d OK") {
		t.Errorf("%q", said)
	}
}

// TestAppendMany: more messages than are kept in memory come together, each as it was.
func TestAppendMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.login(t)
	var all strings.Builder
	all.WriteString("a APPEND Sent")
	size := func(i int) int { return 20 + 9000*i }
	for i := range 40 {
		text := strings.Repeat("ab", size(i)/2)
		fmt.Fprintf(&all, " {%d+}\r\n%s", len(text), text)
	}
	c.send(t, []byte(all.String()+"\r\nb EXAMINE Sent\r\nc UID FETCH 1:* (RFC822.SIZE BODY.PEEK[]<0.4>)\r\n"))
	for i := 0; ; {
		s, err := c.response()
		switch {
		case err != nil || strings.HasPrefix(s, "a ") && !strings.HasPrefix(s, "a OK"):
			t.Fatal(s, err)
		case strings.Contains(s, " FETCH (UID"):
			if want := fmt.Sprintf("* %d FETCH (UID %d RFC822.SIZE %d BODY[]<0> {4}\r\nabab)", i+1, i+1, size(i)); s != want {
				t.Fatalf("%q, want %q", s, want)
			}
			i++
		case strings.HasPrefix(s, "c OK"):
			if i != 40 {
				t.Fatalf("%d messages", i)
			}
			return
		}
	}
}
