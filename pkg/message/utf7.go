package message

import (
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"
)

// utf7 is the charset of RFC 2152, which some old mail is written in. It only decodes.
type utf7 struct{}

// NewDecoder implements encoding.Encoding.
func (utf7) NewDecoder() *encoding.Decoder { return &encoding.Decoder{Transformer: &utf7Decoder{}} }

// NewEncoder implements encoding.Encoding.
func (utf7) NewEncoder() *encoding.Encoder { return encoding.Nop.NewEncoder() }

type utf7Decoder struct {
	shifted bool // between "+" and the end of its base64
	empty   bool // nothing has come since the "+"
	bits    uint32
	n       int  // bits in bits
	high    rune // a surrogate that waits for its second half
}

// Reset implements transform.Transformer.
func (d *utf7Decoder) Reset() { *d = utf7Decoder{} }

// Transform implements transform.Transformer.
func (d *utf7Decoder) Transform(dst, src []byte, _ bool) (nDst, nSrc int, err error) {
	for ; nSrc < len(src); nSrc++ {
		if len(dst)-nDst < 2*utf8.UTFMax {
			return nDst, nSrc, transform.ErrShortDst
		}
		c := src[nSrc]
		switch {
		case d.shifted:
			nDst += d.base64(dst[nDst:], c)
		case c == '+':
			*d = utf7Decoder{shifted: true, empty: true}
		default:
			nDst += utf8.EncodeRune(dst[nDst:], rune(c))
		}
	}
	return nDst, nSrc, nil
}

// base64 takes a character after "+".
func (d *utf7Decoder) base64(dst []byte, c byte) int {
	v := base64Values[c]
	if v >= 64 {
		d.shifted = false
		switch {
		case c == '-' && d.empty:
			dst[0] = '+'
			return 1
		case c == '-':
			return 0
		}
		return utf8.EncodeRune(dst, rune(c))
	}
	d.empty = false
	d.bits, d.n = d.bits<<6|uint32(v), d.n+6
	if d.n < 16 {
		return 0
	}
	d.n -= 16
	return d.unit(dst, rune(d.bits>>d.n&0xffff))
}

// unit takes a unit of UTF-16.
func (d *utf7Decoder) unit(dst []byte, u rune) int {
	high := d.high
	d.high = 0
	switch {
	case high != 0:
		return utf8.EncodeRune(dst, utf16.DecodeRune(high, u))
	case utf16.IsSurrogate(u):
		d.high = u
		return 0
	}
	return utf8.EncodeRune(dst, u)
}
