package message

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestRandomTree writes random trees as messages; reading must find each of them again, offsets and lines included.
func TestRandomTree(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		w := treeWriter{rand: rand.New(rand.NewPCG(seed, 1))}
		want := w.part(0, "text/plain", true)
		raw := w.b.String()
		s := spool(t, []byte(raw), SpoolOptions{})
		if err := compare(want, s.Part()); err != nil {
			t.Fatalf("seed %d: %v in\n%s", seed, err, raw)
		}
		checkTree(t, s.Part(), s.Size())
		checkRoundTrip(t, s.Part())
	}
}

// treeWriter writes a message and notes where its parts are.
type treeWriter struct {
	b        strings.Builder
	rand     *rand.Rand
	boundary int
}

func (w *treeWriter) off() int64 { return int64(w.b.Len()) }

func (w *treeWriter) part(depth int, typ string, message bool) *Part {
	p := &Part{Header: w.off()}
	kind := w.rand.IntN(8)
	if depth > 5 {
		kind = 7
	}
	if message {
		p.Envelope = &Envelope{}
		fmt.Fprintf(&w.b, "Subject: %d\r\n", depth)
	}
	boundary := ""
	switch {
	case kind < 3:
		w.boundary++
		boundary = strings.Repeat("b", 1+w.boundary%3) + fmt.Sprint(w.boundary)
		typ = []string{"multipart/mixed", "multipart/digest", "multipart/alternative"}[kind]
		fmt.Fprintf(&w.b, "Content-Type: %s; boundary=\"%s\"\r\n", typ, boundary)
	case kind == 3:
		typ = "message/rfc822"
		fmt.Fprintf(&w.b, "Content-Type: %s\r\n", typ)
	case kind < 6:
		typ = "image/png"
		fmt.Fprintf(&w.b, "Content-Type:\r\n %s;\r\n\tx=y\r\n", typ)
	}
	w.b.WriteString("\r\n")
	p.Body = w.off()
	p.Type, p.Subtype, _ = strings.Cut(strings.ToUpper(typ), "/")
	switch {
	case boundary != "":
		w.multipart(p, depth, boundary)
	case p.Type == "MESSAGE":
		p.Children = []*Part{w.part(depth+1, "text/plain", true)}
	default:
		w.text()
	}
	p.End = w.off()
	p.Lines = int64(strings.Count(w.b.String()[p.Body:], "\n"))
	return p
}

func (w *treeWriter) multipart(p *Part, depth int, boundary string) {
	w.text()
	if w.off() > p.Body {
		w.b.WriteString("\r\n")
	}
	child := "text/plain"
	if p.Subtype == "DIGEST" {
		child = "message/rfc822"
	}
	for range 1 + w.rand.IntN(3) {
		fmt.Fprintf(&w.b, "--%s%s\r\n", boundary, strings.Repeat(" ", w.rand.IntN(2)))
		p.Children = append(p.Children, w.part(depth+1, child, false))
		w.b.WriteString("\r\n")
	}
	fmt.Fprintf(&w.b, "--%s--", boundary)
	if w.rand.IntN(2) == 0 {
		w.b.WriteString("\r\n")
		w.text()
	}
}

func (w *treeWriter) text() {
	words := []string{"hello", "\r\n", "--", "--b", "-", "--b1", "\r", " ", "--bb", "Content-Type: text/html\r\n", "\r\n\r\n", "--b1--x"}
	for range w.rand.IntN(8) {
		s := words[w.rand.IntN(len(words))]
		if strings.HasPrefix(s, "-") { // never a whole line that is a boundary
			s += "x"
		}
		w.b.WriteString(s)
	}
}

func compare(want, got *Part) error {
	if want.Header != got.Header || want.Body != got.Body || want.End != got.End || want.Lines != got.Lines {
		return fmt.Errorf("%s/%s at %d %d %d, %d lines, want %s/%s at %d %d %d, %d lines",
			got.Type, got.Subtype, got.Header, got.Body, got.End, got.Lines,
			want.Type, want.Subtype, want.Header, want.Body, want.End, want.Lines)
	}
	if want.Type != got.Type || want.Subtype != got.Subtype || (want.Envelope == nil) != (got.Envelope == nil) {
		return fmt.Errorf("%s/%s at %d, want %s/%s", got.Type, got.Subtype, got.Header, want.Type, want.Subtype)
	}
	if len(want.Children) != len(got.Children) {
		return fmt.Errorf("%d children at %d, want %d", len(got.Children), got.Header, len(want.Children))
	}
	for i, c := range want.Children {
		if err := compare(c, got.Children[i]); err != nil {
			return err
		}
	}
	return nil
}

