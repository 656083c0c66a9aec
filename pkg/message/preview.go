package message

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/transform"
)

// Bounds of a preview and of the work it is worth.
const (
	maxPreview     = 200      // characters (RFC 8970 §3.1)
	previewWindow  = 1 << 10  // octets of a text that are looked at first; four times as many when they say nothing
	maxPreviewRead = 64 << 10 // and at most: style sheets come first in HTML
	maxPreviewed   = 3        // texts that are tried
)

// MakePreview returns the beginning of what a message says, as RFC 8970 wants it: decoded, without quotes, in one line. It is
// empty for a message that says nothing that could be shown, an encrypted one in particular. The error is one of reading.
func (p *Part) MakePreview(body io.ReaderAt) (string, error) {
	w := previewers.Get().(*previewer)
	defer previewers.Put(w)
	for i, text := range p.previewable(nil) {
		if i == maxPreviewed {
			break
		}
		s, err := w.preview(text, body)
		if s != "" || err != nil {
			return s, err
		}
	}
	return "", nil
}

// previewable appends the texts that may say what the message is about, the likeliest first. It does not look into
// attachments, other messages, and what is encrypted (RFC 1847 §2.2).
func (p *Part) previewable(texts []*Part) []*Part {
	switch {
	case p.Disposition == "ATTACHMENT" || p.Subtype == "ENCRYPTED":
	case p.Type == "TEXT" && (p.Subtype == "PLAIN" || p.Subtype == "HTML"):
		return append(texts, p)
	case !p.isMultipart():
	default:
		from := len(texts)
		for _, c := range p.Children {
			if len(texts) > from+maxPreviewed {
				break
			}
			texts = c.previewable(texts)
		}
		if p.Subtype == "ALTERNATIVE" { // the plain one needs no guesses
			slices.SortStableFunc(texts[from:], func(a, b *Part) int { return strings.Compare(b.Subtype, a.Subtype) })
		}
	}
	return texts
}

// previewer is memory for making previews: they are made for every message that arrives.
type previewer struct {
	raw, a, b []byte
	line      oneLine
}

var previewers = sync.Pool{New: func() any { return new(previewer) }}

// preview reads as much of a text as it takes, most often a few lines.
func (w *previewer) preview(p *Part, body io.ReaderAt) (string, error) {
	for n := int64(previewWindow); ; n *= 4 {
		whole := p.End-p.Body <= n
		w.raw = slices.Grow(w.raw[:0], int(n))[:min(n, p.End-p.Body)]
		k, err := body.ReadAt(w.raw, p.Body)
		if k < len(w.raw) && !isEOF(err) {
			return "", err
		}
		w.raw = w.raw[:k]
		s, full := w.text(p, whole)
		if full || whole || n >= maxPreviewRead {
			return s, nil
		}
	}
}

// text makes a preview of the beginning of a text. full says that more octets would not change it.
func (w *previewer) text(p *Part, whole bool) (s string, full bool) {
	text := w.decode(p, whole)
	w.line.reset()
	switch {
	case p.Subtype == "HTML":
		w.line.add(text)
		return w.line.String(), w.line.full
	case !whole: // a line that is cut off may be one to leave out
		text = text[:bytes.LastIndexByte(text, '\n')+1]
	}
	ownWords(text, w.line.add)
	if len(w.line.b) == 0 && whole {
		w.line.reset()
		w.line.add(text) // better the words of others than none
	}
	if bytes.HasPrefix(w.line.b, []byte("-----BEGIN PGP MESSAGE")) {
		return "", true
	}
	return w.line.String(), w.line.full
}

// decode undoes transfer encoding, charset and HTML of what is in raw.
func (w *previewer) decode(p *Part, whole bool) []byte {
	text := w.raw
	switch p.Encoding {
	case "BASE64":
		text = w.transform(&base64Decoder{}, text, whole)
	case "QUOTED-PRINTABLE":
		text = w.transform(&quotedDecoder{}, text, whole)
	}
	charset := p.param("charset")
	if (charset == "" || lower(charset) == "us-ascii") && isISO2022JP(text) {
		charset = "iso-2022-jp"
	}
	text = w.transform(newCharset(charset), text, whole)
	if p.Subtype == "HTML" {
		text = w.transform(&htmlText{untitled: true}, text, whole)
	}
	return text
}

// transform returns what t makes of src, which may be in either buffer, in the other one; as far as it goes.
func (w *previewer) transform(t transform.Transformer, src []byte, whole bool) []byte {
	w.a, w.b = w.b, slices.Grow(w.a[:0], utf8.UTFMax*len(src)+2*maxEntity)
	w.b = w.b[:cap(w.b)]
	n, _, _ := t.Transform(w.b, src, whole) // what cannot be decoded is not shown
	return w.b[:n]
}

