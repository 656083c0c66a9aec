// Package transcript plays conversations with the server of a line protocol that are written down in text files, and
// compares what the server says: test support for pop3 and lmtp. The README in their testdata has the language; what a
// protocol's own directives do, the protocol's tests say. (IMAP's tagged commands and literals need a player of their
// own.)
package transcript

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the lines of transcripts that do not match what the server says")

// World is where a conversation takes place: a server, and what a directive can do to it.
type World interface {
	// Addr is the TCP address of the server, which runs from the first call on.
	Addr() string
	// Direct does what a line says that is no conversation, and reports whether it knows the directive.
	Direct(p *Play, words []string) bool
}

// Run plays every file of testdata, each in a world of its own.
func Run(t *testing.T, newWorld func(t *testing.T) World) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p := newPlay(t, newWorld(t), string(content))
			p.run()
			if *update && p.changed {
				if err := os.WriteFile(file, []byte(strings.Join(p.lines, "\n")), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Play is a transcript being played.
type Play struct {
	t        *testing.T
	world    World
	lines    []string // the file
	script   int      // how many of them are the conversation
	at       int      // the line being played
	sections map[string]string
	conns    map[string]*client
	captured map[string]string
	shown    []string // lines of what Show was given, not yet compared
	changed  bool
}

// client is one connection.
type client struct {
	net.Conn
	in      *bufio.Reader
	pending strings.Builder // not sent yet: all before the next S line goes out in one write
}

func newPlay(t *testing.T, w World, content string) *Play {
	p := &Play{
		t: t, world: w, lines: strings.Split(content, "\n"),
		conns: make(map[string]*client), captured: make(map[string]string),
	}
	p.script, p.sections = sections(p.lines)
	return p
}

var (
	clientLine = regexp.MustCompile(`^C(\d): ?(.*)$`)
	serverLine = regexp.MustCompile(`^S(\d): ?(.*)$`)
)

func (p *Play) run() {
	p.t.Helper()
	for p.at = range p.script {
		p.line(p.lines[p.at])
	}
	if len(p.shown) > 0 {
		p.Fatalf("what was shown goes on: %q", p.shown)
	}
	for who, c := range p.conns {
		p.finish(who, c)
	}
}

func (p *Play) line(line string) {
	p.t.Helper()
	if m := clientLine.FindStringSubmatch(line); m != nil {
		p.client(m[1]).pending.WriteString(lineOf(m[2]))
		return
	}
	if m := serverLine.FindStringSubmatch(line); m != nil {
		p.expect(m[1], m[2])
		return
	}
	if want, ok := strings.CutPrefix(line, "|"); ok {
		p.expectShown(strings.TrimPrefix(want, " "))
		return
	}
	if words := strings.Fields(line); len(words) > 0 && words[0][0] != '#' && !p.world.Direct(p, words) {
		p.Fatalf("what is %q?", words[0])
	}
}

// Fatalf ends the test, naming the line.
func (p *Play) Fatalf(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("line %d: %s", p.at+1, fmt.Sprintf(format, args...))
}

// Section returns a message from the end of the file.
func (p *Play) Section(name string) string {
	p.t.Helper()
	text, ok := p.sections[name]
	if !ok {
		p.Fatalf("no section %s", name)
	}
	return text
}

// Show takes a text that the following "|" lines must equal; one that ends in CRLF ends with an empty line.
func (p *Play) Show(text string) {
	p.t.Helper()
	if len(p.shown) > 0 {
		p.Fatalf("what was shown before goes on: %q", p.shown)
	}
	for line := range strings.SplitAfterSeq(text, "\n") {
		p.shown = append(p.shown, strings.TrimSuffix(line, "\r\n"))
	}
}

// Drop breaks a connection, written as "C1".
func (p *Play) Drop(who string) {
	p.t.Helper()
	c := p.client(who[1:])
	if err := c.send(); err != nil {
		p.Fatalf("%v", err)
	}
	c.Close()
	delete(p.conns, who[1:])
}

func (p *Play) client(who string) *client {
	p.t.Helper()
	if c := p.conns[who]; c != nil {
		return c
	}
	nc, err := net.Dial("tcp", p.world.Addr())
	if err != nil {
		p.Fatalf("%v", err)
	}
	if err := nc.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		p.Fatalf("%v", err)
	}
	c := &client{Conn: nc, in: bufio.NewReader(nc)}
	p.conns[who] = c
	p.t.Cleanup(func() { nc.Close() })
	return c
}

func (c *client) send() error {
	_, err := io.WriteString(c, c.pending.String())
	c.pending.Reset()
	return err
}

// expect compares one line from the server.
func (p *Play) expect(who, want string) {
	p.t.Helper()
	c := p.client(who)
	if err := c.send(); err != nil {
		p.Fatalf("%v", err)
	}
	got, err := c.in.ReadString('\n')
	switch {
	case errors.Is(err, io.EOF) && got == "":
		got = "(closed)"
	case err != nil:
		p.Fatalf("want %q: %v", want, err)
	default:
		got = escape(strings.TrimSuffix(got, "\r\n"))
	}
	p.compare("S"+who+": ", want, got)
}

// expectShown compares one line of what was shown.
func (p *Play) expectShown(want string) {
	p.t.Helper()
	if len(p.shown) == 0 {
		p.Fatalf("what was shown has ended")
	}
	p.compare("| ", want, escape(p.shown[0]))
	p.shown = p.shown[1:]
}

func (p *Play) compare(mark, want, got string) {
	p.t.Helper()
	if p.matches(want, got) {
		return
	}
	if !*update {
		p.Fatalf("\nwant %s\n got %s", want, got)
	}
	p.lines[p.at], p.changed = strings.TrimRight(mark+got, " "), true
}

var placeholder = regexp.MustCompile(`\\\$[a-z_]+`)

// matches compares a line: "$x" captures, or must equal what it captured; "…" ends the comparison.
func (p *Play) matches(want, got string) bool {
	want, open := strings.CutSuffix(want, "…")
	var names []string
	pattern := placeholder.ReplaceAllStringFunc(regexp.QuoteMeta(want), func(v string) string {
		if value, ok := p.captured[v[2:]]; ok {
			return regexp.QuoteMeta(value)
		}
		names = append(names, v[2:])
		return `([^ ]+?)`
	})
	if !open {
		pattern += "$"
	}
	m := regexp.MustCompile("^" + pattern).FindStringSubmatch(got)
	for i, value := range m[min(1, len(m)):] {
		if names[i] != "_" {
			p.captured[names[i]] = value
		}
	}
	return m != nil
}

// finish checks that the server has nothing more to say.
func (p *Play) finish(who string, c *client) {
	p.t.Helper()
	if err := c.send(); err != nil {
		p.t.Fatalf("C%s: %v", who, err)
	}
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		return // closed already
	}
	if rest, err := io.ReadAll(c.in); err == nil && len(rest) > 0 {
		p.t.Errorf("S%s says more: %q", who, rest)
	}
}
