package message

import (
	"bytes"
	"html"
	"strings"

	"golang.org/x/text/transform"
)

// htmlText is a transform.Transformer from HTML, in UTF-8, to the text that a reader sees: tags, comments, scripts and
// styles go, entities are undone. It is a scanner, not a parser: it needs no more memory for bad HTML than for good, which
// a tokenizer that holds whole tokens cannot promise.
type htmlText struct {
	state htmlState
	quote byte   // in a tag: the quote that is open
	tag   string // in a tag: its name, in lower case, if its content is hidden
	// untitled hides the title, which is not in the text.
	untitled bool
}

type htmlState int

const (
	htmlPlain htmlState = iota
	htmlTag
	htmlComment
	htmlHidden // the content of script or style
)

const (
	maxTagName = 12 // of those that matter
	maxEntity  = 40 // "&CounterClockwiseContourIntegral;" is the longest
)

// inlineTags do not divide words; all others do.
var inlineTags = map[string]bool{
	"a": true, "abbr": true, "acronym": true, "b": true, "bdi": true, "bdo": true, "big": true, "cite": true, "code": true,
	"del": true, "dfn": true, "em": true, "font": true, "i": true, "ins": true, "kbd": true, "label": true, "mark": true,
	"o:p": true, "q": true, "s": true, "samp": true, "small": true, "span": true, "strike": true, "strong": true,
	"sub": true, "sup": true, "time": true, "tt": true, "u": true, "var": true, "wbr": true,
}

// Reset implements transform.Transformer.
func (t *htmlText) Reset() { *t = htmlText{untitled: t.untitled} }

// Transform implements transform.Transformer.
func (t *htmlText) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		var d, s int
		switch t.state {
		case htmlTag:
			s = t.inTag(src[nSrc:])
		case htmlComment:
			s, err = t.until(src[nSrc:], "-->", atEOF)
		case htmlHidden:
			s, err = t.until(src[nSrc:], "</"+t.tag, atEOF)
		default:
			d, s, err = t.plain(dst[nDst:], src[nSrc:], atEOF)
		}
		nDst += d
		nSrc += s
		if err != nil {
			return nDst, nSrc, err
		}
	}
	return nDst, nSrc, nil
}

// plain takes a run of text, an entity or the beginning of a tag.
func (t *htmlText) plain(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	if len(dst) < maxEntity {
		return 0, 0, transform.ErrShortDst
	}
	switch src[0] {
	case '<':
		return t.beginTag(dst, src, atEOF)
	case '&':
		return entity(dst, src, atEOF)
	}
	n := bytes.IndexAny(src[:min(len(src), len(dst))], "<&")
	if n < 0 {
		n = min(len(src), len(dst))
	}
	return copy(dst, src[:n]), n, nil
}

// entity decodes a character reference; what is none is text.
func entity(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	n := 1
	for n < len(src) && n < maxEntity && (src[n] == '#' || isAlnum(src[n])) {
		n++
	}
	if n == len(src) && n < maxEntity && !atEOF {
		return 0, 0, transform.ErrShortSrc
	}
	if n < len(src) && src[n] == ';' {
		n++
	}
	return copy(dst, html.UnescapeString(string(src[:n]))), n, nil
}

// beginTag reads the name of a tag. A "<" that begins none is text.
func (t *htmlText) beginTag(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	n := 1
	for n < len(src) && n <= maxTagName && (isAlnum(src[n]) || strings.IndexByte("/!?-:", src[n]) >= 0) {
		n++
	}
	if n == len(src) && n <= maxTagName && !atEOF {
		return 0, 0, transform.ErrShortSrc
	}
	name := lower(string(src[1:n]))
	if strings.HasPrefix(name, "!--") {
		t.state = htmlComment
		return 0, len("<!--"), nil
	}
	if name == "" || strings.IndexByte("0123456789-:", name[0]) >= 0 {
		dst[0] = '<'
		return 1, 1, nil
	}
	t.state, t.quote, t.tag = htmlTag, 0, ""
	if name == "script" || name == "style" || t.untitled && name == "title" {
		t.tag = name
	}
	if inlineTags[strings.Trim(name, "/")] {
		return 0, n, nil
	}
	dst[0] = ' '
	return 1, n, nil
}

// inTag goes to the end of a tag.
func (t *htmlText) inTag(src []byte) int {
	for i, c := range src {
		switch {
		case t.quote != 0:
			if c == t.quote {
				t.quote = 0
			}
		case c == '"' || c == '\'':
			t.quote = c
		case c == '>':
			t.state = htmlPlain
			if t.tag != "" {
				t.state = htmlHidden
			}
			return i + 1
		}
	}
	return len(src)
}

// until goes behind a comment, or to the tag that ends hidden content.
func (t *htmlText) until(src []byte, end string, atEOF bool) (int, error) {
	for i := 0; ; i++ {
		j := bytes.IndexByte(src[i:], end[0])
		if j < 0 {
			return len(src), nil
		}
		i += j
		switch rest := src[i:]; {
		case len(rest) < len(end):
			if atEOF {
				return len(src), nil
			}
			return i, transform.ErrShortSrc
		case lower(string(rest[:len(end)])) != end:
			continue
		case t.state == htmlComment:
			t.state = htmlPlain
			return i + len(end), nil
		}
		t.state, t.tag = htmlPlain, ""
		return i, nil
	}
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
