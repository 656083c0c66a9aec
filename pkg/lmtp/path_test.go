package lmtp

import (
	"errors"
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, text, address, rest string }{
		{"<a@b>", "a@b", "a@b", ""},
		{" <a@b> SIZE=1", "a@b", "a@b", " SIZE=1"},
		{"a@b SIZE=1", "a@b", "a@b", "SIZE=1"},
		{"<>", "", "", ""},
		{"<> SIZE=1", "", "", " SIZE=1"},
		{"<postmaster>", "postmaster", "postmaster", ""},
		{"<@x,@y:a@b>", "a@b", "a@b", ""},
		{`<"a b"@c>`, `"a b"@c`, "a b@c", ""},
		{`<"a>b"@c>`, `"a>b"@c`, "a>b@c", ""},
		{`<"a\"b\\"@c>`, `"a\"b\\"@c`, `a"b\@c`, ""},
		{`<"a@x"@c>`, `"a@x"@c`, "a@x@c", ""},
		{"<a+b/c@d>", "a+b/c@d", "a+b/c@d", ""},
		{"<ü@ö>", "ü@ö", "ü@ö", ""},
		{"<a@[192.0.2.1]>", "a@[192.0.2.1]", "a@[192.0.2.1]", ""},
	} {
		p, rest, ok := parsePath(c.in)
		if !ok || p.text != c.text || p.address != c.address || rest != c.rest {
			t.Errorf("%s: got %q, %q, rest %q, %v", c.in, p.text, p.address, rest, ok)
		}
	}
	for _, in := range []string{
		"", "<", "<a@b", "<a@b>x", "<a b@c>", "<@b>", "<a@>", "<<a@b>>", "<a\x00@b>", "<a@b\x7f>", "<\xff@b>", `<"a@b>`, `<"a"b@c>`,
		`<""@c>`, `<"a"@>`, `<"a">`, `<"a\`, "<" + strings.Repeat("x", maxPath) + "@b>", "<a\"b@c>", `<"a"@b c>`,
	} {
		if p, _, ok := parsePath(in); ok {
			t.Errorf("%q was taken for %q", in, p.text)
		}
	}
}

func TestParseChunk(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]chunk{"0": {0, false}, "12": {12, false}, "12 LAST": {12, true}, "0  last": {0, true}} {
		if got, err := parseChunk(in); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "x", "-1", "1 FIRST", "1 LAST LAST", "LAST", "9223372036854775808"} {
		if got, err := parseChunk(in); !errors.Is(err, badChunk) {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
}

func TestTraceName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"mta.example.net": "mta.example.net", "[192.0.2.1]": "[192.0.2.1]", "müller.example": "müller.example",
		"a b": "unknown", "a(b)": "unknown", "a;b": "unknown", "a\tb": "unknown", "\xff": "unknown", strings.Repeat("x", 300): "unknown",
	} {
		if got := traceName(in); got != want {
			t.Errorf("%q: got %q", in, got)
		}
	}
	if got := addressLiteral("2001:db8::1"); got != "[IPv6:2001:db8::1]" {
		t.Error(got)
	}
}
