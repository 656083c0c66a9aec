package message

import (
	"strings"
	"unicode/utf8"
)

// DecodeHeader undoes the encoded words of a header value (RFC 2047), for search and display. The value may be folded.
// Encoded words are recognised wherever they stand, since many programs put them where RFC 2047 §5 forbids them. Adjacent
// ones of one charset are joined before they are decoded, since many programs cut characters in two. Octets outside of
// them are read as UTF-8, as ISO-2022-JP if they have its escape sequences, or as Windows-1252.
func DecodeHeader(value string) string { return decodeHeader(value, "") }

// decodeHeader is DecodeHeader where octets that are no UTF-8 are in the given charset.
func decodeHeader(value, charset string) string {
	d := headerDecoder{charset: charset}
	for value != "" && !d.noEnd {
		i := strings.Index(value, "=?")
		if i < 0 {
			break
		}
		w, n := d.parseWord(value[i:])
		if n == 0 {
			d.plain(value[:i+2])
			value = value[i+2:]
			continue
		}
		d.plain(value[:i])
		d.word(w)
		value = value[i+n:]
	}
	d.plain(value)
	d.flush()
	d.out.WriteString(d.gap)
	return d.out.String()
}

// headerDecoder puts the pieces of a value together.
type headerDecoder struct {
	charset string
	out     strings.Builder
	pending encodedWord // one or more words, not yet decoded
	gap     string      // white space after pending; of no meaning if another word follows (RFC 2047 §6.2)
	noEnd   bool        // there is no "?=" in the rest of the value
}

type encodedWord struct {
	charset string
	text    []byte // transfer encoding undone; nil if there is no word
}

// maxCharset is the length of a charset's name, the language of RFC 2231 §5 included.
const maxCharset = 80

// parseWord reads the encoded word that s begins with, and its length; 0 if it is none. Spaces inside are tolerated.
func (d *headerDecoder) parseWord(s string) (encodedWord, int) {
	i := strings.IndexAny(s[2:min(len(s), 2+maxCharset)], "? \t\r\n")
	if i < 1 || s[2+i] != '?' {
		return encodedWord{}, 0
	}
	charset, _, _ := strings.Cut(s[2:2+i], "*")
	start := 2 + i + 3
	if len(s) < start || s[start-1] != '?' {
		return encodedWord{}, 0
	}
	decode := decodeQ
	switch s[start-2] {
	case 'B', 'b':
		decode = decodeB
	case 'Q', 'q':
	default:
		return encodedWord{}, 0
	}
	n := strings.Index(s[start:], "?=")
	if n < 0 {
		d.noEnd = true
		return encodedWord{}, 0
	}
	return encodedWord{lower(charset), decode(s[start : start+n])}, start + n + 2
}

func decodeB(s string) []byte {
	var d base64Decoder
	out := make([]byte, len(s)/4*3+6)
	n, _, _ := d.Transform(out, []byte(s), true) // out is large enough
	return out[:n]
}

func decodeQ(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '_':
			out = append(out, ' ')
		case c == '=' && i+2 < len(s) && hexValue(s[i+1])|hexValue(s[i+2]) < 16:
			out = append(out, hexValue(s[i+1])<<4|hexValue(s[i+2]))
			i += 2
		case c != '\r' && c != '\n':
			out = append(out, c)
		}
	}
	return out
}

func (d *headerDecoder) word(w encodedWord) {
	d.gap = ""
	if d.pending.text != nil && d.pending.charset == w.charset {
		d.pending.text = append(d.pending.text, w.text...)
		return
	}
	d.flush()
	d.pending = w
}

func (d *headerDecoder) flush() {
	if d.pending.text != nil {
		d.out.WriteString(decodeCharset(d.pending.charset, d.pending.text))
	}
	d.pending = encodedWord{}
}

// plain adds text that is not encoded.
func (d *headerDecoder) plain(s string) {
	s = unfold(s)
	if d.pending.text != nil && strings.Trim(s, " \t") == "" {
		d.gap += s
		return
	}
	d.flush()
	d.out.WriteString(d.gap)
	d.gap = ""
	switch {
	case isISO2022JP([]byte(s)):
		s = decodeCharset("iso-2022-jp", []byte(s))
	case !utf8.ValidString(s):
		s = decodeCharset(d.charset, []byte(s))
	}
	d.out.WriteString(s)
}

var lineEnds = strings.NewReplacer("\r", "", "\n", "")

func unfold(s string) string {
	if !strings.ContainsAny(s, "\r\n") {
		return s
	}
	return lineEnds.Replace(s)
}
