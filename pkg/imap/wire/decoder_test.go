package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

// decoderOf returns a Decoder of input and the number of times it has asked for a literal.
func decoderOf(input string, l Limits) (*Decoder, *int) {
	asked := new(int)
	d := NewDecoder(bufio.NewReader(strings.NewReader(input)), DecoderOptions{Continue: func() error {
		*asked++
		return nil
	}})
	if l.Line == 0 {
		l.Line = 1000
	}
	d.Begin(l)
	return d, asked
}

// TestTokens reads one token and the end of the command.
func TestTokens(t *testing.T) {
	t.Parallel()
	type read = func(*Decoder) any
	astring := func(d *Decoder) any { return d.AString() }
	nstring := func(d *Decoder) any { s, ok := d.NString(); return fmt.Sprint(s, ok) }
	uidSet := func(d *Decoder) any { return d.UIDSet() }
	flags := func(d *Decoder) any { return d.Flags() }
	mailbox := func(d *Decoder) any { return d.Mailbox() }
	pattern := func(d *Decoder) any { return d.ListMailbox() }
	date := func(d *Decoder) any { return d.Date().Format(time.DateOnly) }
	dateTime := func(d *Decoder) any { return d.DateTime().Format(time.RFC3339) }
	number := func(d *Decoder) any { return d.Number() }
	number64 := func(d *Decoder) any { return d.Number64() }
	keyword := func(d *Decoder) any { return d.Keyword() }
	for _, tt := range []struct {
		read  read
		input string
		want  string // after "!", what was expected
	}{
		{func(d *Decoder) any { return d.Tag() }, "a1]", "a1]"},
		{func(d *Decoder) any { return d.Tag() }, "a+", `!the end of the command at octet 1`},
		{func(d *Decoder) any { return d.Tag() }, " a", "!a tag at octet 0"},
		{func(d *Decoder) any { return d.Atom() }, "a-b$[1", "a-b$[1"},
		{func(d *Decoder) any { return d.Atom() }, "", "!an atom at octet 0"},
		{keyword, "fetch", "FETCH"},
		{keyword, "rfc822.size", "RFC822.SIZE"},
		{func(d *Decoder) any { w := d.Keyword(); d.Expect('['); return w }, "body[", "BODY"},
		{func(d *Decoder) any { return d.Word() }, "AGEAYg==", "AGEAYg=="},
		{func(d *Decoder) any { return d.Word() }, "", ""},

		{astring, "abc]", "abc]"},
		{astring, `"a b"`, "a b"},
		{astring, `"a\"\\"`, `a"\`},
		{astring, `"a\b"`, "!a quote or a backslash at octet 3"},
		{astring, `"ab`, "!the end of the quoted string at octet 3"},
		{astring, `""`, ""},
		{astring, "", "!a string at octet 0"},
		{astring, "\"gr\xc3\xbc\xc3\x9fe\"", "grüße"},
		{astring, "gr\xc3\xbc", "!the end of the command at octet 2"},
		{astring, "{3}\r\na\r\n", "a\r\n"},
		{astring, "{3+}\r\n\x00\xff\n", "\x00\xff\n"},
		{astring, "{0}\r\n", ""},
		{astring, "{x}\r\n", "!the size of the literal at octet 1"},
		{astring, "{1 }\r\n", "!a literal at octet 2"},
		{astring, "{1}x\r\n", "!the end of the line after a literal at octet 3"},
		{func(d *Decoder) any { return d.Text() }, "a", "!a quoted string or a literal at octet 0"},
		{nstring, "nil", "false"},
		{nstring, `"NIL"`, "NILtrue"},
		{nstring, "NOL", "!NIL before this at octet 3"},

		{number, "4294967295", "4294967295"},
		{number, "4294967296", "!a number up to 4294967295 at octet 10"},
		{number, "-1", "!a number up to 4294967295 at octet 0"},
		{number64, "9223372036854775807", "9223372036854775807"},
		{number64, "9223372036854775808", "!a number up to 9223372036854775807 at octet 19"},
		{uidSet, "1,3:5,9:*,*", "1,3:5,9:*,*"},
		{uidSet, "5:3", "5:3"},
		{uidSet, "0", "!a number above 0 at octet 0"},
		{uidSet, "1:0", "!a number above 0 at octet 2"},
		{uidSet, "1,", "!a number up to 4294967295 at octet 2"},
		{func(d *Decoder) any { return d.NumSet(false).(imap.SeqSet) }, "2:4", "2:4"},
		{func(d *Decoder) any { return d.NumSet(true).(imap.UIDSet) }, "2:4", "2:4"},

		{flags, `()`, "[]"},
		{flags, `(\seen \FLAGGED $Junk)`, `[\Seen \Flagged $Junk]`},
		{flags, `(\Recent \Seen)`, `[\Seen]`},
		{flags, `(\*)`, "!an atom at octet 2"},
		{flags, `(\Foo)`, "!a system flag or a keyword before this at octet 5"},
		{flags, `(a  b)`, "!an atom at octet 3"},
		{flags, "(" + strings.Repeat("a", 201) + ")", "!a keyword of at most 200 octets at octet 202"},
		{flags, "(" + strings.Repeat("a ", 256) + "a)", "!at most 256 flags at octet 513"},

		{mailbox, "inbox", "INBOX"},
		{mailbox, "Inbox/a", "INBOX/a"},
		{mailbox, "inboxes", "inboxes"},
		{mailbox, `"/a/"`, "a"},
		{mailbox, "//", "/"},
		{mailbox, "/", "/"},
		{mailbox, "&ZeVnLIqe-", "日本語"},
		{mailbox, "a&-b", "a&b"},
		{mailbox, "a&b", "!a mailbox name in modified UTF-7 before this at octet 3"},
		{mailbox, "\"gr\xc3\xbc & co\"", "grü & co"},
		{mailbox, "\"gr\xc3\"", "!a mailbox name in modified UTF-7 before this at octet 5"},
		{pattern, "a/%*", "a/%*"},
		{pattern, `"&ZeVnLIqe-/*"`, "日本語/*"},
		{pattern, "a&*", "a&*"},
		{pattern, "", "!a mailbox pattern at octet 0"},

		{date, "1-feb-2006", "2006-02-01"},
		{date, `"28-Feb-2006"`, "2006-02-28"},
		{date, "31-Feb-2006", "!a date such as 1-Feb-2006 before this at octet 11"},
		{dateTime, `" 1-Feb-2006 15:04:05 +0130"`, "2006-02-01T15:04:05+01:30"},
		{dateTime, `"01-Feb-2006 15:04:05 +0000"`, "2006-02-01T15:04:05Z"},
		{dateTime, `"31-Dec-9999 23:59:59 +0000"`, "9999-12-31T23:59:59Z"},
		{dateTime, `"31-Dec-9999 23:59:59 -0001"`, `!a date such as " 1-Feb-2006 15:04:05 +0100" before this at octet 28`},
		{dateTime, `"01-Jan-0001 00:00:00 +0001"`, `!a date such as " 1-Feb-2006 15:04:05 +0100" before this at octet 28`},
		{dateTime, `"1-Feb-2006"`, `!a date such as " 1-Feb-2006 15:04:05 +0100" before this at octet 12`},
	} {
		d, _ := decoderOf(tt.input+"\r\n", Limits{})
		got := fmt.Sprint(tt.read(d))
		if err := d.End(); err != nil {
			got = "!" + strings.TrimPrefix(err.Error(), "expected ")
		}
		if got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.input, got, tt.want)
		}
	}
}

