package message

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"
)

func TestFold(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                      "",
		"Hello,\r\n\t World  ":  "hello, world ",
		"ＡＢＣ１２３　ｘ":              "abc123 x",
		"ｶﾞｷﾞ":                  "ガギ",
		"Straße STRASSE":        "strasse strasse",
		"É e\u0301":             "é é",
		"ΣΊΣΥΦΟΣ":               "σίσυφοσ",
		"ﬁ ① ㌔":                 "fi 1 キロ",
		"a\u00a0\u2003\u3000b":  "a b",
		"日本語　テスト":               "日本語 テスト",
		"\u00a0":                " ",
		"nul\x00":               "nul\x00",
		"ПРИВЕТ":                "привет",
		"a\u0323\u0307 a\u0307": "ạ̇ ȧ",
	} {
		if got := Fold(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestFoldJapanese: what JIS X 0208 has one character for is one, whichever of two a program makes of it.
func TestFoldJapanese(t *testing.T) {
	t.Parallel()
	for jis, unicode := range map[string]string{"!A": "〜～", "!]": "−－", "!=": "—―", "!B": "‖∥"} {
		text, ok := DecodeText("ISO-2022-JP", "\x1b$B"+jis+"\x1b(B")
		if !ok {
			t.Errorf("%s: not decoded", jis)
		}
		for _, r := range unicode {
			if got := Fold(string(r)); got != Fold(text) {
				t.Errorf("%U: %q, but %q from mail", r, got, Fold(text))
			}
		}
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		file     string
		scope    Scope
		patterns string // separated by |
		want     bool
	}{
		{"plain", InBody, "do you THINK|tomorrow", true},
		{"plain", InBody, "afternoon", false},
		{"plain", InText, "afternoon|tomorrow", true},
		{"plain", InText, "afternoon|yesterday", false},
		{"plain", InText, "subject: afternoon meeting", true},
		{"plain", InText, "", true},
		{"iso2022jp", InBody, "東京", true},
		{"iso2022jp", InBody, "カタカナ", true},
		{"iso2022jp", InBody, "abc", true},
		{"iso2022jp", InBody, "京都", false},
		{"iso2022jp", InText, "件名|会議", true},
		{"iso2022jp", InText, "はいくつかの語", true},
		{"iso2022jp_unlabelled", InText, "生の件名|古いメール", true},
		{"shiftjis", InText, "生の件名|ソフト|カナ", true},
		{"eucjp_qp", InBody, "とても長い行は柔らかい改行で折られます。 次の行", true},
		{"utf8_base64", InText, "GRÜSSE|köln|世界 🎉", true},
		{"koi8r", InText, "привет, мир|subject: привет", true},
		{"gb2312", InBody, "你好", true},
		{"utf7", InBody, "☺|1 + 1", true},
		{"unknown_charset", InBody, "café and café", true},
		{"nested", InBody, "café menu", true},
		{"nested", InBody, "café menu & <more>", true},
		{"nested", InBody, "color", false},
		{"nested", InBody, "hidden", false},
		{"nested", InBody, "text/html", false},
		{"nested", InBody, "multi-part message", false},
		{"nested", InBody, "dot.png", false},
		{"nested", InText, "dot.png|content-type: application/pdf|content-description: the menu", true},
		{"nested", InText, "menu café.pdf|menu du café.pdf", true},
		{"nested", InText, "multi-part message", false},
		{"forwarded", InBody, "innermost|dave|carol|deep body|inner plain", true},
		{"forwarded", InBody, "nested message", false},
		{"rfc822_encoded", InBody, "inside", false},
		{"html", InBody, "naïve! été 2 < 3|cell other word ¥ end", true},
		{"html", InBody, "var", false},
		{"empty", InText, "a", false},
		{"empty", InText, "", true},
		{"uuencode", InBody, "begin 644", true},
		{"part_without_blank_line", InText, "no blank", true},
	} {
		s := spool(t, golden(t)[row.file+".eml"], SpoolOptions{})
		var folded []string
		for p := range strings.SplitSeq(row.patterns, "|") {
			folded = append(folded, Fold(p))
		}
		if got, err := s.Part().Search(s, row.scope, folded...); err != nil || got != row.want {
			t.Errorf("%s in %d for %s: %v, %v", row.file, row.scope, row.patterns, got, err)
		}
	}
}

func TestSearchHeader(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		file, field, pattern string
		want                 bool
	}{
		{"plain", "subject", "Afternoon", true},
		{"plain", "SUBJECT", "meeting", true},
		{"plain", "Subject", "subject", false},
		{"plain", "Subject", "", true},
		{"plain", "X-None", "", false},
		{"plain", "", "", false},
		{"plain", "From", "alice@EXAMPLE", true},
		{"plain", "To", "alice", false},
		{"repeated", "subject", "third", true},
		{"repeated", "to", "b@x", true},
		{"repeated", "subject", "firstsecond", false},
		{"repeated", "subject", "first second", false},
		{"iso2022jp", "subject", "長い件名はいくつか", true},
		{"iso2022jp", "from", "山田太郎 <taro", true},
		{"shiftjis", "subject", "生の件名", true},
		{"folded", "subject", "a folded subject", true},
		{"folded", "x-long", "one two", true},
		{"empty", "subject", "", false},
	} {
		s := spool(t, golden(t)[row.file+".eml"], SpoolOptions{})
		if got, err := s.Part().SearchHeader(s, row.field, Fold(row.pattern)); err != nil || got != row.want {
			t.Errorf("%s %s: %q: %v, %v", row.file, row.field, row.pattern, got, err)
		}
	}
}

// TestFoldPlain checks the short way that plain characters take: it gives what the long way gives.
func TestFoldPlain(t *testing.T) {
	t.Parallel()
	long := func(s string) string {
		var f folder
		return string(f.appendOther(nil, []byte(s)))
	}
	for r := rune(0); r < 0x30000; r++ {
		if s := string(r); Fold(s) != long(s) {
			t.Fatalf("%U: %q, want %q", r, Fold(s), long(s))
		}
		if s := "か" + string(r); isPlain(r) && norm.NFKC.String(s)[:3] != "か" {
			t.Fatalf("%U combines with what is before it", r)
		}
	}
	alphabet := []rune("aZ \t かガ漢　。、ーｶﾞ\u3099\u0301éßΣ")
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		text := make([]rune, rnd.IntN(60))
		for i := range text {
			text[i] = alphabet[min(rnd.IntN(len(alphabet)), rnd.IntN(len(alphabet)))]
		}
		if s := string(text); Fold(s) != long(s) {
			t.Fatalf("%q: %q, want %q", s, Fold(s), long(s))
		}
		if octets := []byte(string(text)); len(octets) > 0 { // and of what is not UTF-8
			octets[rnd.IntN(len(octets))] = byte(0x80 + rnd.IntN(0x80))
			if s := string(octets[:1+rnd.IntN(len(octets))]); Fold(s) != long(s) {
				t.Fatalf("%q: %q, want %q", s, Fold(s), long(s))
			}
		}
	}
}

