package wire

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrUTF7 is returned for what is not modified UTF-7.
var ErrUTF7 = errors.New("not modified UTF-7")

// utf7 is the base64 of modified UTF-7, without padding (RFC 3501 §5.1.3).
var utf7 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").
	WithPadding(base64.NoPadding).Strict()

// EncodeUTF7 encodes UTF-8 as modified UTF-7 (RFC 3501 §5.1.3).
func EncodeUTF7(s string) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	for s != "" {
		n := 0
		for n < len(s) && isPrintable(s[n]) {
			n++
		}
		b.WriteString(strings.ReplaceAll(s[:n], "&", "&-"))
		s = s[n:]
		for n = 0; n < len(s) && !isPrintable(s[n]); {
			n++
		}
		if n > 0 {
			b.WriteByte('&')
			b.WriteString(utf7.EncodeToString(utf16BE(s[:n])))
			b.WriteByte('-')
		}
		s = s[n:]
	}
	return b.String()
}

func isPlain(s string) bool {
	for i := range len(s) {
		if !isPrintable(s[i]) || s[i] == '&' {
			return false
		}
	}
	return true
}

func isPrintable(b byte) bool { return b >= 0x20 && b < 0x7f }

func utf16BE(s string) []byte {
	var b []byte
	for _, r := range s {
		if r1, r2 := utf16.EncodeRune(r); r1 != utf8.RuneError {
			b = append(b, byte(r1>>8), byte(r1), byte(r2>>8), byte(r2))
			continue
		}
		b = append(b, byte(r>>8), byte(r))
	}
	return b
}

// DecodeUTF7 decodes modified UTF-7. It accepts one spelling of each name only, that of EncodeUTF7, as RFC 3501 §5.1.3
// demands.
func DecodeUTF7(s string) (string, error) {
	if isPlain(s) {
		return s, nil
	}
	var b strings.Builder
	shifted := false // the last thing was encoded
	for s != "" {
		i := strings.IndexByte(s, '&')
		if i < 0 {
			i = len(s)
		}
		if !isPlain(s[:i]) {
			return "", ErrUTF7
		}
		b.WriteString(s[:i])
		if s = s[i:]; s == "" {
			break
		}
		code, rest, ok := strings.Cut(s[1:], "-")
		if !ok {
			return "", ErrUTF7
		}
		if s = rest; code == "" {
			b.WriteByte('&')
			shifted = false
			continue
		}
		if shifted && i == 0 {
			return "", ErrUTF7 // two where one would do
		}
		text, err := decodeShift(code)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
		shifted = true
	}
	return b.String(), nil
}

// decodeShift decodes what stands between "&" and "-".
func decodeShift(code string) (string, error) {
	p, err := utf7.DecodeString(code)
	if err != nil || len(p)%2 != 0 || !isPlain(code) { // the decoder passes over line ends
		return "", ErrUTF7
	}
	var b strings.Builder
	for i := 0; i < len(p); i += 2 {
		r := rune(p[i])<<8 | rune(p[i+1])
		if utf16.IsSurrogate(r) {
			if i += 2; i >= len(p) {
				return "", ErrUTF7
			}
			r = utf16.DecodeRune(r, rune(p[i])<<8|rune(p[i+1]))
			if r == utf8.RuneError {
				return "", ErrUTF7
			}
		}
		if r < 0x7f && isPrintable(byte(r)) {
			return "", ErrUTF7
		}
		b.WriteRune(r)
	}
	return b.String(), nil
}
