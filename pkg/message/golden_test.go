package message

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the .want files anew")

// TestGolden compares what is read from each message in testdata with the file beside it: envelope and structure as IMAP
// writes them, where each part lies, every section and every text.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d messages in testdata, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".eml"), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := spool(t, raw, SpoolOptions{})
			got := describe(t, s)
			want := strings.TrimSuffix(file, "eml") + "want"
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			b, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(b) {
				t.Errorf("%s differs; got\n%s", want, got)
			}
			checkTree(t, s.Part(), s.Size())
			checkRoundTrip(t, s.Part())
			checkWire(t, s)
		})
	}
}

// spool spools raw and closes the result at the end of the test.
func spool(t testing.TB, raw []byte, o SpoolOptions) *Spooled {
	t.Helper()
	s, err := Spool(bytes.NewReader(raw), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// describe writes all that can be known of a message.
func describe(t *testing.T, s *Spooled) string {
	var b strings.Builder
	p := s.Part()
	hash := s.Hash()
	fmt.Fprintf(&b, "size %d, padding %d, sha256 %x\n", s.Size(), s.Padding(), hash[:8])
	fmt.Fprintf(&b, "ENVELOPE %s\n", envelopeText(p.Envelope))
	fmt.Fprintf(&b, "sent %s\n", p.Envelope.Sent().Format("2006-01-02 15:04:05 -0700"))
	if p.Envelope.Subject != nil {
		fmt.Fprintf(&b, "subject %q\n", DecodeHeader(*p.Envelope.Subject))
	}
	fmt.Fprintf(&b, "BODYSTRUCTURE %s\n\n", structure(p))
	section := func(name string, sec Section) {
		r, err := p.Section(s, sec)
		if err != nil {
			fmt.Fprintf(&b, "BODY[%s] %v\n", name, err)
			return
		}
		fmt.Fprintf(&b, "BODY[%s] %s\n", name, readText(t, r, r.Size()))
	}
	section("", Section{})
	section("HEADER", Section{Kind: Header})
	section("TEXT", Section{Kind: Text})
	section("HEADER.FIELDS (SUBJECT from)", Section{Kind: HeaderFields, Fields: []string{"SUBJECT", "from"}})
	section("HEADER.FIELDS.NOT (SUBJECT from)", Section{Kind: HeaderFieldsNot, Fields: []string{"SUBJECT", "from"}})
	for _, path := range paths(p, nil) {
		part, n := p.Find(path), number(path)
		fmt.Fprintf(&b, "\n%s %s/%s at %d %d %d, %d lines\n", n, part.Type, part.Subtype, part.Header, part.Body, part.End, part.Lines)
		section(n, Section{Path: path})
		section(n+".MIME", Section{Path: path, Kind: MIME})
		if part.isMessage() {
			section(n+".HEADER", Section{Path: path, Kind: Header})
			section(n+".TEXT", Section{Path: path, Kind: Text})
			section(n+".HEADER.FIELDS (SUBJECT)", Section{Path: path, Kind: HeaderFields, Fields: []string{"subject"}})
		}
		if r, err := p.Decoded(s, path); err != nil {
			fmt.Fprintf(&b, "BINARY[%s] %v\n", n, err)
		} else {
			fmt.Fprintf(&b, "BINARY[%s] %s\n", n, readText(t, r, -1))
		}
		if part.Type == "TEXT" {
			r := part.textReader(io.NewSectionReader(s, part.Body, part.End-part.Body))
			fmt.Fprintf(&b, "text of %s %s\n", n, readText(t, r, -1))
		}
	}
	return b.String()
}

// readText reads r to its end and quotes it, shortened if it is long. It must have the given size, unless that is -1.
func readText(t *testing.T, r io.Reader, size int64) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil || size >= 0 && int64(len(b)) != size {
		t.Errorf("read %d octets of %d: %v", len(b), size, err)
	}
	if len(b) <= 400 {
		return strconv.Quote(string(b))
	}
	hash := sha256.Sum256(b)
	return fmt.Sprintf("%q… (%d octets, sha256 %x)", b[:60], len(b), hash[:8])
}

// paths lists the numbers of all parts that a client can ask for.
func paths(p *Part, prefix []int) (all [][]int) {
	for n := 1; ; n++ {
		path := append(prefix[:len(prefix):len(prefix)], n)
		if p.Find(path) == nil || len(path) > 50 {
			return all
		}
		all = append(append(all, path), paths(p, path)...)
	}
}

func number(path []int) string {
	var s []string
	for _, n := range path {
		s = append(s, strconv.Itoa(n))
	}
	return strings.Join(s, ".")
}

func structure(p *Part) string {
	var s []string
	if p.isMultipart() {
		var parts strings.Builder
		for _, c := range p.Children {
			parts.WriteString(structure(c))
		}
		s = append(s, parts.String(), quote(&p.Subtype), params(p.Params))
	} else {
		s = append(s, quote(&p.Type), quote(&p.Subtype), params(p.Params), quote(p.ID), quote(p.Description), quote(&p.Encoding),
			strconv.FormatInt(p.End-p.Body, 10))
		if p.isMessage() {
			s = append(s, envelopeText(p.Children[0].Envelope), structure(p.Children[0]))
		}
		if p.isMessage() || p.Type == "TEXT" {
			s = append(s, strconv.FormatInt(p.Lines, 10))
		}
		s = append(s, quote(p.MD5))
	}
	disposition := "NIL"
	if p.Disposition != "" {
		disposition = "(" + quote(&p.Disposition) + " " + params(p.DispositionParams) + ")"
	}
	s = append(s, disposition, fmt.Sprintf("%q", p.Language), quote(p.Location))
	return "(" + strings.Join(s, " ") + ")"
}

func params(list []Param) string {
	if len(list) == 0 {
		return "NIL"
	}
	var s []string
	for _, a := range list {
		s = append(s, quote(&a.Name), quote(&a.Value))
	}
	return "(" + strings.Join(s, " ") + ")"
}

func envelopeText(e *Envelope) string {
	return "(" + strings.Join([]string{
		quote(e.Date), quote(e.Subject), addresses(e.From), addresses(e.Sender), addresses(e.ReplyTo), addresses(e.To),
		addresses(e.Cc), addresses(e.Bcc), quote(e.InReplyTo), quote(e.MessageID),
	}, " ") + ")"
}

func addresses(list []Address) string {
	if len(list) == 0 {
		return "NIL"
	}
	var b strings.Builder
	for _, a := range list {
		fmt.Fprintf(&b, "(%s NIL %s %s)", quote(a.Name), quote(a.Mailbox), quote(a.Host))
	}
	return "(" + b.String() + ")"
}

func quote(s *string) string {
	if s == nil {
		return "NIL"
	}
	return strconv.Quote(*s)
}

// checkTree checks what every tree must be: see Part.
func checkTree(t testing.TB, root *Part, size int64) {
	t.Helper()
	if root.Header != 0 || root.End != size || root.Envelope == nil {
		t.Fatalf("root is [%d, %d) of %d octets, envelope %v", root.Header, root.End, size, root.Envelope)
	}
	count := 0
	var check func(p *Part, depth int)
	check = func(p *Part, depth int) {
		count++
		if p.Header < 0 || p.Header > p.Body || p.Body > p.End || p.End > size || p.Lines < 0 || p.Lines > p.End-p.Body {
			t.Fatalf("part at %d %d %d, %d lines, of %d octets", p.Header, p.Body, p.End, p.Lines, size)
		}
		if p.Type == "" || p.Subtype == "" || p.Encoding == "" || !p.wellFormed() || depth > maxDepth {
			t.Fatalf("part %q/%q, encoding %q, with %d children at depth %d", p.Type, p.Subtype, p.Encoding, len(p.Children), depth)
		}
		checkStrings(t, p)
		at := p.Body
		for _, c := range p.Children {
			if c.Header < at || c.End > p.End {
				t.Fatalf("child [%d, %d) after %d in [%d, %d)", c.Header, c.End, at, p.Body, p.End)
			}
			at = c.End
			check(c, depth+1)
		}
	}
	check(root, 0)
	if count > 2*maxParts {
		t.Fatalf("%d parts", count)
	}
}

// checkStrings checks that no string of a part holds what a reply cannot.
func checkStrings(t testing.TB, p *Part) {
	t.Helper()
	all := structure(&Part{
		Type: p.Type, Subtype: p.Subtype, Params: p.Params, Encoding: p.Encoding, ID: p.ID, Description: p.Description, MD5: p.MD5,
		Disposition: p.Disposition, DispositionParams: p.DispositionParams, Language: p.Language, Location: p.Location,
	})
	if p.Envelope != nil {
		all += envelopeText(p.Envelope)
	}
	for _, bad := range []string{`\r`, `\n`, `\x00`} {
		if strings.Contains(strings.ReplaceAll(all, `\\`, ""), bad) {
			t.Fatalf("%s in %s", bad, all)
		}
	}
}

// checkRoundTrip checks that the compact form restores the tree.
func checkRoundTrip(t testing.TB, p *Part) {
	t.Helper()
	b, err := p.AppendBinary([]byte("x"))
	if err != nil || b[0] != 'x' {
		t.Fatal(err)
	}
	var q Part
	if err := q.UnmarshalBinary(b[1:]); err != nil {
		t.Fatal(err)
	}
	if !sameTree(p, &q) {
		t.Fatalf("restored\n%s\nfrom\n%s", structure(&q), structure(p))
	}
}

func sameTree(p, q *Part) bool {
	if structure(p) != structure(q) || p.Header != q.Header || p.Body != q.Body || p.End != q.End || p.Lines != q.Lines {
		return false
	}
	if (p.Envelope == nil) != (q.Envelope == nil) || p.Envelope != nil && envelopeText(p.Envelope) != envelopeText(q.Envelope) {
		return false
	}
	if len(p.Children) != len(q.Children) {
		return false
	}
	for i, c := range p.Children {
		if !sameTree(c, q.Children[i]) {
			return false
		}
	}
	return true
}

// checkWire checks what a line protocol relies upon: with its padding the header ends in an empty line and the message
// in a line end, with one CRLF less it does not; and header and text are the whole.
func checkWire(t testing.TB, s *Spooled) {
	t.Helper()
	all := readSection(t, s, Section{})
	if whole := append(readSection(t, s, Section{Kind: Header}), readSection(t, s, Section{Kind: Text})...); !bytes.Equal(all, whole) {
		t.Fatal("header and text are not the whole message")
	}
	for n := 0; n <= s.Padding(); n++ {
		b := append(all[:len(all):len(all)], strings.Repeat("\r\n", n)...)
		good := bytes.HasSuffix(b, []byte("\r\n")) && (bytes.HasPrefix(b, []byte("\r\n")) || bytes.Contains(b, []byte("\r\n\r\n")))
		if good != (n == s.Padding()) {
			t.Fatalf("padding %d of %q; with %d: %v", s.Padding(), all, n, good)
		}
	}
}

func readSection(t testing.TB, s *Spooled, sec Section) []byte {
	t.Helper()
	r, err := s.Part().Section(s, sec)
	if errors.Is(err, ErrNoSection) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil || int64(len(b)) != r.Size() {
		t.Fatalf("section %v: %d octets of %d, %v", sec, len(b), r.Size(), err)
	}
	return b
}
