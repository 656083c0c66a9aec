// The charsets of search strings (RFC 3501 §6.4.4).

package imap

import (
	"strings"
	"unicode/utf8"

	"postern/pkg/imap/wire"
	"postern/pkg/message"
	"postern/pkg/store"
)

// errCharset refuses a charset that is not known, and lists some that are (RFC 3501 §7.1).
var errCharset = refusal{
	code: "BADCHARSET (US-ASCII UTF-8 ISO-8859-1 ISO-8859-2 ISO-8859-15 WINDOWS-1251 WINDOWS-1252 KOI8-R " +
		"ISO-2022-JP SHIFT_JIS EUC-JP GB18030 BIG5 EUC-KR)",
	text: "That charset is not known.",
}

// parseCharset reads the name of a charset. errCharset if it is not known: what follows cannot be read then.
func parseCharset(d *wire.Decoder) (string, error) {
	name := d.AString()
	if d.Err() == nil && !message.KnownCharset(name) {
		return "", errCharset
	}
	return name, nil
}

// parseProgram reads the keys that make up the rest of a search, the first of which begins with word. Their strings are in
// the charset given; empty means that none was, which is often UTF-8: clients send it quoted and raw.
func parseProgram(d *wire.Decoder, charset, word string) store.Criteria {
	var c store.Criteria
	r := keyReader{d: d}
	r.key(&c, word, 0)
	for d.TrySP() {
		r.key(&c, firstWord(d), 0)
	}
	if why := excess(&c); why != "" {
		d.Fail("%s", why)
	}
	if charset != "" && !strings.EqualFold(charset, "US-ASCII") && !strings.EqualFold(charset, "UTF-8") && usesFilters(&c) {
		d.Fail("filters in UTF-8 only") // RFC 5466 §3.1
	}
	if charset == "" || strings.EqualFold(charset, "US-ASCII") {
		charset = "UTF-8"
	}
	eachText(&c, func(s *string) {
		text, ok := message.DecodeText(charset, *s)
		if !ok || strings.ContainsRune(text, 0) || !utf8.ValidString(text) {
			d.Fail("text in the charset named before this")
		}
		*s = text
	})
	return c
}

// eachText calls do for every string that is searched for.
func eachText(c *store.Criteria, do func(*string)) {
	for i := range c.Header {
		do(&c.Header[i].Key)
		do(&c.Header[i].Value)
	}
	for i := range c.Body {
		do(&c.Body[i])
	}
	for i := range c.Text {
		do(&c.Text[i])
	}
	each(c, func(c *store.Criteria) { eachText(c, do) })
}

// each calls do for the criteria directly inside c.
func each(c *store.Criteria, do func(*store.Criteria)) {
	for i := range c.Not {
		do(&c.Not[i])
	}
	for i := range c.Or {
		do(&c.Or[i][0])
		do(&c.Or[i][1])
	}
	for i := range c.Fuzzy {
		do(&c.Fuzzy[i])
	}
}
