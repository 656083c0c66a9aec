package message

import (
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
	if n := asciiPrefix(src); n == len(src) {
		return f.appendASCII(dst, src)
	}
	f.normalised = norm.NFKC.Append(f.normalised[:0], src...)
	b, _, err := transform.Append(cases.Fold(), f.folded[:0], f.normalised)
	if err != nil { // it takes any input; but to find what is written is better than to find nothing
		b = f.normalised
	}
	f.folded = b
	for len(b) > 0 {
		if n := asciiPrefix(b); n > 0 {
			dst = f.appendASCII(dst, b[:n])
			b = b[n:]
			continue
		}
		r, n := utf8.DecodeRune(b)
		if unicode.IsSpace(r) {
			dst = f.appendASCII(dst, []byte{' '})
		} else {
			dst = append(dst, b[:n]...)
			f.space = false
		}
		b = b[n:]
	}
	return dst
}

func (f *folder) appendASCII(dst, src []byte) []byte {
	for _, c := range src {
		if c == ' ' || '\t' <= c && c <= '\r' {
			if !f.space {
				dst = append(dst, ' ')
			}
			f.space = true
			continue
		}
		f.space = false
		dst = append(dst, lowerASCII(c))
	}
	return dst
}

// asciiPrefix returns how many octets at the beginning of b are ASCII.
func asciiPrefix(b []byte) int {
	for i, c := range b {
		if c >= utf8.RuneSelf {
			return i
		}
	}
	return len(b)
}
