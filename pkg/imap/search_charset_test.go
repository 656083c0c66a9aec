package imap

import (
	"errors"
	"testing"
)

func TestParseSearchCharset(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		" CHARSET ISO-2022-JP SUBJECT {10}\r\n\x1b$BF|K\\\x1b(B": `Subject="日本"`,
		" CHARSET ISO-2022-JP SUBJECT \"\x1b$BF|K\\\\\x1b(B\"":   `Subject="日本"`,
		" CHARSET Shift_JIS BODY {4}\r\n\x93\xfa\x96\x7b":        `body="日本"`,
		" CHARSET EUC-JP NOT TEXT \"\xc6\xfc\xcb\xdc\"":          `!(text="日本")`,
		" CHARSET iso-8859-1 OR TEXT \"\xe9\" TO \"\xe8\"":       `(text="é" | To="è")`,
		" CHARSET KOI8-R ALL":                                    ``,
		" CHARSET US-ASCII BODY \"é\"":                           `body="é"`, // as clients do
	} {
		if r, err := parseSearch(decoderOf(line), 0); err != nil || r.refusal != nil || r.describe() != want {
			t.Errorf("SEARCH%q: %s, %v, %v, want %s", line, r.describe(), r.refusal, err, want)
		}
	}
	for _, line := range []string{
		" CHARSET UTF-8 BODY \"\xff\"", " CHARSET EUC-JP BODY \"\xff\xff\"", " CHARSET UTF-16 BODY {2}\r\n\xd8\x00",
		" CHARSET ISO-8859-1 HEADER X {1}\r\n\x00",
	} {
		if r, err := parseSearch(decoderOf(line), 0); err == nil {
			t.Errorf("SEARCH%q: %s, want an error", line, r.describe())
		}
	}
	d := decoderOf(" CHARSET X-NONE SUBJECT {3}\r\nabc")
	if r, err := parseSearch(d, 0); err != nil || !errors.Is(r.refusal, errCharset) {
		t.Errorf("%v, %v, want %v", r.refusal, err, errCharset)
	}
	if err := d.Err(); err != nil {
		t.Errorf("the command was not read to its end: %v", err)
	}
}
