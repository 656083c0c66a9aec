package message

import (
	"io"

	"golang.org/x/text/transform"
)

// Decoded returns the content of a part with its transfer encoding undone (BINARY, RFC 3516), streaming. ErrNoSection,
// ErrEncoding. An empty path is the whole message as it is. Errors in the encoding are no errors: what can be decoded is.
// The reader reads from body, which must stay readable as long as the reader is used.
func (p *Part) Decoded(body io.ReaderAt, path []int) (io.Reader, error) {
	if len(path) == 0 {
		return section(body, p.Header, p.End), nil
	}
	part := p.Find(path)
	if part == nil {
		return nil, ErrNoSection
	}
	r := section(body, part.Body, part.End)
	if len(part.Children) > 0 { // RFC 2045 §6.4: a container has no encoding of its own
		return r, nil
	}
	return decodeTransfer(part.Encoding, r)
}

// decodeTransfer undoes a content-transfer-encoding (RFC 2045 §6), in upper case.
func decodeTransfer(encoding string, r io.Reader) (io.Reader, error) {
	switch encoding {
	case "7BIT", "8BIT", "BINARY":
		return r, nil
	case "BASE64":
		return newStage(r, &base64Decoder{}), nil
	case "QUOTED-PRINTABLE":
		return newStage(r, &quotedDecoder{}), nil
	default:
		return nil, ErrEncoding
	}
}

// base64Decoder is a transform.Transformer. It skips what is not base64, and goes on after padding: some programs encode
// in pieces and join them.
type base64Decoder struct {
	bits uint32
	n    int // characters in bits
}

// Reset implements transform.Transformer.
func (d *base64Decoder) Reset() { *d = base64Decoder{} }

// Transform implements transform.Transformer.
func (d *base64Decoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if len(dst)-nDst < 3 {
			return nDst, nSrc, transform.ErrShortDst
		}
		if d.n == 0 && len(src)-nSrc >= 4 {
			s := src[nSrc : nSrc+4]
			a, b, c, e := base64Values[s[0]], base64Values[s[1]], base64Values[s[2]], base64Values[s[3]]
			if a|b|c|e < 64 {
				bits := uint32(a)<<18 | uint32(b)<<12 | uint32(c)<<6 | uint32(e)
				dst[nDst], dst[nDst+1], dst[nDst+2] = byte(bits>>16), byte(bits>>8), byte(bits)
				nDst += 3
				nSrc += 4
				continue
			}
		}
		nDst += d.octet(dst[nDst:], src[nSrc])
		nSrc++
	}
	if atEOF {
		if len(dst)-nDst < 3 {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += d.flush(dst[nDst:])
	}
	return nDst, nSrc, nil
}

// octet takes one character and returns how many octets came of it.
func (d *base64Decoder) octet(dst []byte, c byte) int {
	v := base64Values[c]
	switch {
	case c == '=':
		return d.flush(dst)
	case v >= 64:
		return 0
	}
	d.bits = d.bits<<6 | uint32(v)
	if d.n++; d.n < 4 {
		return 0
	}
	dst[0], dst[1], dst[2] = byte(d.bits>>16), byte(d.bits>>8), byte(d.bits)
	d.bits, d.n = 0, 0
	return 3
}

// flush writes what an incomplete group of characters holds.
func (d *base64Decoder) flush(dst []byte) int {
	bits, n := d.bits, d.n
	d.bits, d.n = 0, 0
	switch n {
	case 2:
		dst[0] = byte(bits >> 4)
		return 1
	case 3:
		dst[0], dst[1] = byte(bits>>10), byte(bits>>2)
		return 2
	}
	return 0
}

var base64Values = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = byte(i)
	}
	return t
}()

// maxPadding is how much white space at the end of a line is recognised as padding.
const maxPadding = 1000

// quotedDecoder is a transform.Transformer for quoted-printable (RFC 2045 §6.7). What is no escape is kept as it is.
type quotedDecoder struct{ transform.NopResetter }

// Transform implements transform.Transformer.
func (d *quotedDecoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		out, n, err := quotedNext(src[nSrc:], atEOF)
		if err != nil {
			return nDst, nSrc, err
		}
		if len(out) > len(dst)-nDst {
			if n != len(out) || nDst == len(dst) { // an escape is not divided
				return nDst, nSrc, transform.ErrShortDst
			}
			out = out[:len(dst)-nDst]
			n = len(out)
		}
		nDst += copy(dst[nDst:], out)
		nSrc += n
	}
	return nDst, nSrc, nil
}

// quotedNext decodes the beginning of src: n octets, which give out.
func quotedNext(src []byte, atEOF bool) (out []byte, n int, err error) {
	switch src[0] {
	case '=':
		return quotedEscape(src, atEOF)
	case ' ', '\t':
		end, eol, known := padding(src, 0, atEOF)
		if !known {
			return nil, 0, transform.ErrShortSrc
		}
		if eol { // rule 3: white space at the end of a line was added in transport
			return nil, end, nil
		}
		return src[:end], end, nil
	}
	for n < len(src) && src[n] != '=' && src[n] != '\t' {
		if src[n] == ' ' && (n+1 == len(src) || src[n+1] <= ' ') { // it may be at the end of a line
			break
		}
		n++
	}
	return src[:n], n, nil
}

func quotedEscape(src []byte, atEOF bool) (out []byte, n int, err error) {
	if len(src) < 3 && !atEOF {
		return nil, 0, transform.ErrShortSrc
	}
	if len(src) >= 3 {
		if hi, lo := hexValue(src[1]), hexValue(src[2]); hi|lo < 16 {
			v := int(hi)<<4 | int(lo)
			return octets[v : v+1 : v+1], 3, nil
		}
	}
	end, eol, known := padding(src, 1, atEOF)
	switch {
	case !known:
		return nil, 0, transform.ErrShortSrc
	case !eol:
		return src[:1], 1, nil
	}
	if end < len(src) && src[end] == '\r' {
		end++
	}
	if end < len(src) && src[end] == '\n' {
		end++
	}
	return nil, end, nil
}

// octets are all there are, so that one of them is a slice without memory of its own.
var octets = func() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
	}
	return t
}()

// padding finds the end of the white space at i, and whether a line ends there. That is not known when src ends first.
func padding(src []byte, i int, atEOF bool) (end int, eol, known bool) {
	for i < len(src) && i < maxPadding && (src[i] == ' ' || src[i] == '\t') {
		i++
	}
	rest := src[i:]
	switch {
	case len(rest) == 0 && i < maxPadding:
		return i, true, atEOF
	case len(rest) == 0:
		return i, false, true
	case rest[0] == '\r' && len(rest) == 1:
		return i, false, atEOF
	}
	return i, rest[0] == '\n' || rest[0] == '\r' && rest[1] == '\n', true
}

// hexValue is the value of a hexadecimal digit in either case, 255 for another octet.
func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}
