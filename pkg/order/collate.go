package order

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Collate returns the form of s whose octets are compared: i;unicode-casemap (RFC 5051 §2). Each character becomes its title
// case, then what it decomposes into, in full and whatever the type of the decomposition; marks stay in the order in which
// they are written.
func Collate(s string) string {
	if collated(s) {
		return s
	}
	b := make([]byte, 0, len(s)+len(s)/4)
	var one [utf8.UTFMax]byte
	for _, r := range s {
		if r < utf8.RuneSelf {
			b = append(b, upperASCII(byte(r)))
			continue
		}
		char := utf8.AppendRune(one[:0], unicode.ToTitle(r))
		if parts := norm.NFKD.Properties(char).Decomposition(); parts != nil {
			b = append(b, parts...)
		} else {
			b = append(b, char...)
		}
	}
	return string(b)
}

// collated reports whether s is in its collated form for certain.
func collated(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || 'a' <= c && c <= 'z' {
			return false
		}
	}
	return true
}

func upperASCII(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - ('a' - 'A')
	}
	return c
}
