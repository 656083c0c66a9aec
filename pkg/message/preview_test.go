package message

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestPreview compares the previews of the messages in testdata with a file beside them.
func TestPreview(t *testing.T) {
	t.Parallel()
	all := golden(t)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%s: %s\n", name, *spool(t, all[name], SpoolOptions{}).Part().Preview)
	}
	if *update {
		if err := os.WriteFile("testdata/previews.want", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/previews.want")
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("previews differ; got\n%s", b.String())
	}
}

func TestPreviewText(t *testing.T) {
	t.Parallel()
	const plain, html = "Content-Type: text/plain; charset=utf-8\n\n", "Content-Type: text/html; charset=utf-8\n\n"
	const mixed = "Content-Type: multipart/mixed; boundary=b\n\n--b\n"
	tests := []struct{ name, message, want string }{
		{"nothing", "\n", ""},
		{"one line", "\nHello  there,\n\n\tmy friend\n", "Hello there, my friend"},
		{"an answer below", plain + "On Monday Bob wrote:\n> Are you\n> there?\n\nYes, I am.\n", "Yes, I am."},
		{"an answer above", plain + "Yes, I am.\n\nBob:\n> Are you there?\n", "Yes, I am."},
		{"a list is no introduction", plain + "We need:\nmilk\n", "We need: milk"},
		{"it ends with one", plain + "We need:\n", "We need:"},
		{"nothing but quotes", plain + "> Are you there?\n", "> Are you there?"},
		{"a signature", plain + "Hello\n-- \nAnn, Head of Things\n", "Hello"},
		{"nothing but a signature", plain + "-- \nAnn\n", "-- Ann"},
		{"outlook", plain + "Hello\n-----Original Message-----\nFrom: x\n", "Hello"},
		{"drawings", plain + "=======\n News!\n=======\n***\nToday\n", "News! Today"},
		{"japanese", plain + "お疲れさまです。\n山田さん:\n> 会議は？\n３時です。\n", "お疲れさまです。 ３時です。"},
		{"html", html + "<html><head><title>T</title><style>p {x: y}</style></head><body><p>Hello&nbsp;<b>the</b>re<br>you</body>", "Hello there you"},
		{"padding", html + "Sale!&zwnj;&nbsp;&#847;&zwnj;&nbsp;&#65279;&#8203; Now", "Sale!\u200c Now"},
		{"ZWNJ in a word", plain + "می\u200cخواهم\n", "می\u200cخواهم"},
		{"alternative", mixed + "Content-Type: multipart/alternative; boundary=c\n\n--c\n" + html + "<p>rich\n--c\n" + plain + "poor\n--c--\n--b--\n", "poor"},
		{"an empty alternative", mixed + "Content-Type: multipart/alternative; boundary=c\n\n--c\n" + plain + "\n--c\n" + html + "<p>rich\n--c--\n--b--\n", "rich"},
		{"text after an empty one", mixed + plain + "\n--b\n" + plain + "second\n--b--\n", "second"},
		{"an attachment", mixed + "Content-Disposition: attachment\n\nnot this\n--b\n\nbut this\n--b--\n", "but this"},
		{"a calendar", mixed + "Content-Type: text/calendar\n\nBEGIN:VCALENDAR\n--b--\n", ""},
		{"a message inside", mixed + "Content-Type: message/rfc822\n\n\nof another\n--b--\n", ""},
		{"encrypted", "Content-Type: multipart/encrypted; boundary=b\n\n--b\n\nVersion: 1\n--b\n\nsecret\n--b--\n", ""},
		{"encrypted in the text", plain + "-----BEGIN PGP MESSAGE-----\n\nhQEMA\n-----END PGP MESSAGE-----\n", ""},
		{"signed in the text", plain + "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nHello\n-----BEGIN PGP SIGNATURE-----\n\niQ\n", "Hello"},
		{"s/mime", "Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: base64\n\nMIAG\n", ""},
		{"base64", "Content-Type: text/plain; charset=shift_jis\nContent-Transfer-Encoding: base64\n\nk/qWew==\n", "日本"},
		{"quoted-printable", "Content-Transfer-Encoding: quoted-printable\n\na =\nlong line =E4=B8=AD\n", "a long line 中"},
		{"unknown encoding", "Content-Transfer-Encoding: x-odd\n\nplain enough\n", "plain enough"},
		{"unnamed ISO-2022-JP", "\n\x1b$BF|K\\\x1b(B\n", "日本"},
		{"NUL and other controls", "\na\x00b\x07c\n", "abc"},
	}
	for _, test := range tests {
		s := spool(t, []byte(test.message), SpoolOptions{})
		if got := *s.Part().Preview; got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestPreviewLength(t *testing.T) {
	t.Parallel()
	const family = "👨‍👩‍👧"
	tests := []struct{ name, text, want string }{
		{"exactly enough", strings.Repeat("a", 200), strings.Repeat("a", 200)},
		{"one too many", strings.Repeat("a", 201), strings.Repeat("a", 200)},
		{"japanese", strings.Repeat("日本", 150), strings.Repeat("日本", 100)},
		{"a space at the end", strings.Repeat("a", 199) + " b", strings.Repeat("a", 199)},
		{"an accent", strings.Repeat("a", 199) + "e\u0301x", strings.Repeat("a", 199)},
		{"a family", strings.Repeat("a", 198) + family + "x", strings.Repeat("a", 198)},
		{"flags", "a" + strings.Repeat("🇯🇵", 150), "a" + strings.Repeat("🇯🇵", 99)},
		{"nothing but accents", strings.Repeat("\u0301", 300), strings.Repeat("\u0301", 200)},
	}
	for _, test := range tests {
		var line oneLine
		line.add([]byte(test.text))
		if got := line.String(); got != test.want {
			t.Errorf("%s: %d characters: %q, want %q", test.name, utf8.RuneCountInString(got), got, test.want)
		}
	}
}

// TestPreviewBehindMuch finds the text behind a style sheet, but not behind any amount of it.
func TestPreviewBehindMuch(t *testing.T) {
	t.Parallel()
	html := func(n int) string {
		return "Content-Type: text/html\n\n<style>" + strings.Repeat("p { color: red }\n", n/16) + "</style>Hello"
	}
	for n, want := range map[int]string{0: "Hello", 4000: "Hello", 5000: "Hello", 50_000: "Hello", 500_000: ""} {
		if got := *spool(t, []byte(html(n)), SpoolOptions{}).Part().Preview; got != want {
			t.Errorf("behind %d octets: %q", n, got)
		}
	}
	long := spool(t, []byte("\n"+strings.Repeat("> quoted\n", 1000)+"own\n"), SpoolOptions{})
	if got := *long.Part().Preview; got != "own" {
		t.Errorf("behind a long quote: %q", got)
	}
}

func TestPreviewUnreadable(t *testing.T) {
	t.Parallel()
	s := spool(t, []byte("\nx\n"), SpoolOptions{})
	broken := errors.New("broken")
	if _, err := s.Part().MakePreview(brokenReaderAt{broken}); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func FuzzPreview(f *testing.F) {
	for _, raw := range golden(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := *spool(t, raw, SpoolOptions{}).Part().Preview
		switch {
		case !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxPreview:
			t.Fatalf("%q", s)
		case strings.ContainsAny(s, "\r\n\t\x00") || strings.Contains(s, "  ") || strings.TrimSpace(s) != s:
			t.Fatalf("%q is not folded", s)
		}
	})
}

// BenchmarkPreview is part of what BenchmarkSpool measures.
func BenchmarkPreview(b *testing.B) {
	html := "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n<html><head><style>" +
		strings.Repeat("p { color: red; }\n", 500) + "</style></head><body>" + strings.Repeat("<p class=3D\"x\">The quick fox\n", 50)
	for name, raw := range map[string][]byte{"usual": sample(0), "behind styles": []byte(html)} {
		b.Run(name, func(b *testing.B) {
			s := spool(b, raw, SpoolOptions{})
			octets := bytes.NewReader(s.memory)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Part().MakePreview(octets); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
