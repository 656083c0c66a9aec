package message

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestDecodeHeader(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":      "",
		"plain": "plain",
		// RFC 2047 §8
		"(=?ISO-8859-1?Q?a?=)":                                       "(a)",
		"(=?ISO-8859-1?Q?a?= b)":                                     "(a b)",
		"(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)":                    "(ab)",
		"(=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=)":                   "(ab)",
		"(=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=)":             "(ab)",
		"(=?ISO-8859-1?Q?a_b?=)":                                     "(a b)",
		"(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)":                   "(a b)",
		"=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>":              "Keith Moore <moore@cs.utk.edu>",
		"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=":          "If you can read this yo",
		"=?utf-8*en?q?=C3=BC?=":                                      "ü",
		"x=?utf-8?q?=C3=BC?=y =?utf-8?q?=C3=BC?=":                    "xüy ü",
		"=?utf-8?q?=C3?= =?utf-8?q?=BC?=":                            "ü",
		"=?utf-8?q?=C3?= x =?utf-8?q?=BC?=":                          "Ã x ¼",
		"=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=":                         "日本",
		"=?iso-2022-jp?B?GyRCRnw=?= =?ISO-2022-JP?B?S1wbKEI=?=":      "日本",
		"=?shift_jis?B?k/qWew==?= =?euc-jp?B?xvzL3A==?=":             "日本日本",
		"=?utf-8?B?5pel5pys?=":                                       "日本",
		"=?utf-8?B?5pel 5pys?=":                                      "日本",
		"=?utf-8?B?5pel5pys":                                         "=?utf-8?B?5pel5pys",
		"=?utf-8?X?abc?= =?utf-8?q?d?=":                              "=?utf-8?X?abc?= d",
		"=?utf-8?q??=":                                               "",
		"=? =?=?utf-8?q?a?=":                                         "=? =?a",
		"=?unknown?q?=E9=C3=A9?=":                                    "éé",
		"\xe9\xc3\xa9":                                               "éé",
		"folded\r\n value":                                           "folded value",
		"\x1b$BF|K\\\x1b(B":                                          "日本",
		"=?utf-8?q?a=ZZ=4?=":                                         "a=ZZ=4",
		"\"=?utf-8?q?=C3=BC?=\" <a@b>":                               "\"ü\" <a@b>",
		"=?utf-8?q?trailing?= \t":                                    "trailing \t",
		"=?utf-8?q?with space?= =?utf-8?q?!?=":                       "with space!",
		"=?" + strings.Repeat("x", 100) + "?q?a?=":                   "=?" + strings.Repeat("x", 100) + "?q?a?=",
		"=?gb2312?B?1tDOxA==?= =?koi8-r?Q?=F0?= =?big5?B?pKSk5Q==?=": "中文П中文",
	} {
		if got := DecodeHeader(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := decodeHeader("\x93\xfa\x96\x7b", "shift_jis"); got != "日本" {
		t.Errorf("raw octets in a known charset: %q", got)
	}
}

// TestDecodeHeaderLinear decodes what looks like encoded words and is none; time that grew with the square would not end.
func TestDecodeHeaderLinear(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"=?a?X? ", "=?a?q? ", "=?", "=?a?q?b?= ", "=?=?q?", "?=", "=?a?b", " =?utf-8?b?w6k=?=\r\n"} {
		long := strings.Repeat(s, 50_000)
		for _, end := range []string{"", "?="} {
			if got := DecodeHeader(long + end); len(got) > len(long)+2 {
				t.Errorf("%q: %d octets of %d", s, len(got), len(long))
			}
		}
	}
}

func FuzzEncodedWord(f *testing.F) {
	for _, s := range []string{"=?utf-8?q?=C3=BC?= x", "=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=\r\n =?utf-7?q?+AGE?=", "=?=?=?q?b?=?", "\x1b$B\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := DecodeHeader(s)
		if !utf8.ValidString(got) {
			t.Fatalf("%q gives %q", s, got)
		}
		if len(got) > 20*len(s) {
			t.Fatalf("%d octets give %d", len(s), len(got))
		}
		if !strings.ContainsAny(s, "=\x1b\r\n") && utf8.ValidString(s) && got != s {
			t.Fatalf("%q gives %q", s, got)
		}
		Fold(got)
	})
}
