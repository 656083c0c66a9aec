package lmtp

import (
	"bufio"
	"context"
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

	"postern/pkg/store"
)

var update = flag.Bool("update", false, "rewrite the S and | lines that do not match")

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
			p := &play{
				t: t, world: newWorld(t), lines: strings.Split(string(content), "\n"),
				conns: make(map[string]*client), captured: make(map[string]string),
			}
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
	lines    []string
	conns    map[string]*client
	captured map[string]string
	message  []string // lines of the message shown last, not yet compared
	changed  bool
}

// client is one connection of a transcript.
type client struct {
	net.Conn
	in      *bufio.Reader
	pending strings.Builder // not sent yet: all before the next S line goes out in one write
}

var (
	clientLine = regexp.MustCompile(`^C(\d): ?(.*)$`)
	serverLine = regexp.MustCompile(`^S(\d): ?(.*)$`)
)

func (p *play) run() {
	for i, line := range p.lines {
		if m := clientLine.FindStringSubmatch(line); m != nil {
			text, cut := strings.CutSuffix(m[2], `\c`)
			p.client(m[1]).pending.WriteString(unescape(text))
			if !cut {
				p.client(m[1]).pending.WriteString("\r\n")
			}
			continue
		}
		if m := serverLine.FindStringSubmatch(line); m != nil {
			p.expect(i, m[1], m[2])
			continue
		}
		if want, ok := strings.CutPrefix(line, "|"); ok {
			p.expectMessage(i, strings.TrimPrefix(want, " "))
			continue
		}
		if line != "" && line[0] != '#' {
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
		nc, err := net.Dial("tcp", p.world.start())
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
	c := p.client(who)
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
	p.compare(i, "S"+who+": ", want, got)
}

// expectMessage compares one line of the message shown last.
func (p *play) expectMessage(i int, want string) {
	if len(p.message) == 0 {
		p.t.Fatalf("line %d: the message has ended", i+1)
	}
	p.compare(i, "| ", want, escape(p.message[0]))
	p.message = p.message[1:]
}

func (p *play) compare(i int, mark, want, got string) {
	if p.matches(want, got) {
		return
	}
	if !*update {
		p.t.Fatalf("line %d:\nwant %s\n got %s", i+1, want, got)
	}
	p.lines[i], p.changed = mark+got, true
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
	case "server":
		for _, option := range words[1:] {
			p.configure(i, option)
		}
	case "account":
		p.world.add(words[1], p.number(i, words[2]))
	case "alias":
		p.world.store.AddAlias(words[1], words[2:]...)
	case "folder":
		if _, err := p.world.account(words[1]).Create(context.Background(), words[2]); err != nil {
			p.t.Fatalf("line %d: %v", i+1, err)
		}
	case "count":
		if n := len(p.world.messages(words[1], words[2])); int64(n) != p.number(i, words[3]) {
			p.t.Fatalf("line %d: there are %d", i+1, n)
		}
	case "show":
		if len(p.message) > 0 {
			p.t.Fatalf("line %d: the message before goes on: %q", i+1, p.message)
		}
		texts := p.world.messages(words[1], words[2])
		p.message = strings.SplitAfter(texts[len(texts)-1], "\n")
		for i := range p.message {
			p.message[i] = strings.TrimSuffix(p.message[i], "\r\n")
		}
	case "fail":
		p.world.store.fail(strings.Join(words[1:], " "), fmt.Errorf("on purpose: %w", store.ErrUnavailable))
	case "break":
		p.world.store.fail(strings.Join(words[1:], " "), errors.New("a bug, on purpose"))
	case "heal":
		p.world.store.heal()
	default:
		p.t.Fatalf("line %d: what is %q?", i+1, words[0])
	}
}

func (p *play) configure(i int, option string) {
	name, value, _ := strings.Cut(option, "=")
	switch name {
	case "size":
		p.world.server.MaxSize = p.number(i, value)
	case "recipients":
		p.world.server.MaxRecipients = int(p.number(i, value))
	case "quota":
		p.world.server.QuotaReject = value == "reject"
	case "detail":
		p.world.server.Detail = Detail(value)
	default:
		p.t.Fatalf("line %d: what is %q?", i+1, option)
	}
}

func (p *play) number(i int, word string) int64 {
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		p.t.Fatalf("line %d: %v", i+1, err)
	}
	return n
}

// unescape undoes \xNN; escape writes octets that are not printable ASCII that way.
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
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] > '~' {
			fmt.Fprintf(&b, `\x%02x`, s[i])
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
