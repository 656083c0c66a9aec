package order

import (
	"strings"
	"testing"
	"testing/quick"
	"unicode"
	"unicode/utf8"

	"postern/pkg/message"
)

func TestBaseSubject(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		subject, base string
		reply         bool
	}{
		{"", "", false},
		{"hello", "hello", false},
		{"  hello \t\r\n world  ", "hello world", false},
		{"Re: hello", "hello", true},
		{"RE: fw: FWD:hello", "hello", true},
		{"re  : hello", "hello", true},
		{"Re[2]: hello", "hello", true},
		{"Re [a b] : hello", "hello", true},
		{"Re[2: hello", "Re[2: hello", false},
		{"[list] Re: [list] hello", "hello", true},
		{"[a][b] [c]hello", "hello", false},
		{"[a][b] [c]", "[c]", false},
		{"[a]Re:", "", true},
		{"Re:", "", true},
		{"Reply: hello", "Reply: hello", false},
		{"fwdd: hello", "fwdd: hello", false},
		{"hello (fwd)", "hello", true},
		{"hello (FWD) (fwd)(fwd) ", "hello", true},
		{"(fwd)", "", true},
		{"hello(fwd) world", "hello(fwd) world", false},
		{"[fwd: hello]", "hello", true},
		{"[FWD: Re: [fwd: [list] hello (fwd)] ]", "hello", true},
		{"[fwd: hello", "[fwd: hello", false},
		{"[fwd: hello] world", "world", false},
		{"[fwd:]", "", true},
		{"[list]", "[list]", false},
		{"[a[b]c] hello", "[a[b]c] hello", false},
		{"Re: Re: [x] Re: ", "", true},
		{"Re: 会議", "会議", true},
		{"AW: hello", "AW: hello", false},
		{"[]hello", "hello", false},
		{"(fwd) hello", "(fwd) hello", false},
	} {
		if base, reply := BaseSubject(tt.subject); base != tt.base || reply != tt.reply {
			t.Errorf("%q: %q %v, want %q %v", tt.subject, base, reply, tt.base, tt.reply)
		}
	}
}

// naiveBase takes the steps of RFC 5256 §2.1 one by one, as they are written.
func naiveBase(s string) string {
	s = strings.Join(strings.FieldsFunc(" "+s+" ", func(r rune) bool { return strings.ContainsRune(" \t\r\n", r) }), " ")
	for {
		for was := ""; was != s; {
			was = s
			s = strings.TrimSuffix(s, " ")
			if strings.HasSuffix(strings.ToLower(s), "(fwd)") {
				s = s[:len(s)-5]
			}
		}
		for was := ""; was != s; {
			was = s
			s = naiveLeader(s)
			if rest, ok := cutBlob(s); ok && rest != "" {
				s = rest
			}
		}
		if lower := strings.ToLower(s); len(s) < 6 || !strings.HasPrefix(lower, "[fwd:") || !strings.HasSuffix(s, "]") {
			return s
		}
		s = s[5 : len(s)-1]
	}
}

func naiveLeader(s string) string {
	for {
		s = strings.TrimLeft(s, " ")
		rest := s
		for ok := true; ok; {
			rest, ok = cutBlob(rest)
		}
		after, ok := cutRefwd(rest)
		if !ok {
			return s
		}
		s = after
	}
}

func TestBaseSubjectSteps(t *testing.T) {
	t.Parallel()
	words := []string{"re", "Re:", "fwd:", "fw", "[", "]", "[fwd:", "(fwd)", " ", "\t", "x", ":", "[a]", "é"}
	check := func(picks []uint8) bool {
		var s string
		for _, p := range picks {
			s += words[int(p)%len(words)]
		}
		base, _ := BaseSubject(s)
		return base == naiveBase(s) || !t.Failed() && fail(t, "%q: %q, want %q", s, base, naiveBase(s))
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 5000}); err != nil {
		t.Error(err)
	}
}

func fail(t *testing.T, format string, a ...any) bool {
	t.Errorf(format, a...)
	return false
}

