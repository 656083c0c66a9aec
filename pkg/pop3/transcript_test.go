package pop3

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
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

var update = flag.Bool("update", false, "rewrite the S lines that do not match what the server says")

// TestTranscripts runs the conversations in testdata; its README describes their language.
func TestTranscripts(t *testing.T) {
	t.Parallel()
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
			p := newPlay(t, string(content))
			p.run()
			if *update && p.changed {
				if err := os.WriteFile(file, []byte(strings.Join(p.lines, "\n")), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// play is a transcript being run.
type play struct {
	t        *testing.T
	world    *world
	lines    []string // the file
	script   int      // how many of them are the conversation
	sections map[string]string
	conns    map[string]*client
	captured map[string]string
	changed  bool
}

// client is one connection of a transcript.
type client struct {
	net.Conn
	in      *bufio.Reader
	pending strings.Builder // lines not sent yet: all before the next S line go out in one write
}

func newPlay(t *testing.T, content string) *play {
	t.Helper()
	p := &play{
		t: t, lines: strings.Split(content, "\n"), conns: make(map[string]*client), captured: make(map[string]string),
	}
	p.script, p.sections = sections(p.lines)
	p.world = newWorld(t)
	return p
}

func (p *play) run() {
	for i := range p.script {
		line := strings.TrimRight(p.lines[i], " ")
		who, text, isLine := strings.Cut(line, ":")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case isLine && regexp.MustCompile(`^C\d$`).MatchString(who):
			p.client(who[1:]).pending.WriteString(unescape(strings.TrimPrefix(text, " ")) + "\r\n")
		case isLine && regexp.MustCompile(`^S\d$`).MatchString(who):
			p.expect(i, who, strings.TrimPrefix(text, " "))
		default:
			p.direct(i, strings.Fields(line))
		}
	}
	for who, c := range p.conns {
		p.finish(who, c)
	}
}

func (p *play) client(who string) *client {
	c := p.conns[who]
	if c == nil {
		nc, err := net.Dial("tcp", p.world.addr)
		if err != nil {
			p.t.Fatal(err)
		}
		if err := nc.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			p.t.Fatal(err)
		}
		c = &client{Conn: nc, in: bufio.NewReader(nc)}
		p.conns[who] = c
		p.t.Cleanup(func() { nc.Close() })
	}
	return c
}

func (c *client) send() error {
	_, err := io.WriteString(c, c.pending.String())
	c.pending.Reset()
	return err
}

// expect compares one line from the server.
func (p *play) expect(i int, who, want string) {
	c := p.client(who[1:])
	if err := c.send(); err != nil {
		p.t.Fatalf("line %d: %v", i+1, err)
	}
	got, err := c.in.ReadString('\n')
	switch {
	case errors.Is(err, io.EOF) && got == "":
		got = "(closed)"
	case err != nil:
		p.t.Fatalf("line %d: want %q: %v", i+1, want, err)
	default:
		got = escape(strings.TrimSuffix(got, "\r\n"))
	}
	if p.matches(want, got) {
		return
	}
	if !*update {
		p.t.Fatalf("line %d:\nwant %s\n got %s", i+1, want, got)
	}
	p.lines[i], p.changed = who+": "+got, true
}

// matches compares a line: "$x" captures, or must equal what it captured; "…" ends the comparison.
func (p *play) matches(want, got string) bool {
	want, open := strings.CutSuffix(want, "…")
	var names []string
	pattern := regexp.MustCompile(`\\\$[a-z_]+`).ReplaceAllStringFunc(regexp.QuoteMeta(want), func(v string) string {
		name := v[2:]
		if value, ok := p.captured[name]; ok {
			return regexp.QuoteMeta(value)
		}
		names = append(names, name)
		return `([^ ]+?)`
	})
	if !open {
		pattern += "$"
	}
	m := regexp.MustCompile("^" + pattern).FindStringSubmatch(got)
	for i := range m[min(1, len(m)):] {
		if names[i] != "_" {
			p.captured[names[i]] = m[i+1]
		}
	}
	return m != nil
}

// finish checks that the server has nothing more to say.
func (p *play) finish(who string, c *client) {
	if err := c.send(); err != nil {
		p.t.Fatalf("C%s: %v", who, err)
	}
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		return // closed already
	}
	rest, err := io.ReadAll(c.in)
	if err == nil && len(rest) > 0 {
		p.t.Errorf("S%s says more: %q", who, rest)
	}
}

// direct does what a line says that is no conversation.
func (p *play) direct(i int, words []string) {
	switch words[0] {
	case "message":
		for _, name := range words[1:] {
			text, ok := p.sections[name]
			if !ok {
				p.t.Fatalf("line %d: no section %s", i+1, name)
			}
			p.world.deliver(text)
		}
	case "expunge":
		for _, word := range words[1:] {
			uid, err := strconv.ParseUint(word, 10, 32)
			if err != nil {
				p.t.Fatalf("line %d: %v", i+1, err)
			}
			p.world.expunge(imap.UID(uid))
		}
	case "sweep":
		p.world.store.Sweep()
	case "fail":
		p.world.store.fail(strings.Join(words[1:], " "), fmt.Errorf("on purpose: %w", store.ErrUnavailable))
	case "break":
		p.world.store.fail(strings.Join(words[1:], " "), errors.New("a bug, on purpose"))
	case "heal":
		p.world.store.heal()
	case "lose-lease":
		p.world.store.loseLeases()
	case "drop":
		c := p.client(words[1][1:])
		if err := c.send(); err != nil {
			p.t.Fatal(err)
		}
		c.Close()
		delete(p.conns, words[1][1:])
		p.world.awaitUnlocked()
	case "inbox":
		if got := fmt.Sprint(p.world.uids()); got != "["+strings.Join(words[1:], " ")+"]" {
			p.t.Fatalf("line %d: INBOX holds %s", i+1, got)
		}
	default:
		p.t.Fatalf("line %d: what is %q?", i+1, words[0])
	}
}

// sections reads the messages below the conversation.
func sections(lines []string) (script int, found map[string]string) {
	found, script = make(map[string]string), len(lines)
	name, header := "", regexp.MustCompile(`^-- (\S+) --$`)
	for i, line := range lines {
		switch m := header.FindStringSubmatch(line); {
		case m != nil:
			name, script = m[1], min(script, i)
			found[name] = ""
		case name != "" && i < len(lines)-1:
			if cut, ok := strings.CutSuffix(line, `\c`); ok {
				found[name] += unescape(cut)
			} else {
				found[name] += unescape(line) + "\r\n"
			}
		}
	}
	return script, found
}

// unescape undoes \xNN; escape writes what is neither printable ASCII nor valid UTF-8 that way.
func unescape(s string) string {
	return regexp.MustCompile(`\\x[0-9a-f]{2}`).ReplaceAllStringFunc(s, func(x string) string {
		b, err := strconv.ParseUint(x[2:], 16, 8)
		if err != nil {
			panic(err)
		}
		return string([]byte{byte(b)})
	})
}

func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		quoted := strconv.QuoteRune(r)
		switch {
		case r == '\uFFFD':
			return escapeBytes(s)
		case strings.HasPrefix(quoted, `'\`) && r != '\\' && r != '\'':
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func escapeBytes(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			fmt.Fprintf(&b, `\x%02x`, s[i])
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
