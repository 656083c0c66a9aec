package imap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"

	"postern/pkg/imap/wire"
	"postern/pkg/message"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// opener is an item made of a message's octets. It is opened before the response begins, so that a message that cannot be
// read fails alone and nothing has been said of it: a literal that has been announced cannot be taken back.
type opener interface {
	item
	open(m *store.Message, w *windows) (content, error)
	marksSeen() bool // reading it sets \Seen (RFC 3501 §6.4.5)
}

// content is an item's octets, ready to be sent.
type content struct {
	label   string // "BODY[1]<0>"
	r       io.Reader
	size    int64
	binary  bool    // may hold NUL: a literal8
	missing bool    // there is no such section: NIL
	number  bool    // the size is all that was asked for
	text    *string // instead of octets
}

func (x content) write(e *wire.Encoder) {
	e.Atom(x.label).SP()
	switch {
	case x.text != nil:
		e.String(*x.text)
	case x.number:
		e.Number64(x.size)
	case x.missing:
		e.NIL()
	case x.binary:
		e.Literal8(x.size, x.r)
	default:
		e.Literal(x.size, x.r)
	}
}

// failure is why the octets ended early.
func (x content) failure() error {
	if s, ok := x.r.(*source); ok {
		return s.err
	}
	return nil
}

// source remembers why reading failed: the encoder that reads from it knows only that the connection is over.
type source struct {
	io.Reader
	err error
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// heads lend memory for one window: a client that fetches fragments would else leave as much garbage as it reads.
var heads = sync.Pool{New: func() any { return new([windowSize]byte) }}

// windows is the memory for the beginnings of one message's sections.
type windows struct {
	buf   []byte
	taken int
	head  *[windowSize]byte // lent, the first memory there is; nil until something is taken
	place *place            // where the last fragment of BINARY ended, for the next command; may be nil
}

const (
	windowSize  = 64 << 10 // of one section, read before its literal is announced
	windowTotal = 1 << 20  // of all sections of a message; beyond it nothing is read ahead
)

// take returns n octets of memory, or nil when the message has had its share.
func (w *windows) take(n int) []byte {
	if w.taken += n; w.taken > windowTotal {
		return nil
	}
	if w.head == nil && w.buf == nil {
		w.head = heads.Get().(*[windowSize]byte)
		w.buf = w.head[:0]
	}
	if from := len(w.buf); from+n <= cap(w.buf) {
		w.buf = w.buf[:from+n]
		return w.buf[from : from+n : from+n]
	}
	w.buf = make([]byte, n, max(2*cap(w.buf), n)) // what was taken before stays valid
	return w.buf[:n:n]
}

// reset takes all memory back, for the next message.
func (w *windows) reset() { w.buf, w.taken = w.buf[:0], 0 }

// release gives back what has been lent. Nothing that was taken may be used any more.
func (w *windows) release() {
	if w.head != nil {
		heads.Put(w.head)
	}
	w.head, w.buf = nil, nil
}

// sectionItem is BODY[…] and its older names RFC822, RFC822.HEADER and RFC822.TEXT.
type sectionItem struct {
	label   string
	section message.Section
	partial *imap.SectionPartial
	peek    bool
}

var (
	rfc822Item       = &sectionItem{label: "RFC822"}
	rfc822HeaderItem = &sectionItem{label: "RFC822.HEADER", section: message.Section{Kind: message.Header}, peek: true}
	rfc822TextItem   = &sectionItem{label: "RFC822.TEXT", section: message.Section{Kind: message.Text}}
)

func (it *sectionItem) marksSeen() bool { return !it.peek }

// needs asks for the pages that will be read. The header, the text and the whole of a message are found without its MIME
// tree; a fragment from its middle is better read where it is.
func (it *sectionItem) needs() store.Fields {
	var want store.Fields
	if len(it.section.Path) > 0 {
		want = store.WithPart
	}
	switch {
	case it.partial != nil && it.partial.Offset > 0:
		return want
	case want == 0 && isHeader(it.section.Kind):
		return store.WithHeader
	}
	return want | store.WithBody
}

func isHeader(kind message.SectionKind) bool {
	return kind == message.Header || kind == message.HeaderFields || kind == message.HeaderFieldsNot
}

func (it *sectionItem) open(m *store.Message, w *windows) (content, error) {
	r, err := it.reader(m)
	if errors.Is(err, message.ErrNoSection) {
		return content{label: it.label, missing: true}, nil
	}
	if err != nil {
		return content{}, fmt.Errorf("read %s: %w", it.label, err)
	}
	r = fragment(r, it.partial)
	x := content{label: it.label, size: r.Size()}
	if octets := atHand(r); octets != nil {
		x.r = octets
		return x, nil
	}
	head := w.take(int(min(x.size, windowSize)))
	if _, err := io.ReadFull(r, head); err != nil {
		return content{}, fmt.Errorf("read %s: %w", it.label, err)
	}
	x.r = bytes.NewReader(head)
	if int64(len(head)) < x.size {
		x.r = &source{Reader: io.MultiReader(x.r, r)}
	}
	return x, nil
}

// atHand returns the octets of r, or nil if they are not in memory. They have been read: sending them cannot fail.
func atHand(r *io.SectionReader) *net.Buffers {
	body, off, n := r.Outer()
	for inner, ok := body.(*io.SectionReader); ok; inner, ok = body.(*io.SectionReader) { // a fragment of a section
		var from int64
		body, from, _ = inner.Outer()
		off += from
	}
	if in, ok := body.(store.InMemory); ok {
		if octets := in.Octets(off, n); octets != nil {
			return (*net.Buffers)(&octets)
		}
	}
	return nil
}

func (it *sectionItem) reader(m *store.Message) (*io.SectionReader, error) {
	if len(it.section.Path) == 0 && it.section.Kind == message.Whole {
		return io.NewSectionReader(m.Body, 0, m.Size), nil
	}
	return m.Part.Section(m.Body, it.section)
}

// fragment cuts out what <offset.count> asks for; a fragment beyond the end is empty (RFC 3501 §6.4.5).
func fragment(r *io.SectionReader, p *imap.SectionPartial) *io.SectionReader {
	if p == nil {
		return r
	}
	from := min(p.Offset, r.Size())
	return io.NewSectionReader(r, from, min(p.Size, r.Size()-from))
}

func parseBody(d *wire.Decoder) item {
	if d.Peek() != '[' {
		return bodyItem
	}
	return parseSection(d, false)
}

func parseBodyPeek(d *wire.Decoder) item { return parseSection(d, true) }

// parseSection reads "[" section-spec "]" and the fragment (RFC 3501 §9, section), and makes the name the reply uses.
func parseSection(d *wire.Decoder, peek bool) item {
	it := &sectionItem{peek: peek}
	d.Expect('[')
	spec := ""
	if d.Peek() != ']' {
		spec = d.Keyword()
	}
	it.section = parseSpec(d, spec)
	it.label = "BODY[" + spec
	if it.section.Kind == message.HeaderFields || it.section.Kind == message.HeaderFieldsNot {
		it.section.Fields = parseFieldNames(d.SP())
		it.label += " " + spellFields(it.section.Fields)
	}
	d.Expect(']')
	it.partial = parsePartial(d)
	it.label += "]" + origin(it.partial)
	return it
}

var sectionKinds = map[string]message.SectionKind{
	"":                  message.Whole,
	"HEADER":            message.Header,
	"HEADER.FIELDS":     message.HeaderFields,
	"HEADER.FIELDS.NOT": message.HeaderFieldsNot,
	"TEXT":              message.Text,
	"MIME":              message.MIME,
}

// parseSpec understands "1.2.HEADER". MIME is of parts only.
func parseSpec(d *wire.Decoder, spec string) message.Section {
	path, rest := parsePath(spec)
	kind, ok := sectionKinds[rest]
	if !ok || kind == message.MIME && len(path) == 0 || strings.HasSuffix(spec, ".") {
		d.Fail("a section")
	}
	return message.Section{Path: path, Kind: kind}
}

// parsePath reads the part numbers a section begins with.
func parsePath(spec string) (path []int, rest string) {
	for spec != "" {
		word, after, _ := strings.Cut(spec, ".")
		n, err := strconv.ParseUint(word, 10, 31)
		if err != nil || n == 0 {
			return path, spec
		}
		path, spec = append(path, int(n)), after
	}
	return path, ""
}

func parseFieldNames(d *wire.Decoder) []string {
	var names []string
	d.List(func() { names = append(names, d.AString()) })
	if len(names) == 0 {
		d.Fail("the name of a header field")
	}
	return names
}

// spellFields writes the names of header fields as the client will see them again.
func spellFields(names []string) string {
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(quoteField(name))
	}
	return "(" + b.String() + ")"
}

// quoteField leaves a field's name as it is if it can be an atom. A name that needs more is not a field's, but is
// answered all the same.
func quoteField(name string) string {
	atom := name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(){%*"\]`, r)
	})
	switch {
	case atom:
		return name
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r >= 0x7f }):
		return fmt.Sprintf("{%d}\r\n%s", len(name), name)
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

// parsePartial reads "<offset.count>" if it is there. A count is never zero (RFC 3501 §9, partial).
func parsePartial(d *wire.Decoder) *imap.SectionPartial {
	if !d.Try('<') {
		return nil
	}
	p := &imap.SectionPartial{Offset: int64(d.Number64())}
	d.Expect('.')
	if p.Size = int64(d.Number64()); p.Size == 0 {
		d.Fail("a number above 0")
	}
	d.Expect('>')
	return p
}

// origin is how a reply tells where its fragment begins.
func origin(p *imap.SectionPartial) string {
	if p == nil {
		return ""
	}
	return "<" + strconv.FormatInt(p.Offset, 10) + ">"
}