func TestLineEnds(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]string{
		"a\r\nb\r\n": "",
		"a\nb\r\n":   "",
		"a\rb\r\n":   "expected LF after CR at octet 2",
		"a":          "EOF",
		"a\r":        "EOF",
		"ab\r\n":     "",
	} {
		d, _ := decoderOf(input, Limits{})
		d.Atom()
		got := ""
		if err := d.End(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", input, got, want)
		}
	}
}

// TestUTF8Mailbox: after ENABLE UTF8=ACCEPT names are UTF-8 (RFC 6855 §3).
func TestUTF8Mailbox(t *testing.T) {
	t.Parallel()
	d, _ := decoderOf("\"a&\xc3\xbc\" \"\xc3\xbc%\"\r\n", Limits{UTF8: true})
	name, pattern := d.Mailbox(), d.SP().ListMailbox()
	if err := d.End(); err != nil || name != "a&ü" || pattern != "ü%" {
		t.Fatal(name, pattern, err)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]string{
		"()":    "[]",
		"(a)":   "[a]",
		"(a b)": "[a b]",
		"(a b":  `expected a space or ")" at octet 4`,
		"(a )":  "expected an atom at octet 3",
		"a":     "expected '(' at octet 0",
	} {
		d, _ := decoderOf(input+"\r\n", Limits{})
		var items []string
		d.List(func() { items = append(items, d.Atom()) })
		got := fmt.Sprint(items)
		if err := d.End(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", input, got, want)
		}
	}
}