// FuzzBaseSubject: nothing takes long, and a base is its own base.
func FuzzBaseSubject(f *testing.F) {
	f.Add("Re: [list] [fwd: hello] (fwd)")
	f.Fuzz(func(t *testing.T, s string) {
		base, _ := BaseSubject(s)
		if again, _ := BaseSubject(base); again != base {
			t.Errorf("%q: %q, then %q", s, base, again)
		}
	})
}

// TestBaseSubjectLong: what a header can hold takes no time.
func TestBaseSubjectLong(t *testing.T) {
	t.Parallel()
	for _, piece := range []string{"[]", "[", "re:", "[a]re:", "(fwd)", "[fwd:", "re []", " \t", "[x] "} {
		BaseSubject(strings.Repeat(piece, 1<<20/len(piece)))
		BaseSubject(strings.Repeat(piece, 1<<19/len(piece)) + "x" + strings.Repeat("]", 1<<19))
	}
}

func TestCollate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"Hello 1", "HELLO 1"},
		{"É", "E\u0301"},
		{"é", "E\u0301"},
		{"e\u0301", "E\u0301"},
		{"\u01c4", "Dz\u030c"}, // the example of RFC 5051 §2
		{"\u01c6", "Dz\u030c"},
		{"ß", "ß"},
		{"ａｂｃ", "ABC"},
		{"ガ", "カ\u3099"},
		{"ｶﾞ", "カ\u3099"},
		{"日本", "日本"},
		{"ı", "I"},
		{"한", "한"}, // Hangul decomposes by rule, not by a property
	} {
		if got := Collate(tt.in); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.want)
		}
		if !utf8.ValidString(Collate(tt.in)) {
			t.Errorf("%q: not UTF-8", tt.in)
		}
	}
}

// TestFoldIsCoarser: what is equal for SORT is equal for SEARCH, which folds in its own way (RFC 5255 §4.2).
func TestFoldIsCoarser(t *testing.T) {
	t.Parallel()
	for r := rune(1); r <= unicode.MaxRune; r++ {
		s := string(r)
		if a, b := message.Fold(s), message.Fold(Collate(s)); a != b {
			t.Errorf("%U: %q and %q", r, a, b)
		}
	}
}

func TestMessageIDs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		field string
		want  []string
	}{
		{"", nil},
		{"<a@b>", []string{"a@b"}},
		{"<a@b> <c@d>\t<e@[1.2.3.4]>", []string{"a@b", "c@d", "e@[1.2.3.4]"}},
		{`<"01KF8JCEOCBS0045PS"@xxx.yyy.com>`, []string{"01KF8JCEOCBS0045PS@xxx.yyy.com"}},
		{`<"a\"b>"@c>`, []string{`a"b>@c`}},
		{"words <a@b>, more (and <c@d>)", []string{"a@b", "c@d"}},
		{"<no-at> <@b> <a@> <> <a@b", nil},
		{"<a@b <c@d>", []string{"c@d"}},
		{"<a @ b>", []string{"a@b"}},
		{"a@b", nil},
	} {
		var want []uint64
		for _, id := range tt.want {
			want = append(want, hash(id))
		}
		got := messageIDs(tt.field)
		if len(got) != len(want) {
			t.Errorf("%q: %d ids, want %d", tt.field, len(got), len(want))
			continue
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%q: id %d is not %q", tt.field, i, tt.want[i])
			}
		}
	}
}

func TestMessageIDsBounded(t *testing.T) {
	t.Parallel()
	var field strings.Builder
	for i := range 5000 {
		field.WriteString("<" + strings.Repeat("x", i%50) + "y" + string(rune('a'+i%26)) + "@z>")
	}
	all := field.String()
	ids := messageIDs("<first@x>" + all + "<last@x>")
	if len(ids) != maxReferences || ids[0] != hash("first@x") || ids[len(ids)-1] != hash("last@x") {
		t.Errorf("%d references, want the first and the last of %d", len(ids), maxReferences)
	}
	messageIDs(strings.Repeat("<", 1<<20))
	messageIDs(strings.Repeat(`<"`, 1<<19))
}
