package message

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// decodedParams returns the values of the parameters that are written as RFC 2231 has it, in UTF-8: percent signs undone and
// what was divided put together again. Others are left out.
func decodedParams(params []Param) []string {
	pieces := make(map[string][]paramPiece)
	var names []string
	for _, a := range params {
		name, piece, ok := parsePiece(a)
		if !ok {
			continue
		}
		if pieces[name] == nil {
			names = append(names, name)
		}
		pieces[name] = append(pieces[name], piece)
	}
	values := make([]string, len(names))
	for i, name := range names {
		values[i] = joinPieces(pieces[name])
	}
	return values
}

// paramPiece is one of the parts a value was divided into, or all of it.
type paramPiece struct {
	place    int
	value    string
	extended bool // it has percent signs and, if it is the first, names its charset
}

// parsePiece understands the names "x*", "x*0" and "x*0*" (RFC 2231 §3, §4.1).
func parsePiece(a Param) (name string, p paramPiece, ok bool) {
	name, rest, ok := strings.Cut(a.Name, "*")
	if !ok || rest == "" {
		return name, paramPiece{value: a.Value, extended: true}, ok
	}
	digits, extended := strings.CutSuffix(rest, "*")
	place, err := strconv.Atoi(digits)
	return name, paramPiece{place: place, value: a.Value, extended: extended}, err == nil
}

func joinPieces(pieces []paramPiece) string {
	slices.SortStableFunc(pieces, func(a, b paramPiece) int { return cmp.Compare(a.place, b.place) })
	charset := ""
	if first := &pieces[0]; first.extended {
		if name, rest, ok := strings.Cut(first.value, "'"); ok {
			_, text, _ := strings.Cut(rest, "'") // after the language
			charset, first.value = name, text
		}
	}
	var text []byte
	for _, p := range pieces {
		if p.extended {
			text = appendUnescaped(text, p.value)
			continue
		}
		text = append(text, p.value...)
	}
	return decodeCharset(charset, text)
}

// appendUnescaped undoes "%41" (RFC 2231 §4).
func appendUnescaped(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && hexValue(s[i+1])|hexValue(s[i+2]) < 16 {
			b = append(b, hexValue(s[i+1])<<4|hexValue(s[i+2]))
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return b
}
