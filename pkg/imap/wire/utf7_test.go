package wire

import (
	"testing"
	"unicode/utf8"
)

func TestUTF7(t *testing.T) {
	t.Parallel()
	for name, code := range map[string]string{
		"":                   "",
		"INBOX":              "INBOX",
		"Tom & Jerry":        "Tom &- Jerry",
		"~peter/mail/台北/日本語": "~peter/mail/&U,BTFw-/&ZeVnLIqe-",
		"Entwürfe":           "Entw&APw-rfe",
		"&ü&":                "&-&APw-&-",
		"📬 in":               "&2D3c7A- in",
		"a\tb\x7f":           "a&AAk-b&AH8-",
	} {
		if got := EncodeUTF7(name); got != code {
			t.Errorf("EncodeUTF7(%q) = %q, want %q", name, got, code)
		}
		if got, err := DecodeUTF7(code); err != nil || got != name {
			t.Errorf("DecodeUTF7(%q) = %q, %v, want %q", code, got, err, name)
		}
	}
}

// TestUTF7Refused: each name has one spelling (RFC 3501 §5.1.3).
func TestUTF7Refused(t *testing.T) {
	t.Parallel()
	for _, code := range []string{
		"&", "a&b", "&AGE-", // "a" need not be encoded
		"&U,BTFw-&ZeVnLIqe-",             // two shifts where one does
		"&U,BTFx-", "&A-", "&AA-", "&=-", // not base64 of UTF-16
		"&2D0-", "&3Kw-", "&3KzYPQ-", "&2D0AYQ-", // half a pair
		"ü", "\x80", "a\n",
	} {
		if got, err := DecodeUTF7(code); err == nil {
			t.Errorf("DecodeUTF7(%q) = %q", code, got)
		}
	}
}

func FuzzUTF7(f *testing.F) {
	for _, s := range []string{"&U,BTFw-", "a&-b", "&2D3crA-", "Entwürfe", "&&", "&ZeVnLIqe-/&-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if name, err := DecodeUTF7(s); err == nil {
			if back := EncodeUTF7(name); back != s {
				t.Fatalf("%q is %q, which is %q", s, name, back)
			}
		}
		if !utf8.ValidString(s) {
			return
		}
		if name, err := DecodeUTF7(EncodeUTF7(s)); err != nil || name != s {
			t.Fatalf("%q became %q, %v", s, name, err)
		}
	})
}
