package message

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// charsets are names that mail uses and no index has, or has for something else.
var charsets = map[string]encoding.Encoding{
	"iso-2022-jp-1":     japanese.ISO2022JP,
	"iso-2022-jp-2":     japanese.ISO2022JP,
	"iso-2022-jp-3":     japanese.ISO2022JP,
	"iso-2022-jp-ms":    japanese.ISO2022JP,
	"cp50220":           japanese.ISO2022JP,
	"cp50221":           japanese.ISO2022JP,
	"cp932":             japanese.ShiftJIS,
	"ms932":             japanese.ShiftJIS,
	"shift-jis":         japanese.ShiftJIS,
	"eucjp":             japanese.EUCJP,
	"eucjp-ms":          japanese.EUCJP,
	"cp936":             simplifiedchinese.GBK,
	"hz-gb-2312":        simplifiedchinese.HZGB2312,
	"utf-16":            unicode.UTF16(unicode.BigEndian, unicode.UseBOM),
	"utf-7":             utf7{},
	"unicode-1-1-utf-7": utf7{},
}

// newCharset returns a decoder of a charset to UTF-8. An unknown one, and none, counts as UTF-8; the octets that are no
// UTF-8 count as Windows-1252, which is what they mostly are.
func newCharset(name string) transform.Transformer {
	name = lower(strings.TrimSpace(name))
	if name == "" || name == "utf-8" || name == "us-ascii" {
		return lenientUTF8{}
	}
	e := lookupCharset(name)
	if e == nil || e == unicode.UTF8 {
		return lenientUTF8{}
	}
	return e.NewDecoder()
}

// lookupCharset finds a charset by its name in lower case, nil if there is none.
func lookupCharset(name string) encoding.Encoding {
	if e := charsets[name]; e != nil {
		return e
	}
	e, err := htmlindex.Get(name)
	if err != nil || e == encoding.Replacement {
		e, err = ianaindex.MIME.Encoding(name)
	}
	if err != nil || e == encoding.Replacement {
		return nil
	}
	return e
}

// KnownCharset reports whether text in the charset of that name can be read.
func KnownCharset(name string) bool { return lookupCharset(lower(name)) != nil }

// DecodeText returns text in UTF-8. ok is false if it is not in the charset, or the charset is not known. Other than in
// messages, where something must come of everything, nothing is guessed.
func DecodeText(charset, text string) (decoded string, ok bool) {
	e := lookupCharset(lower(charset))
	if e == nil {
		return "", false
	}
	if e == unicode.UTF8 || lower(charset) == "us-ascii" {
		return text, utf8.ValidString(text)
	}
	decoded, err := e.NewDecoder().String(text)
	return decoded, err == nil && !strings.ContainsRune(decoded, utf8.RuneError)
}

// decodeCharset returns text in UTF-8.
func decodeCharset(name string, text []byte) string {
	out, _, err := transform.Bytes(newCharset(name), text)
	if err != nil { // no decoder here gives errors for input; but it is not theirs to decide what can be found
		out, _, _ = transform.Bytes(lenientUTF8{}, text)
	}
	return string(out)
}

// charsetReader decodes a body to UTF-8. Japanese mail was long sent without naming its charset, but its escape
// sequences are plain enough.
func charsetReader(name string, r io.Reader) io.Reader {
	s := newStage(r, nil)
	if (name == "" || lower(name) == "us-ascii") && isISO2022JP(s.peek(scanBuffer)) {
		name = "iso-2022-jp"
	}
	s.t = newCharset(name)
	return s
}

func isISO2022JP(b []byte) bool { return bytes.Contains(b, []byte("\x1b$")) }

// lenientUTF8 is a transform.Transformer that makes any octets UTF-8.
type lenientUTF8 struct{ transform.NopResetter }

// Transform implements transform.Transformer.
func (lenientUTF8) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if n := validPrefix(src[nSrc:min(len(src), nSrc+len(dst)-nDst)]); n > 0 {
			nDst += copy(dst[nDst:], src[nSrc:nSrc+n])
			nSrc += n
			continue
		}
		if len(dst)-nDst < utf8.UTFMax {
			return nDst, nSrc, transform.ErrShortDst
		}
		if !atEOF && !utf8.FullRune(src[nSrc:]) {
			return nDst, nSrc, transform.ErrShortSrc
		}
		r, size := utf8.DecodeRune(src[nSrc:])
		if r == utf8.RuneError && size == 1 {
			r = charmap.Windows1252.DecodeByte(src[nSrc])
		}
		nDst += utf8.EncodeRune(dst[nDst:], r)
		nSrc += size
	}
	return nDst, nSrc, nil
}

// validPrefix returns the length of some valid UTF-8 at the beginning of b: all of it but a character that is cut off, or
// else the ASCII.
func validPrefix(b []byte) int {
	n := len(b)
	for i := n - 1; i >= 0 && i >= n-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				n = i
			}
			break
		}
	}
	if utf8.Valid(b[:n]) {
		return n
	}
	return asciiPrefix(b)
}
