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
type previewer struct{ raw, a, b []byte }

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
	if p.Subtype == "HTML" {
		return fold200(string(text))
	}
	if !whole { // a line that is cut off may be one to leave out
		text = text[:bytes.LastIndexByte(text, '\n')+1]
	}
	if s, full = fold200(ownWords(string(text))); s == "" && whole {
		s, full = fold200(string(text)) // better the words of others than none
	}
	if strings.HasPrefix(s, "-----BEGIN PGP MESSAGE") {
		return "", true
	}
	return s, full
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

// ownWords leaves out of a text what is not said in it: quotes and the lines that introduce them, lines that are drawn,
// signatures and what follows them.
func ownWords(text string) string {
	var own strings.Builder
	intro := "" // a line that may introduce a quote
	armor := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		bare := strings.TrimSpace(line)
		switch {
		case armor:
			armor = bare != ""
			continue
		case strings.HasPrefix(bare, "-----BEGIN PGP SIGNED"):
			armor = true // its headers, to the empty line
			continue
		case line == "-- " || line == "--" || isDivider(bare):
			own.WriteString(intro)
			return own.String()
		case strings.HasPrefix(bare, ">"):
			intro = ""
			continue
		case bare == "" || isDrawn(bare):
			continue
		}
		own.WriteString(intro)
		intro = ""
		if strings.HasSuffix(bare, ":") || strings.HasSuffix(bare, "：") {
			intro = bare + "\n"
			continue
		}
		own.WriteString(bare)
		own.WriteByte('\n')
	}
	own.WriteString(intro)
	return own.String()
}

// isDivider tells the lines that programs put before a message to which another is the answer, and before a signature.
func isDivider(line string) bool {
	return strings.HasPrefix(line, "-----Original Message") || strings.HasPrefix(line, "-----BEGIN PGP SIGNATURE")
}

// isDrawn tells lines without a word.
func isDrawn(line string) bool {
	return len(line) > 2 && strings.Trim(line, "-=_*#~+.|/\\<> \t") == ""
}

// fold200 makes one line of a text: white space becomes a space, what is not seen goes. It cuts it where a character that
// is seen ends; full says that it had to.
func fold200(text string) (s string, full bool) {
	var b strings.Builder
	n, cut := 0, 0 // characters; octets before the last one that is seen and can be left out
	space := false
	prev, flags := rune(0), 0
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
			space = n > 0
			continue
		case unseen(r) || r == zwnj && space:
			continue
		}
		if r >= 0x1F1E6 && r <= 0x1F1FF { // two of them are a flag
			flags++
		} else {
			flags = 0
		}
		if space || !joins(prev, r) && (flags == 0 || flags%2 == 1) {
			cut = b.Len()
		}
		if space {
			if n++; n < maxPreview {
				b.WriteByte(' ')
			}
			space = false
		}
		if n++; n > maxPreview {
			if cut == 0 {
				cut = b.Len() // one character of so many marks is none
			}
			return strings.TrimRight(b.String()[:cut], " "), true
		}
		b.WriteRune(r)
		prev = r
	}
	return b.String(), false
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
	return unicode.Is(unicode.Cc, r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// joins tells whether r is seen as part of the character before it: roughly the extended grapheme clusters of UAX #29.
func joins(prev, r rune) bool {
	return r == zwj || r == zwnj || prev == zwj && r > 0x2000 ||
		unicode.In(r, unicode.Mn, unicode.Me, unicode.Mc) ||
		r == 0xff9e || r == 0xff9f || // the voicing of narrow kana
		r >= 0x1f3fb && r <= 0x1f3ff || r >= 0xe0020 && r <= 0xe007f || // colours of skin, tags
		r >= 0x1160 && r <= 0x11ff // the rest of a syllable in Hangul
}
