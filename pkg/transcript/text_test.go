package transcript

import "testing"

func TestEscape(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"plain\ttext":      "plain\ttext",
		"Grüße 日本語":        "Grüße 日本語",
		"a\x00b\r":         `a\x00b\x0d`,
		"gr\xfcn":          `gr\xfcn`,
		"日 and \xff":       `\xe6\x97\xa5 and \xff`,
		"\u200b":           `\xe2\x80\x8b`,
		"back\\slash \x7f": `back\slash \x7f`,
	} {
		if got := escape(s); got != want {
			t.Errorf("escape(%q) = %s, want %s", s, got, want)
		}
		if got := unescape(want); got != s {
			t.Errorf("unescape(%s) = %q, want %q", want, got, s)
		}
	}
}

func TestSections(t *testing.T) {
	t.Parallel()
	script, found := sections([]string{"C1: a", "", "-- 1.eml --", `one\x00`, `two\c`, "-- 2.eml --", "three", ""})
	if script != 2 || found["1.eml"] != "one\x00\r\ntwo" || found["2.eml"] != "three\r\n" {
		t.Errorf("got %d, %q", script, found)
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	p := &Play{captured: make(map[string]string)}
	for _, row := range []struct {
		want, got string
		matches   bool
	}{
		{"+OK", "+OK", true},
		{"+OK", "+OK more", false},
		{"+OK…", "+OK more", true},
		{"1 $uid 3", "1 22 3", true},
		{"$uid", "22", true},
		{"$uid", "23", false},
		{"$_ $_", "a b", true},
		{"a.c", "abc", false},
	} {
		if got := p.matches(row.want, row.got); got != row.matches {
			t.Errorf("%q against %q: %v", row.want, row.got, got)
		}
	}
}