// TestSearchEdges puts a word at every place around the edges of chunks.
func TestSearchEdges(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"needle", "縫い針を探す", "a\u0301e\u0301"} {
		for _, filler := range []string{"x", "針"} {
			for _, at := range []int{20, scanBuffer, searchChunk} {
				for d := -20; d < 20; d++ {
					n := max(0, at+d) / len(filler)
					text := strings.Repeat(filler, n) + word + strings.Repeat(filler, 100)
					raw := "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
						base64.StdEncoding.EncodeToString([]byte(text))
					s := spool(t, []byte(raw), SpoolOptions{})
					if got, err := s.Part().Search(s, InBody, Fold(word)); err != nil || !got {
						t.Fatalf("%s not found after %d octets of %s: %v", word, n*len(filler), filler, err)
					}
				}
			}
		}
	}
}

// TestMatcherModel compares the matcher, fed in pieces, with strings.Contains of the whole folded text.
func TestMatcherModel(t *testing.T) {
	t.Parallel()
	alphabet := []rune("ab AB\té\u0301\u3099か゛ｶﾞß \n")
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		text := make([]rune, rnd.IntN(30_000))
		for i := range text {
			text[i] = alphabet[rnd.IntN(len(alphabet))]
		}
		folded := Fold(string(text))
		from := rnd.IntN(len(folded) + 1)
		pattern := folded[from:min(len(folded), from+rnd.IntN(12))]
		if rnd.IntN(2) == 0 {
			pattern += string(alphabet[0])
		}
		m := newMatcher([]string{pattern})
		for rest := []byte(string(text)); len(rest) > 0; {
			n := min(len(rest), 1+rnd.IntN(5000))
			m.add(rest[:n])
			rest = rest[n:]
		}
		m.end()
		if want := strings.Contains(folded, pattern); m.done() != want {
			t.Fatalf("seed %d: %q found %v, want %v", seed, pattern, m.done(), want)
		}
	}
}

func TestSearchErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, raw := range golden(t) {
		s := spool(t, raw, SpoolOptions{})
		if s.Part().Body == 0 {
			continue
		}
		if _, err := s.Part().Search(brokenReaderAt{broken}, InText, "x"); !errors.Is(err, broken) {
			t.Errorf("%s: an error of reading is lost: %v", name, err)
		}
		if _, err := s.Part().SearchHeader(brokenReaderAt{broken}, "x", ""); !errors.Is(err, broken) {
			t.Errorf("%s: an error of reading the header is lost: %v", name, err)
		}
	}
}

func TestHTMLText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a<b>b</b>c":                           "abc",
		"a<p>b</p>c":                           "a b c",
		"a<BR/>b":                              "a b",
		"<a href='x>y' title=\"<>\">z</a>":     "z",
		"<script>a<b</script>c":                "  c",
		"<STYLE type=x>p{}</ style></style >c": "  c",
		"<!-- a > b -- c -->d":                 "d",
		"<!DOCTYPE html><?xml x?>d":            "  d",
		"&lt;b&gt; &#x65e5;&#26412; &amp;":     "<b> 日本 &",
		"&nosuch; & &; AT&T &eacute":           "&nosuch; & &; AT&T é",
		"1 < 2 <3 <>":                          "1 < 2 <3 <>",
		"end <b":                               "end ",
		"end <":                                "end <",
		"end &am":                              "end &am",
		"<script>never ends":                   " ",
		"<!-- never ends":                      "",
		"<b never ends":                        "",
		"<span>日</span><span>本</span>":         "日本",
		"&" + strings.Repeat("x", 100) + ";":   "&" + strings.Repeat("x", 100) + ";",
		"<" + strings.Repeat("x", 100) + ">":   " ",
	} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "octets": iotest.OneByteReader,
		} {
			got, err := io.ReadAll(transform.NewReader(wrap(strings.NewReader(in)), &htmlText{}))
			if err != nil || string(got) != want {
				t.Errorf("%.60q in %s: %.60q, %v, want %.60q", in, name, got, err, want)
			}
		}
	}
}

// FuzzText runs any octets through each decoder; it must give the same text however the octets are divided.
func FuzzText(f *testing.F) {
	for _, charset := range []string{"", "iso-2022-jp", "shift_jis", "euc-jp", "gbk", "utf-7", "utf-16", "koi8-r"} {
		f.Add([]byte("<p>a=E3=81&amp;\x1b$B\xff+AGE-</p>\xe3\x81\x82"), charset, "HTML")
	}
	f.Fuzz(func(t *testing.T, raw []byte, charset, subtype string) {
		for _, encoding := range []string{"8BIT", "BASE64", "QUOTED-PRINTABLE"} {
			p := &Part{Type: "TEXT", Subtype: subtype, Encoding: encoding, Params: []Param{{"charset", charset}}}
			whole, err := io.ReadAll(p.textReader(bytes.NewReader(raw)))
			if err != nil {
				t.Fatal(err)
			}
			octets, err := io.ReadAll(p.textReader(iotest.OneByteReader(bytes.NewReader(raw))))
			if err != nil || !bytes.Equal(whole, octets) {
				t.Fatalf("%s: %q, in octets %q, %v", encoding, whole, octets, err)
			}
		}
	})
}
