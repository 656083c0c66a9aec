package imap

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"postern/pkg/imap/wire"
	"postern/pkg/message"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// strict reads BODY, BODYSTRUCTURE and ENVELOPE by the letter of RFC 3501 §9, as clients do that trust servers.
type strict struct {
	s   string
	err error
}

func (p *strict) fail(want string) {
	if p.err == nil {
		p.err = fmt.Errorf("want %s at %.40q", want, p.s)
	}
	p.s = ""
}

func (p *strict) try(s string) bool {
	rest, ok := strings.CutPrefix(p.s, s)
	if ok {
		p.s = rest
	}
	return ok
}

func (p *strict) want(s string) {
	if !p.try(s) {
		p.fail(strconv.Quote(s))
	}
}

func (p *strict) number() {
	n := len(p.s) - len(strings.TrimLeft(p.s, "0123456789"))
	if n == 0 {
		p.fail("a number")
		return
	}
	p.s = p.s[n:]
}

func (p *strict) text() {
	switch {
	case p.try("{"):
		digits, rest, ok := strings.Cut(p.s, "}\r\n")
		n, err := strconv.Atoi(digits)
		if !ok || err != nil || n > len(rest) || strings.Contains(rest[:n], "\x00") {
			p.fail("a literal")
			return
		}
		p.s = rest[n:]
	case p.try(`"`):
		for p.s != "" && p.s[0] != '"' {
			if p.s[0] == '\\' && len(p.s) > 1 && (p.s[1] == '"' || p.s[1] == '\\') {
				p.s = p.s[1:]
			} else if p.s[0] == '\\' || p.s[0] >= 0x80 || p.s[0] == '\r' || p.s[0] == '\n' || p.s[0] == 0 {
				p.fail("a quoted character")
				return
			}
			p.s = p.s[1:]
		}
		p.want(`"`)
	default:
		p.fail("a string")
	}
}

func (p *strict) ntext() {
	if !p.try("NIL") {
		p.text()
	}
}

// list reads "(" 1*item ")" or NIL.
func (p *strict) list(sep string, item func()) {
	if p.try("NIL") {
		return
	}
	p.want("(")
	item()
	for p.err == nil && !p.try(")") {
		p.want(sep)
		item()
	}
}

func (p *strict) params() { p.list(" ", func() { p.text(); p.want(" "); p.text() }) }

func (p *strict) extension() {
	p.want(" ")
	if !p.try("NIL") {
		p.want("(")
		p.text()
		p.want(" ")
		p.params()
		p.want(")")
	}
	p.want(" ")
	p.list(" ", p.text)
	p.want(" ")
	p.ntext()
}

func (p *strict) body(extended bool) {
	if p.err != nil {
		return
	}
	p.want("(")
	if strings.HasPrefix(p.s, "(") {
		for strings.HasPrefix(p.s, "(") {
			p.body(extended)
		}
		p.want(" ")
		p.text()
		if extended {
			p.want(" ")
			p.params()
			p.extension()
		}
		p.want(")")
		return
	}
	p.single(extended)
	p.want(")")
}

func (p *strict) single(extended bool) {
	before := p.s
	p.text()
	p.want(" ")
	p.text()
	p.want(" ")
	kind := before[:len(before)-len(p.s)]
	p.params()
	p.want(" ")
	p.ntext()
	p.want(" ")
	p.ntext()
	p.want(" ")
	p.text()
	p.want(" ")
	p.number()
	if strings.HasPrefix(kind, `"MESSAGE" "RFC822" `) {
		p.want(" ")
		p.envelope()
		p.want(" ")
		p.body(extended)
		p.want(" ")
		p.number()
	} else if strings.HasPrefix(kind, `"TEXT" `) {
		p.want(" ")
		p.number()
	}
	if extended {
		p.want(" ")
		p.ntext()
		p.extension()
	}
}

func (p *strict) envelope() {
	p.want("(")
	p.ntext()
	p.want(" ")
	p.ntext()
	for range 6 {
		p.want(" ")
		p.list("", func() {
			p.want("(")
			p.ntext()
			p.want(" NIL ")
			p.ntext()
			p.want(" ")
			p.ntext()
			p.want(")")
		})
	}
	p.want(" ")
	p.ntext()
	p.want(" ")
	p.ntext()
	p.want(")")
}