// ownWords says what is said in a text itself, until say has had enough: without quotes and the lines that introduce them,
// lines that are drawn, signatures and what follows them.
func ownWords(text []byte, say func(line []byte) bool) {
	var intro []byte // a line that may introduce a quote
	armor := false
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\r\n")
		bare := bytes.TrimSpace(line)
		switch {
		case armor:
			armor = len(bare) > 0
			continue
		case bytes.HasPrefix(bare, []byte("-----BEGIN PGP SIGNED")):
			armor = true // its headers, to the empty line
			continue
		case string(line) == "-- " || string(line) == "--" || isDivider(bare):
			say(intro)
			return
		case bytes.HasPrefix(bare, []byte(">")):
			intro = nil
			continue
		case len(bare) == 0 || isDrawn(bare):
			continue
		}
		say(intro)
		intro = nil
		if bytes.HasSuffix(bare, []byte(":")) || bytes.HasSuffix(bare, []byte("：")) {
			intro = bare
		} else if !say(bare) {
			return
		}
	}
	say(intro)
}

// isDivider tells the lines that programs put before a message to which another is the answer, and before a signature.
func isDivider(line []byte) bool {
	return bytes.HasPrefix(line, []byte("-----Original Message")) || bytes.HasPrefix(line, []byte("-----BEGIN PGP SIGNATURE"))
}

// isDrawn tells lines without a word.
func isDrawn(line []byte) bool {
	for _, c := range line {
		if strings.IndexByte("-=_*#~+.|/\\<> \t", c) < 0 {
			return false
		}
	}
	return len(line) > 2
}

// oneLine makes one line of a text, cut where a character that is seen ends: white space becomes a space, what is not seen
// goes. The zero value is ready.
type oneLine struct {
	b      []byte
	n, cut int // characters; octets before the last one that is seen and can be left out
	space  bool
	prev   rune
	flags  int
	full   bool // it had to be cut
}

func (l *oneLine) reset() { *l = oneLine{b: l.b[:0]} }

// String is the line.
func (l *oneLine) String() string { return string(l.b) }

// add adds a line, and reports whether there is room for another.
func (l *oneLine) add(line []byte) bool {
	l.space = l.n > 0
	for len(line) > 0 && !l.full {
		if n := l.plain(line); n > 0 {
			line = line[n:]
			continue
		}
		r, size := utf8.DecodeRune(line)
		line = line[size:]
		l.char(r)
	}
	return !l.full
}

// plain takes the rest of a word of printable ASCII, each of which is a character by itself: char would take several times as long.
func (l *oneLine) plain(line []byte) (n int) {
	if l.space {
		return 0
	}
	for n < len(line) && l.n+n < maxPreview && line[n] > ' ' && line[n] < 0x7f {
		n++
	}
	if n > 0 {
		l.cut = len(l.b) + n - 1
		l.b = append(l.b, line[:n]...)
		l.n, l.prev, l.flags = l.n+n, rune(line[n-1]), 0
	}
	return n
}

func (l *oneLine) char(r rune) {
	switch {
	case unicode.IsSpace(r):
		l.space = l.n > 0
		return
	case unseen(r) || r == zwnj && l.space:
		return
	}
	if r >= 0x1F1E6 && r <= 0x1F1FF { // two of them are a flag
		l.flags++
	} else {
		l.flags = 0
	}
	if l.space || !joins(l.prev, r) && (l.flags == 0 || l.flags%2 == 1) {
		l.cut = len(l.b)
	}
	if l.space {
		if l.n++; l.n < maxPreview {
			l.b = append(l.b, ' ')
		}
		l.space = false
	}
	if l.n++; l.n > maxPreview {
		if l.cut > 0 { // else one character of so many marks is none
			l.b = l.b[:l.cut]
		}
		l.b = bytes.TrimRight(l.b, " ")
		l.full = true
		return
	}
	l.b = utf8.AppendRune(l.b, r)
	l.prev = r
}

const (
	zwnj = '\u200c' // the zero width non-joiner: a letter in Persian, padding in advertisements
	zwj  = '\u200d' // the zero width joiner
)

// unseen tells characters that show nothing: controls, and what advertisements pad their first line with.
func unseen(r rune) bool {
	switch r {
	case '\u00ad', '\u034f', '\u061c', '\u200b', '\u200e', '\u200f', '\u2060', '\ufeff', '\ufffd':
		return true
	}
	return r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// joins tells whether r is seen as part of the character before it: roughly the extended grapheme clusters of UAX #29.
func joins(prev, r rune) bool {
	if r < 0x300 { // the first mark
		return false
	}
	return r == zwj || r == zwnj || prev == zwj && r > 0x2000 ||
		unicode.In(r, unicode.Mn, unicode.Me, unicode.Mc) ||
		r == 0xff9e || r == 0xff9f || // the voicing of narrow kana
		r >= 0x1f3fb && r <= 0x1f3ff || r >= 0xe0020 && r <= 0xe007f || // colours of skin, tags
		r >= 0x1160 && r <= 0x11ff // the rest of a syllable in Hangul
}