// monsters are messages made to be expensive (REQUIREMENTS 21).
var monsters = []struct {
	name string
	make func(n int) string
}{
	{"nested multiparts", func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
		}
		return b.String()
	}},
	{"nested messages", func(n int) string { return strings.Repeat("Content-Type: message/rfc822\n\n", n) }},
	{"same boundary again and again", func(n int) string {
		return strings.Repeat("Content-Type: multipart/mixed; boundary=x\n\n--x\n", n) + strings.Repeat("--x--\n", n)
	}},
	{"many boundaries, many lines", func(n int) string {
		var b strings.Builder
		for i := range 99 {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=%s%d\n\n--%s%d\n", strings.Repeat("a", 900), i, strings.Repeat("a", 900), i)
		}
		return b.String() + "\n" + strings.Repeat("--"+strings.Repeat("a", 50)+"\n", n)
	}},
	{"empty parts", func(n int) string {
		return "Content-Type: multipart/mixed; boundary=x\n\n" + strings.Repeat("--x\n", n)
	}},
	{"messages in a digest", func(n int) string {
		return "Content-Type: multipart/digest; boundary=x\n\n" + strings.Repeat("--x\n\n\n", n)
	}},
	{"header lines", func(n int) string { return strings.Repeat("X: y\n", n) }},
	{"addresses", func(n int) string { return "To: " + strings.Repeat("a@b, ", n) + "\n\n" }},
	{"addresses on lines", func(n int) string { return "To: x@y" + strings.Repeat(",\n a@b", n) + "\n\n" }},
	{"fields To", func(n int) string { return strings.Repeat("To: a@b\n", n) }},
	{"groups", func(n int) string { return "To: " + strings.Repeat("g:;", n) + "\n\n" }},
	{"open comments", func(n int) string { return "To: " + strings.Repeat("(", n) + "\n\n" }},
	{"open quotes", func(n int) string { return "To: " + strings.Repeat("\"\\", n) + "\n\n" }},
	{"parameters", func(n int) string { return "Content-Type: text/plain" + strings.Repeat("; a=b", n) + "\n\n" }},
	{"parameters without semicolons", func(n int) string { return "Content-Type: text/plain;" + strings.Repeat("a=b c ", n) + "\n\n" }},
	{"large part headers", func(n int) string {
		part := "--x\nContent-Type: text/plain" + strings.Repeat("; a=b", 1000) + "\nContent-Description: " + strings.Repeat("d", 3000) + "\n\n"
		return "Content-Type: multipart/mixed; boundary=x\n\n" + strings.Repeat(part, n/400)
	}},
	{"all fields long", func(n int) string {
		var b strings.Builder
		for name := range fieldNames {
			fmt.Fprintf(&b, "%s: %s\n", name, strings.Repeat("text, ", n/18))
		}
		return b.String()
	}},
	{"one line", func(n int) string { return "Subject: " + strings.Repeat("x", n) }},
	{"dashes", func(n int) string {
		return "Content-Type: multipart/mixed; boundary=x\n\n--x\n\n" + strings.Repeat("-", n) + strings.Repeat("\n--", n)
	}},
}

// TestMonsters reads a great many lines of each kind. Time that grew with the square of the size would not end; memory
// must stay within four times the message, or a few MB.
func TestMonsters(t *testing.T) {
	for _, m := range monsters {
		raw := []byte(m.make(100_000))
		start := time.Now()
		var s *Spooled
		used := allocated(func() { s = spool(t, raw, SpoolOptions{Memory: 1, Dir: t.TempDir()}) })
		if limit := uint64(max(4*len(raw), 8<<20)); used > limit {
			t.Errorf("%s: %d octets allocated for a message of %d", m.name, used, len(raw))
		}
		checkTree(t, s.Part(), s.Size())
		b, err := s.Part().AppendBinary(nil)
		if err != nil || len(b) > 2<<20 {
			t.Errorf("%s: compact form of %d octets, %v", m.name, len(b), err)
		}
		t.Logf("%s: %d octets, %d allocated, compact %d, %v", m.name, len(raw), used, len(b), time.Since(start))
	}
}