func TestListDepth(t *testing.T) {
	t.Parallel()
	for depth, ok := range map[int]bool{maxDepth: true, maxDepth + 1: false, 400: false} {
		d, _ := decoderOf(strings.Repeat("(", depth)+strings.Repeat(")", depth)+"\r\n", Limits{})
		var nest func()
		nest = func() {
			if d.Peek() == '(' {
				d.List(nest)
			}
		}
		nest()
		if err := d.End(); (err == nil) != ok {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
}

// TestAfterError: nothing reads on after an error, and no loop goes on for ever.
func TestAfterError(t *testing.T) {
	t.Parallel()
	d, _ := decoderOf("a b\r\n", Limits{})
	d.Expect('x')
	d.Expect('y')
	d.List(func() {})
	if d.Atom() != "" || d.Peek() != 0 || d.Try('a') || !d.AtEnd() || d.Literal() != nil || d.Number() != 0 {
		t.Fatal("reads after an error")
	}
	if err := d.End(); err.Error() != "expected 'x' at octet 0" {
		t.Fatal(err)
	}
	if err := d.Discard(); err != nil {
		t.Fatal(err)
	}
}

// TestDiscard: whatever went wrong, the next command is found.
func TestDiscard(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, input string
		read        func(*Decoder)
	}{
		{"text", "x y z\r\n", func(*Decoder) {}},
		{"bare LF", "x\n", func(*Decoder) {}},
		{"literal", "x {4+}\r\nA\r\nB y\r\n", func(*Decoder) {}},
		{"two literals", "x {4+}\r\nA\r\nB {1+}\r\nC\r\n", func(*Decoder) {}},
		{"literal8", "x ~{4+}\r\nA\r\nB\r\n", func(*Decoder) {}},
		{"waiting client", "x {4}\r\n", func(*Decoder) {}},
		{"long line", strings.Repeat("x", 5000) + " {2+}\r\n\r\n\r\n", func(*Decoder) {}},
		{"too long a line", strings.Repeat("x", 5000) + "\r\n", func(d *Decoder) { d.Atom() }},
		{"too long a literal", "{2000+}\r\n" + strings.Repeat("\n", 2000) + "\r\n", func(d *Decoder) { d.AString() }},
		{"too long a literal to ask for", "{2000}\r\n", func(d *Decoder) { d.AString() }},
		{"unread", "{5+}\r\n\r\n\r\n1\r\n", func(d *Decoder) { d.Literal() }},
		{"half read", "{5+}\r\n\r\n\r\n1\r\n", func(d *Decoder) {
			if _, err := io.ReadFull(d.Literal(), make([]byte, 2)); err != nil {
				panic(err)
			}
		}},
		{"not asked for", "{5}\r\n", func(d *Decoder) { d.Literal() }},
		{"asked for", "{5}\r\n\r\n\r\n1\r\n", func(d *Decoder) { _ = d.Literal().Accept() }},
		{"too big", "{50+}\r\n" + strings.Repeat("\n", 50) + "\r\n", func(d *Decoder) { d.Literal() }},
		{"too big to ask for", "{50}\r\n", func(d *Decoder) { d.Literal() }},
		{"ended", "x\r\n", func(d *Decoder) { d.Atom(); _ = d.End() }},
	} {
		d, _ := decoderOf(tt.input+"next\r\n", Limits{Literal: 20})
		tt.read(d)
		if err := d.Discard(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		d.Begin(Limits{Line: 100})
		if got := d.Atom(); got != "next" {
			t.Errorf("%s: then %q, %v", tt.name, got, d.Err())
		}
	}
}

// TestFlood: what Discard skips is bounded where that is asked for, and the connection is then given up.
func TestFlood(t *testing.T) {
	t.Parallel()
	for _, input := range []string{
		"{101+}\r\n" + strings.Repeat("x", 200) + "\r\n",
		"{99999999999999999999999+}\r\n",
		strings.Repeat("x", 5000) + "\r\n",
		strings.Repeat("{60+}\r\n"+strings.Repeat("x", 60), 2) + "\r\n",
	} {
		d, _ := decoderOf(input, Limits{NonSync: 100})
		var limit *LimitError
		if err := d.Discard(); !errors.As(err, &limit) {
			t.Errorf("%.20q: %v", input, err)
		}
	}
}

func TestLiteral(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		input  string
		binary bool
		asked  int
	}{
		{"{5}\r\na\x00b\r\n x\r\n", false, 1},
		{"{5+}\r\na\x00b\r\n x\r\n", false, 0},
		{"~{5}\r\na\x00b\r\n x\r\n", true, 1},
		{"~{5+}\r\na\x00b\r\n x\r\n", true, 0},
	} {
		d, asked := decoderOf(tt.input, Limits{Literal: 5})
		l := d.Literal()
		if *asked != 0 {
			t.Errorf("%q: asked too early", tt.input)
		}
		p, err := io.ReadAll(l)
		if err != nil || string(p) != "a\x00b\r\n" || l.Size != 5 || l.Binary != tt.binary || *asked != tt.asked {
			t.Errorf("%q: %q, %v, %+v, asked %d", tt.input, p, err, l, *asked)
		}
		if word := d.SP().Atom(); word != "x" || d.End() != nil {
			t.Errorf("%q: then %q, %v", tt.input, word, d.Err())
		}
	}
}

func TestLiteralCut(t *testing.T) {
	t.Parallel()
	d, _ := decoderOf("{5}\r\nab", Limits{Literal: 5})
	if _, err := io.ReadAll(d.Literal()); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	d, _ = decoderOf("{5}\r\nab", Limits{})
	if d.AString(); !errors.Is(d.Err(), io.ErrUnexpectedEOF) || !errors.Is(d.Discard(), io.ErrUnexpectedEOF) {
		t.Error(d.Err())
	}
}

func TestContinueFails(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	d := NewDecoder(bufio.NewReader(strings.NewReader("{1}\r\nx\r\n")), DecoderOptions{Continue: func() error { return gone }})
	d.Begin(Limits{Line: 100})
	if d.AString(); !errors.Is(d.Err(), gone) {
		t.Error(d.Err())
	}
}

// TestMemory: an announcement costs nothing; only what arrives does (rule 11).
func TestMemory(t *testing.T) { // not parallel: it looks at the memory of the process
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		d, _ := decoderOf("{1000000}\r\nx", Limits{Line: 1 << 20})
		d.AString()
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 10*64<<10 {
		t.Errorf("%d octets allocated for ten that arrived", n)
	}
}
