package imap

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/pkg/message"
	"postern/pkg/store"
	"postern/pkg/store/memory"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// openings bring a session into each of its states.
var openings = []string{
	"",
	"l LOGIN " + testUser + " " + testPassword + "\r\n",
	"l LOGIN " + testUser + " " + testPassword + "\r\ns SELECT INBOX\r\n",
	"l LOGIN " + testUser + " " + testPassword + "\r\nn ENABLE QRESYNC\r\ns EXAMINE INBOX\r\n",
	"l LOGIN " + testUser + " " + testPassword + "\r\ns SELECT INBOX\r\ni IDLE\r\n",
	"l AUTHENTICATE PLAIN\r\n",
	"l LOGIN " + testUser + " " + testPassword + "\r\na APPEND INBOX ",
}

// FuzzConn sends anything to the whole engine, in every state. It must go on to the end of the input, say nothing that
// does not parse, and find no bug in itself.
func FuzzConn(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var said strings.Builder
		for _, line := range strings.Split(string(text), "\n") {
			if m := clientLine.FindStringSubmatch(line); m != nil {
				said.WriteString(m[3] + "\r\n")
			}
		}
		f.Add(byte(i), said.String())
	}
	f.Add(byte(2), conversation)
	f.Add(byte(6), "{4+}\r\na: b\r\n")
	f.Fuzz(func(t *testing.T, opening byte, input string) {
		said := unpacked(t, overhear(t, openings[int(opening)%len(openings)]+input+"\r\n"))
		r := bufio.NewReader(strings.NewReader(said))
		for {
			p, err := readResponse(r, true)
			if errors.Is(err, io.EOF) && len(p) == 0 {
				return
			}
			if err != nil || !wellFormed.Match(p) {
				t.Fatalf("%q, %v in\n%s", p, err, said)
			}
		}
	})
}

// wellFormed are the beginnings of responses.
var wellFormed = regexp.MustCompile(`^(\+ |(\*|[^\s+(){%*"\\\x00-\x1f\x7f]+) \S)`)

// overhear runs a session over input and returns what the server says.
func overhear(t *testing.T, input string) string {
	s := memory.New()
	id := s.AddAccount(testUser, "", 1<<20)
	core, logs := observer.New(zap.WarnLevel)
	server := &Server{
		Accounts: s, Auth: &testAuth{id: id}, Log: zap.New(core), MaxMessage: 64 << 10,
		IdleKeepalive: time.Hour,
	}
	account, err := s.Account(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	box, err := account.Mailbox(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	mail := "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b--\r\n"
	spooled, err := message.Spool(strings.NewReader(mail), message.SpoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	draft := &store.Draft{Spooled: spooled, Received: received}
	if _, err := account.Append(t.Context(), box.ID, draft, draft, draft); err != nil {
		t.Fatal(err)
	}
	nc := &tape{in: strings.NewReader(input)}
	newConn(server, nc).Serve(t.Context())
	if faults := logs.FilterLevelExact(zap.ErrorLevel).All(); len(faults) > 0 {
		t.Fatalf("%v\n%v", faults[0].Message, faults[0].ContextMap())
	}
	return nc.out.String()
}

// tape is a connection whose client has said all it will ever say.
type tape struct {
	in  io.Reader
	out bytes.Buffer
}

func (c *tape) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *tape) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *tape) Close() error                     { return nil }
func (c *tape) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *tape) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *tape) SetDeadline(time.Time) error      { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }
