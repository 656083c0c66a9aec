package message

import (
	"encoding/binary"
	"slices"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"
)

// Fold brings text to the form in which it is compared: NFKC, case folded, runs of white space made one space. So "ABC"
// in full width finds "abc", and half-width katakana find katakana.
func Fold(s string) string {
	var f folder
	return string(f.append(nil, []byte(s)))
}

// folder folds a text in pieces, each of which ends at a boundary of normalisation.
type folder struct {
	space      bool // the last character was white space
	normalised []byte
	folded     []byte
}

// append adds the folded form of src to dst.
func (f *folder) append(dst, src []byte) []byte {
	dst = slices.Grow(dst, len(src))
	for len(src) > 0 {
		n := plainPrefix(src)
		dst = f.appendPlain(dst, src[:n])
		src = src[n:]
		n = otherPrefix(src)
		dst = f.appendOther(dst, src[:n])
		src = src[n:]
	}
	return dst
}

// isPlain tells the characters that neither normalisation nor case folding changes, ASCII and the wide space apart, and
// that combine with nothing before them: most of Japanese and Chinese text, which is worth the short way.
func isPlain(r rune) bool {
	return r < utf8.RuneSelf || 0x4e00 <= r && r <= 0x9fff || // ideographs
		0x3041 <= r && r <= 0x3096 || 0x30a1 <= r && r <= 0x30fa || r == 0x30fc || // kana
		0x3000 <= r && r <= 0x3002 // wide space, comma and full stop
}

// plainWide tells whether b begins with a wide plain character, which is three octets long. It is isPlain without decoding
// first, which is what folding Japanese text took most of its time for.
func plainWide(b []byte) bool {
	if len(b) < 3 || b[0] < 0xe3 || b[0] > 0xe9 || b[1]&0xc0 != 0x80 || b[2]&0xc0 != 0x80 {
		return false
	}
	return isPlain(rune(b[0]&0x0f)<<12 | rune(b[1]&0x3f)<<6 | rune(b[2]&0x3f))
}

// plainPrefix returns the length of the plain characters at the beginning of b. The last one before another is not
// counted: it may combine with that.
func plainPrefix(b []byte) int {
	last := 0
	for i := 0; i < len(b); {
		if b[i] < utf8.RuneSelf {
			i += asciiPrefix(b[i:])
			last = i - 1
			continue
		}
		if !plainWide(b[i:]) {
			return last
		}
		last = i
		i += 3
	}
	return len(b)
}

// worthwhile is how many octets of plain characters are worth leaving the long way for.
const worthwhile = 24

// otherPrefix returns the length of what is best not taken for plain at the beginning of b.
func otherPrefix(b []byte) int {
	plain := 0
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		i += n
		plain += n
		if !isPlain(r) {
			plain = 0
		}
		if plain >= worthwhile && i > plain {
			return i - plain
		}
	}
	return len(b)
}

// foldedASCII folds the octets of plain characters: white space is a space, and what is not ASCII stays.
var foldedASCII = func() (t [256]byte) {
	for i := range t {
		t[i] = lowerASCII(byte(i))
	}
	for c := '\t'; c <= '\r'; c++ {
		t[c] = ' '
	}
	return t
}()

// appendPlain folds plain characters, which none becomes longer by.
func (f *folder) appendPlain(dst, src []byte) []byte {
	n := len(dst)
	dst = slices.Grow(dst, len(src))[:n+len(src)]
	space := f.space
	for i := 0; i < len(src); i++ {
		c := src[i]
		if c >= utf8.RuneSelf {
			wide := src[i : i+3]
			i += 2
			if c != 0xe3 || wide[1] != 0x80 || wide[2] != 0x80 {
				to := dst[n : n+3]
				to[0], to[1], to[2] = c, wide[1], wide[2]
				n += 3
				space = false
				continue
			}
			c = ' ' // the wide space, U+3000
		}
		c = foldedASCII[c]
		if c == ' ' && space {
			continue
		}
		space = c == ' '
		dst[n] = c
		n++
	}
	f.space = space
	return dst[:n]
}

func (f *folder) appendSpace(dst []byte) []byte {
	if !f.space {
		dst = append(dst, ' ')
	}
	f.space = true
	return dst
}

// appendOther folds any characters.
func (f *folder) appendOther(dst, src []byte) []byte {
	if len(src) == 0 {
		return dst
	}
	f.normalised = norm.NFKC.Append(f.normalised[:0], src...)
	b, _, err := transform.Append(cases.Fold(), f.folded[:0], f.normalised)
	if err != nil { // it takes any input; but to find what is written is better than to find nothing
		b = f.normalised
	}
	f.folded = b
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch same := uniform(r); {
		case unicode.IsSpace(r):
			dst = f.appendSpace(dst)
		case same != r:
			dst = utf8.AppendRune(dst, same)
			f.space = false
		default:
			dst = append(dst, b[:n]...)
			f.space = false
		}
		b = b[n:]
	}
	return dst
}

// uniform makes those characters one that i;unicode-casemap holds for equal (RFC 5051) and the folding of cases does not: the
// dotless i, which has the title case of i, and the letters of Cherokee, whose cases it exchanges. And those that programs take
// for the same character of JIS X 0208, each for another: whoever looks for a wave dash types one of them, and the mail that is
// looked for may have come as the other.
func uniform(r rune) rune {
	switch {
	case r == 'ı':
		return 'i'
	case r == '〜': // U+301C; U+FF5E is normalised to it
		return '~'
	case r == '−': // U+2212; U+FF0D
		return '-'
	case r == '—': // U+2014
		return '―' // U+2015
	case r == '‖': // U+2016
		return '∥' // U+2225
	case 0xab70 <= r && r <= 0xabbf:
		return r - 0xab70 + 0x13a0
	case 0x13f8 <= r && r <= 0x13fd:
		return r - 8
	}
	return r
}

// asciiPrefix returns how many octets at the beginning of b are ASCII.
func asciiPrefix(b []byte) int {
	i := 0
	for len(b)-i >= 8 && binary.LittleEndian.Uint64(b[i:])&0x8080808080808080 == 0 {
		i += 8
	}
	for i < len(b) && b[i] < utf8.RuneSelf {
		i++
	}
	return i
}