// structures writes ENVELOPE, BODY and BODYSTRUCTURE of a message and reads them strictly.
func structures(t testing.TB, octets []byte) error {
	t.Helper()
	s, err := message.Spool(bytes.NewReader(octets), message.SpoolOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }() // it is in memory
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	e := wire.NewEncoder(w)
	writeEnvelope(e, s.Part().Envelope)
	writeBodyStructure(e.SP(), s.Part(), false)
	writeBodyStructure(e.SP(), s.Part(), true)
	if err := errors.Join(e.Err(), w.Flush()); err != nil {
		t.Fatal(err)
	}
	p := &strict{s: b.String()}
	p.envelope()
	p.want(" ")
	p.body(false)
	p.want(" ")
	p.body(true)
	if p.err == nil && p.s != "" {
		p.fail("the end")
	}
	return p.err
}

// hostile are trees that no message gives, but that a database might.
func hostileParts() []*message.Part {
	text := &message.Part{Type: "TEXT", Subtype: "PLAIN", Encoding: "7BIT"}
	return []*message.Part{
		{Type: "MULTIPART", Subtype: "MIXED", Encoding: "7BIT"},
		{Type: "MESSAGE", Subtype: "RFC822", Encoding: "7BIT"},
		{Type: "MESSAGE", Subtype: "RFC822", Encoding: "7BIT", Children: []*message.Part{text}},
		{Type: "MULTIPART", Subtype: "X", Encoding: "7BIT", Children: []*message.Part{{Type: "MULTIPART", Subtype: "Y", Encoding: "7BIT"}}},
	}
}

func TestStructureIsStrict(t *testing.T) {
	t.Parallel()
	for i, part := range hostileParts() {
		var b bytes.Buffer
		w := bufio.NewWriter(&b)
		writeBodyStructure(wire.NewEncoder(w), part, true)
		_ = w.Flush()
		p := &strict{s: b.String()}
		if p.body(true); p.err != nil || p.s != "" {
			t.Errorf("part %d: %q: %v", i, b.String(), p.err)
		}
	}
	for _, file := range corpus(t) {
		octets, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := structures(t, octets); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// corpus are the messages that package message is tested with.
func corpus(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("../message/testdata/*.eml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no messages: %v", err)
	}
	return files
}

func FuzzStructure(f *testing.F) {
	for _, file := range corpus(f) {
		octets, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if len(octets) < 10_000 {
			f.Add(octets)
		}
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		if err := structures(t, octets); err != nil {
			t.Fatal(err)
		}
	})
}

// TestForeignClient reads every message of the corpus with a client that is not ours.
func TestForeignClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, file := range corpus(t) {
		octets, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		w.inbox(t, 1, string(octets))
	}
	c, err := imapclient.DialInsecure(w.start().Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }() // the test is over
	if err := c.Login(testUser, testPassword).Wait(); err != nil {
		t.Fatal(err)
	}
	box, err := c.Select("INBOX", nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	whole := &imap.FetchItemBodySection{Peek: true}
	messages, err := c.Fetch(imap.UIDSet{{Start: 1}}, &imap.FetchOptions{
		Flags: true, Envelope: true, InternalDate: true, RFC822Size: true, UID: true, ModSeq: true,
		BodyStructure: &imap.FetchItemBodyStructure{Extended: true},
		BodySection:   []*imap.FetchItemBodySection{whole, {Specifier: imap.PartSpecifierHeader, Peek: true}, {Part: []int{1}, Peek: true}},
	}).Collect()
	if err != nil {
		t.Fatal(err)
	}
	if len(messages) != int(box.NumMessages) {
		t.Errorf("%d messages of %d", len(messages), box.NumMessages)
	}
	for _, m := range messages {
		if body := m.FindBodySection(whole); int64(len(body)) != m.RFC822Size {
			t.Errorf("UID %d: %d octets, RFC822.SIZE %d", m.UID, len(body), m.RFC822Size)
		}
	}
}