// allocated returns how many octets f allocates. No other test may run meanwhile.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestLinear counts the steps of the parser: at most two for each line and one for each chunk, however many boundaries
// are open. Each step looks only at the octets that it consumes.
func TestLinear(t *testing.T) {
	t.Parallel()
	for _, m := range monsters {
		raw := strings.ReplaceAll(m.make(10_000), "\n", "\r\n")
		p := newParser()
		steps, chunks := 0, 0
		for rest := []byte(raw); len(rest) > 0; chunks++ {
			n := min(len(rest), 1000)
			for b := rest[:n]; len(b) > 0; steps++ {
				if p.inHeader {
					b = b[p.headerOctets(b):]
				} else {
					b = b[p.bodyOctets(b):]
				}
			}
			rest = rest[n:]
		}
		if limit := 2*strings.Count(raw, "\n") + 2*chunks; steps > limit {
			t.Errorf("%s: %d steps, at most %d expected", m.name, steps, limit)
		}
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	depth := func(p *Part) (n int) {
		for ; len(p.Children) > 0; n++ {
			p = p.Children[0]
		}
		return n + 1
	}
	for _, i := range []int{0, 1} {
		s := spool(t, []byte(monsters[i].make(1000)), SpoolOptions{})
		if n := depth(s.Part()); n != maxDepth {
			t.Errorf("%s: depth %d, want %d", monsters[i].name, n, maxDepth)
		}
	}
	s := spool(t, []byte("Content-Type: multipart/mixed; boundary=x\n\n"+strings.Repeat("--x\n\ny\n", 2*maxParts)), SpoolOptions{})
	parts := s.Part().Children
	if len(parts) != maxParts {
		t.Errorf("%d parts, want %d with the remainder", len(parts), maxParts)
	}
	if rest := parts[len(parts)-1]; rest.Subtype != opaqueSubtype || rest.End != s.Size() {
		t.Errorf("the remainder is %s/%s up to %d of %d", rest.Type, rest.Subtype, rest.End, s.Size())
	}
	s = spool(t, []byte("To: "+strings.Repeat("someone@example.org, ", 50_000)+"\n\n"), SpoolOptions{})
	to := s.Part().Envelope.To
	if n := len(to); n == 0 || *to[n-1].Host != "example.org" || n > maxAddresses {
		t.Errorf("%d addresses, the last one %s", n, addresses(to[n-1:]))
	}
}

// TestLargeMessage reads a message of 50 MB, and decodes and searches messages of some MB, with less than 2 MB each.
func TestLargeMessage(t *testing.T) {
	base64Line := "SGVsbG8sIHdvcmxkISBUaGlzIGlzIGEgbGluZSBvZiBiYXNlNjQgdGhhdCBpcyBhcyBsb25nIGFz\r\n"
	header := "Subject: large\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	for _, m := range []struct {
		line string
		size int
	}{{base64Line, 50 << 20}, {base64Line, 4 << 20}, {"no line end at all ", 4 << 20}, {"\n", 4 << 20}} {
		r := io.MultiReader(strings.NewReader(header), &repeater{line: m.line, left: m.size})
		var s *Spooled
		used := allocated(func() {
			var err error
			if s, err = Spool(r, SpoolOptions{Dir: t.TempDir()}); err != nil {
				t.Fatal(err)
			}
		})
		if used > 2<<20 || s.Size() < int64(m.size) {
			t.Errorf("%d octets allocated to spool %d", used, s.Size())
		}
		if m.size < 50<<20 {
			used = allocated(func() {
				if found, err := s.Part().Search(s, InText, "not in there"); found || err != nil {
					t.Error(found, err)
				}
			})
		}
		if used > 2<<20 {
			t.Errorf("%d octets allocated to search %d", used, s.Size())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// repeater yields a line again and again.
type repeater struct {
	line string
	left int
}

func (r *repeater) Read(p []byte) (int, error) {
	n := 0
	for n+len(r.line) <= len(p) && r.left > 0 {
		n += copy(p[n:], r.line)
		r.left -= len(r.line)
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}
