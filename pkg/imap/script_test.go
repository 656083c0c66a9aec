package imap

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// script is a transcript that has been read: its steps, and the messages at its end.
type script struct {
	steps    []scriptLine
	messages map[string][]byte
	archive  string // the sections of messages as they were written
	changed  bool
}

// scriptLine is one line, or the S lines that stand together, with the comments and empty lines before it.
type scriptLine struct {
	line   int
	before string   // comments and empty lines
	verb   string   // "C", "C~", "C<", "S", or a directive
	conn   int      // of C and S
	arg    string   // of C and directives
	expect []expect // of S
}

// expect is a response the server must send, with CRLF between its lines.
type expect struct {
	line    int
	text    string
	ordered bool   // S1!
	comment string // what followed on the line
}

var (
	clientLine   = regexp.MustCompile(`^C(\d)([:~<]) ?(.*)$`)
	serverLine   = regexp.MustCompile(`^S(\d)([:!|]) ?(.*)$`)
	comment      = regexp.MustCompile(`\s{2,}# .*$`)
	sectionLine  = regexp.MustCompile(`(?m)^-- (\S+)( escaped)? --\n`)
	placeholders = regexp.MustCompile(`\$[a-z_][a-z0-9_]*`)
)

func parseScript(t *testing.T, text string) *script {
	s := &script{messages: make(map[string][]byte)}
	if at := sectionLine.FindStringIndex(text); at != nil {
		s.archive, text = text[at[0]:], text[:at[0]]
		s.parseSections(t)
	}
	before := ""
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if line == "" || line[0] == '#' {
			before += line + "\n"
			continue
		}
		if !s.parseLine(line, before, i+1) {
			t.Fatalf("line %d: %q is nothing a transcript can say", i+1, line)
		}
		before = ""
	}
	return s
}

func (s *script) parseLine(line, before string, number int) bool {
	note := comment.FindString(line)
	line = strings.TrimSuffix(line, note)
	if m := clientLine.FindStringSubmatch(line); m != nil {
		s.steps = append(s.steps, scriptLine{line: number, before: before, verb: "C" + m[2], conn: int(m[1][0] - '0'), arg: m[3] + note})
		return true
	}
	m := serverLine.FindStringSubmatch(line)
	if m == nil {
		verb, arg, _ := strings.Cut(line, " ")
		s.steps = append(s.steps, scriptLine{line: number, before: before, verb: verb, arg: arg + note})
		return verb != "" && verb[0] >= 'a' && verb[0] <= 'z'
	}
	conn := int(m[1][0] - '0')
	last := len(s.steps) - 1
	if m[2] == "|" {
		if last < 0 || s.steps[last].verb != "S" || before != "" {
			return false
		}
		e := &s.steps[last].expect[len(s.steps[last].expect)-1]
		e.text += "\r\n" + m[3]
		return true
	}
	if last < 0 || s.steps[last].verb != "S" || s.steps[last].conn != conn || before != "" {
		s.steps = append(s.steps, scriptLine{line: number, before: before, verb: "S", conn: conn})
		last++
	}
	s.steps[last].expect = append(s.steps[last].expect, expect{number, m[3], m[2] == "!", note})
	return true
}

func (s *script) parseSections(t *testing.T) {
	at := sectionLine.FindAllStringSubmatchIndex(s.archive, -1)
	for i, m := range at {
		end := len(s.archive)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		body := s.archive[m[1]:end]
		if m[4] >= 0 {
			body = unescape(t, body)
		}
		s.messages[s.archive[m[2]:m[3]]] = []byte(strings.ReplaceAll(body, "\n", "\r\n"))
	}
}

// message returns the octets of a section, or of "filler:N": a message of N octets.
func (s *script) message(t *testing.T, name string) []byte {
	if size, ok := strings.CutPrefix(name, "filler:"); ok {
		n, err := strconv.Atoi(size)
		if err != nil {
			t.Fatal(err)
		}
		text := "Subject: filler\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", n/78+1)
		return []byte(text[:n-2] + "\r\n")
	}
	octets, ok := s.messages[name]
	if !ok {
		t.Fatalf("there is no section %q", name)
	}
	return octets
}

// String writes the transcript again.
func (s *script) String() string {
	var b strings.Builder
	for _, st := range s.steps {
		b.WriteString(st.before)
		switch {
		case st.verb == "S":
			for _, e := range st.expect {
				b.WriteString(e.String(st.conn))
			}
		case st.verb[0] == 'C':
			fmt.Fprintf(&b, "C%d%s %s\n", st.conn, st.verb[1:], st.arg)
		default:
			fmt.Fprintf(&b, "%s %s\n", st.verb, st.arg)
		}
	}
	if s.archive != "" {
		return strings.TrimRight(b.String(), "\n") + "\n\n" + s.archive
	}
	return b.String()
}

// String writes the lines of a response.
func (e expect) String(conn int) string {
	mark := ":"
	if e.ordered {
		mark = "!"
	}
	lines := strings.Split(e.text, "\r\n")
	out := fmt.Sprintf("S%d%s %s%s\n", conn, mark, lines[0], e.comment)
	for _, l := range lines[1:] {
		out += strings.TrimRight(fmt.Sprintf("S%d| %s", conn, l), " ") + "\n"
	}
	return out
}

// escapeRaw makes control octets and what is not UTF-8 visible, CRLF excepted.
func escapeRaw(p []byte) string {
	var b strings.Builder
	for i, line := range strings.Split(string(p), "\r\n") {
		if i > 0 {
			b.WriteString("\r\n")
		}
		for _, r := range line {
			switch {
			case r < ' ' || r == 0x7f || r == 0xfffd:
				fmt.Fprintf(&b, `\x%02x`, r)
			default:
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}

// unescape understands \r, \n, \xNN and the like.
func unescape(t *testing.T, s string) string {
	parts := strings.Split(s, "\n")
	for i, p := range parts {
		q, err := strconv.Unquote(`"` + strings.ReplaceAll(p, `"`, `\"`) + `"`)
		if err != nil {
			t.Fatalf("%q: %v", p, err)
		}
		parts[i] = q
	}
	return strings.Join(parts, "\n")
}
