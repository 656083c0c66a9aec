package imap

import (
	"bufio"
	"bytes"
	"compress/flate"
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
	"unicode/utf8"
)

var update = flag.Bool("update", false, "rewrite the S lines of transcripts with what the server says")

// patience is how long the server may take to say something. It is only ever waited for when a test fails.
const patience = time.Minute

// TestTranscripts plays the conversations in testdata. Their language is defined in testdata/README.md.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	from := inMemory
	if *overPostgres {
		from = inPostgres(t)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if *overPostgres && memoryOnly.Match(text) {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			play(t, file, string(text), from)
		})
	}
}

// memoryOnly finds what only the store in memory can be told to do.
var memoryOnly = regexp.MustCompile(`(?m)^(store|sweep) `)

func play(t *testing.T, file, text string, from accounts) {
	s := parseScript(t, text)
	p := newPlayer(t, s, from)
	defer p.close()
	for i := range s.steps {
		if !p.step(&s.steps[i]) {
			break
		}
	}
	if *update && s.changed {
		if err := os.WriteFile(file, []byte(s.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// player plays a script.
type player struct {
	t       *testing.T
	s       *script
	world   *world
	clients map[int]*client
	vars    map[string]string
}

func newPlayer(t *testing.T, s *script, from accounts) *player {
	p := &player{t: t, s: s, world: newWorld(t, from), clients: make(map[int]*client), vars: make(map[string]string)}
	p.vars["$alice"] = p.world.account.Address()
	return p
}

func (p *player) close() {
	for _, c := range p.clients {
		_ = c.conn.Close() // the test is over
	}
}

// step runs one step and reports whether to go on.
func (p *player) step(st *scriptLine) bool {
	p.t.Helper()
	switch st.verb {
	case "C:":
		p.client(st.conn).send(p.t, []byte(p.substitute(st.arg)+"\r\n"))
	case "C~":
		p.client(st.conn).send(p.t, []byte(unescape(p.t, p.substitute(st.arg))))
	case "C<":
		p.client(st.conn).send(p.t, p.s.message(p.t, st.arg))
	case "S":
		return p.listen(st)
	case "connect":
		n, err := strconv.Atoi(st.arg)
		if err != nil {
			p.t.Fatal(err)
		}
		p.clients[n] = p.world.dial(p.t)
	case "compress":
		n, err := strconv.Atoi(st.arg)
		if err != nil {
			p.t.Fatal(err)
		}
		p.client(n).compress(p.t)
	case "user":
		p.vars["$"+st.arg] = p.world.addUser(p.t, st.arg)
	case "login":
		conn, name, _ := strings.Cut(st.arg, " ")
		n, err := strconv.Atoi(conn)
		if err != nil || p.vars["$"+name] == "" {
			p.t.Fatalf("line %d: a connection and a user", st.line)
		}
		p.clients[n] = p.world.loginAs(p.t, p.vars["$"+name])
	case "close":
		n, err := strconv.Atoi(st.arg)
		if err != nil {
			p.t.Fatal(err)
		}
		_ = p.client(n).conn.Close() // the server will notice
	default:
		p.world.direct(p.t, p.s, st)
	}
	return true
}

// client returns a connection, logged in if it was not there before.
func (p *player) client(n int) *client {
	if p.clients[n] == nil {
		p.clients[n] = p.world.login(p.t)
	}
	return p.clients[n]
}

func (p *player) substitute(s string) string {
	return placeholders.ReplaceAllStringFunc(s, func(name string) string {
		if v, ok := p.vars[name]; ok {
			return v
		}
		return name
	})
}

// listen hears the responses of a step. Those before a tagged one come in any order, save where S1! asks for it.
func (p *player) listen(st *scriptLine) bool {
	p.t.Helper()
	var heard []expect
	want := st.expect
	for len(want) > 0 {
		n := 1
		for n < len(want) && !isBarrier(want[n-1].text) {
			n++
		}
		got, ok := p.hear(st.conn, want[:n])
		if _, lenient := withoutAny(want[:n]); lenient {
			heard = append(heard, expect{text: "* …"})
		}
		heard = append(heard, got...)
		if want = want[n:]; !ok && !*update {
			return false
		}
	}
	if *update && !sameTexts(heard, st.expect) {
		st.expect, p.s.changed = heard, true
	}
	return true
}

// isBarrier reports whether a response ends what the server has to say for now.
func isBarrier(s string) bool { return !strings.HasPrefix(s, "* ") || strings.HasPrefix(s, "* BYE") }

func sameTexts(a, b []expect) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].text != b[i].text {
			return false
		}
	}
	return true
}

// hear matches responses with those wanted, of which only the last can be a barrier. It returns what was heard in the
// words of the script where they match.
func (p *player) hear(conn int, want []expect) (heard []expect, ok bool) {
	p.t.Helper()
	left, lenient := withoutAny(want)
	barrier := isBarrier(want[len(want)-1].text)
	for len(left) > 0 {
		got, err := p.client(conn).response()
		if err != nil {
			p.t.Errorf("line %d: waiting for %q: %v", left[0].line, left[0].text, err)
			return heard, false
		}
		i := p.match(left, got)
		if i < 0 && lenient && !isBarrier(got) {
			continue
		}
		if i < 0 {
			if !*update {
				p.t.Errorf("line %d: connection %d heard\n\t%q\nbut expected\n%s", left[0].line, conn, got, list(left))
				return heard, false
			}
			heard = append(heard, expect{text: got})
			if isBarrier(got) {
				return heard, true
			}
			continue
		}
		heard = append(heard, left[i])
		left = append(left[:i:i], left[i+1:]...)
		if barrier && isBarrier(got) && len(left) > 0 {
			if !*update {
				p.t.Errorf("line %d: connection %d never heard\n%s", left[0].line, conn, list(left))
			}
			return heard, *update
		}
	}
	return heard, true
}

// withoutAny takes out "* …", which allows any other untagged responses, and reports whether it was there.
func withoutAny(want []expect) (left []expect, found bool) {
	for _, e := range want {
		if e.text == "* …" {
			found = true
			continue
		}
		left = append(left, e)
	}
	return left, found
}

func list(es []expect) string {
	var b strings.Builder
	for _, e := range es {
		fmt.Fprintf(&b, "\t%q\n", e.text)
	}
	return b.String()
}

// match finds the wanted response that got is. Those with S1! match in their order only.
func (p *player) match(left []expect, got string) int {
	blocked := false
	for i, e := range left {
		if e.ordered && blocked {
			continue
		}
		if p.matches(e.text, got) {
			return i
		}
		blocked = blocked || e.ordered
	}
	return -1
}

// matches compares a response with what the script says, captures the placeholders it does not know yet and compares those
// it does.
func (p *player) matches(want, got string) bool {
	want, prefix := strings.CutSuffix(want, "…")
	var pattern strings.Builder
	var names []string
	at := 0
	for _, m := range placeholders.FindAllStringIndex(want, -1) {
		name := want[m[0]:m[1]]
		pattern.WriteString(regexp.QuoteMeta(want[at:m[0]]))
		at = m[1]
		if v, ok := p.vars[name]; ok {
			pattern.WriteString(regexp.QuoteMeta(v))
			continue
		}
		pattern.WriteString(`([^\s()\[\]]+)`)
		names = append(names, name)
	}
	pattern.WriteString(regexp.QuoteMeta(want[at:]))
	tail := `\z`
	if prefix {
		tail = ""
	}
	m := regexp.MustCompile(`(?s)\A` + pattern.String() + tail).FindStringSubmatch(got)
	for i, name := range names {
		if m != nil && name != "$_" {
			p.vars[name] = m[i+1]
		}
	}
	return m != nil
}

// client is a connection as a script sees it.
type client struct {
	conn       net.Conn
	responses  chan string   // closed when there are no more
	compressed chan struct{} // closed when the server has agreed to compress
	deflate    *flate.Writer // from then on
}

func newClient(conn net.Conn) *client {
	c := &client{conn: conn, responses: make(chan string, 1000), compressed: make(chan struct{})}
	go c.read()
	return c
}

func (c *client) send(t testing.TB, p []byte) {
	t.Helper()
	if err := c.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if c.deflate == nil {
		if _, err := c.conn.Write(p); err != nil {
			t.Fatalf("send %q: %v", p, err)
		}
		return
	}
	if _, err := c.deflate.Write(p); err != nil {
		t.Fatalf("send %q: %v", p, err)
	}
	if err := c.deflate.Flush(); err != nil {
		t.Fatalf("send %q: %v", p, err)
	}
}

// compress has the connection compressed in both directions from here on (RFC 4978).
func (c *client) compress(t *testing.T) {
	t.Helper()
	c.send(t, []byte(compressTag+" COMPRESS DEFLATE\r\n"))
	select {
	case <-c.compressed:
	case <-time.After(patience):
		t.Fatal("the server does not compress")
	}
	w, err := flate.NewWriter(c.conn, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	c.deflate = w
}

// compressTag is that of the command by which a script has a connection compressed.
const compressTag = "compress"

// read cuts what comes into responses.
func (c *client) read() {
	defer close(c.responses)
	r, utf8ok := bufio.NewReaderSize(c.conn, 64<<10), false
	for {
		p, err := readResponse(r, utf8ok)
		if err != nil {
			return
		}
		utf8ok = utf8ok || enablesUTF8.Match(p)
		if bytes.HasPrefix(p, []byte(compressTag+" OK ")) {
			r = bufio.NewReaderSize(flate.NewReader(r), 64<<10)
			close(c.compressed)
			continue
		}
		c.responses <- escapeRaw(p)
	}
}

var literalEnd = regexp.MustCompile(`\{(\d+)\}\r\n$`)

// enablesUTF8 finds the response after which strings may be UTF-8 (RFC 6855 §3, RFC 9051 §5.1).
var enablesUTF8 = regexp.MustCompile(`^\* ENABLED .*(UTF8=ACCEPT|IMAP4rev2)`)

// readResponse reads a line, with the literals in it, and leaves out its CRLF.
func readResponse(r *bufio.Reader, utf8ok bool) ([]byte, error) {
	var b bytes.Buffer
	for {
		line, err := r.ReadBytes('\n')
		b.Write(line)
		if err != nil {
			if b.Len() > 0 {
				return nil, fmt.Errorf("%w after %q", err, b.String())
			}
			return nil, err
		}
		if bytes.ContainsFunc(line, func(r rune) bool { return r == 0 || r == utf8.RuneError || r >= utf8.RuneSelf && !utf8ok }) {
			return nil, fmt.Errorf("%q has octets that belong in a literal (RFC 3501 §9, CHAR)", line)
		}
		m := literalEnd.FindSubmatch(line)
		if m == nil {
			return bytes.TrimSuffix(b.Bytes(), []byte("\r\n")), nil
		}
		n, err := strconv.ParseInt(string(m[1]), 10, 64)
		if err == nil {
			_, err = io.CopyN(&b, r, n)
		}
		if err != nil {
			return nil, fmt.Errorf("%w in a literal of %q", err, b.String())
		}
	}
}

// response waits for the next response. The end of the connection counts as one, "EOF".
func (c *client) response() (string, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case s, ok := <-c.responses:
		if !ok {
			return "EOF", nil
		}
		return s, nil
	case <-timer.C:
		return "", fmt.Errorf("nothing heard for %v", patience)
	}
}
