package message

import (
	"fmt"
	"io"
	"slices"
	"sort"
)

// SectionKind is what BODY[…] asks of a part.
type SectionKind int

// The kinds of section. Header, HeaderFields, HeaderFieldsNot and Text are those of the message, or of the message inside
// a message/rfc822 part; MIME is the header of a part.
const (
	Whole SectionKind = iota // BODY[], BODY[1.2]
	Header
	HeaderFields
	HeaderFieldsNot
	Text
	MIME
)

// Section is the text inside BODY[…] (RFC 3501 §6.4.5).
type Section struct {
	Path   []int
	Kind   SectionKind
	Fields []string // of HeaderFields and HeaderFieldsNot
}

// Section returns the octets of a section, a range of body except for header fields, which are read and filtered.
// ErrNoSection if there is none. Selected header fields end in an empty line, also those of a header that has none.
//
// The reader reads from body, which must stay readable as long as the reader is used.
func (p *Part) Section(body io.ReaderAt, s Section) (*io.SectionReader, error) {
	part, err := p.sectionPart(s)
	if err != nil {
		return nil, err
	}
	switch s.Kind {
	case Whole:
		if len(s.Path) == 0 {
			return section(body, part.Header, part.End), nil
		}
		return section(body, part.Body, part.End), nil
	case Text:
		return section(body, part.Body, part.End), nil
	case Header, MIME:
		return section(body, part.Header, part.Body), nil
	case HeaderFields, HeaderFieldsNot:
		return part.headerFields(body, s)
	default:
		return nil, ErrNoSection
	}
}

// sectionPart returns the part whose header or body the section is.
func (p *Part) sectionPart(s Section) (*Part, error) {
	part := p.Find(s.Path)
	switch {
	case part == nil, s.Kind == MIME && len(s.Path) == 0:
		return nil, ErrNoSection
	case s.Kind == Whole, s.Kind == MIME, len(s.Path) == 0:
		return part, nil
	case part.isMessage():
		return part.Children[0], nil
	default:
		return nil, ErrNoSection
	}
}

func section(body io.ReaderAt, from, to int64) *io.SectionReader {
	return io.NewSectionReader(complete{body}, from, to-from)
}

// complete is a body that has all the octets its tree tells of: an early end is an error, not a short answer.
type complete struct{ body io.ReaderAt }

// ReadAt implements io.ReaderAt.
func (c complete) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.body.ReadAt(p, off)
	if n < len(p) {
		return n, noEOF(err)
	}
	return n, nil
}

// Octets are those of the body from off on, if it has them in memory: see store.InMemory.
func (c complete) Octets(off, n int64) [][]byte {
	if in, ok := c.body.(interface {
		Octets(off, n int64) [][]byte
	}); ok {
		return in.Octets(off, n)
	}
	return nil
}

// headerWindow is how much of a header is read at once; a longer one is not kept but read again.
const headerWindow = 64 << 10

// headerFields picks fields out of the header. The result is a list of ranges, so that a header of any size, which may
// be most of a message, needs no memory of its size.
func (p *Part) headerFields(body io.ReaderAt, s Section) (*io.SectionReader, error) {
	want := newNameSet(s.Fields)
	from, size := p.Header, p.Body-p.Header
	out := &ranges{base: body}
	if size <= headerWindow {
		b := make([]byte, size)
		if _, err := (complete{body}).ReadAt(b, from); err != nil {
			return nil, fmt.Errorf("read header: %w", err)
		}
		out.base, from = memory(b), 0
	}
	scan := newFieldScanner(section(out.base, from, from+size))
	defer scan.release()
	at := from
	ended := true
	for scan.next() {
		if want.has(scan.name) == (s.Kind == HeaderFields) {
			out.add(at, scan.size)
			ended = scan.ended
		}
		at += scan.size
	}
	if scan.err != nil {
		return nil, fmt.Errorf("read header: %w", scan.err)
	}
	if !ended {
		out.tail = "\r\n"
	}
	out.tail += "\r\n" // RFC 3501 §6.4.5: subsetting does not exclude the blank line
	return io.NewSectionReader(out, 0, out.size+int64(len(out.tail))), nil
}

// nameSet is names of header fields, in any case. A few, as most clients ask for, are compared one by one.
type nameSet struct {
	few  []string
	many map[string]bool // in lower case
}

const fewNames = 16

func newNameSet(names []string) nameSet {
	if len(names) <= fewNames {
		return nameSet{few: names}
	}
	many := make(map[string]bool, len(names))
	for _, n := range names {
		many[lower(n)] = true
	}
	return nameSet{many: many}
}

func (f nameSet) has(name []byte) bool {
	if f.many != nil {
		return f.many[lower(string(name))]
	}
	return slices.ContainsFunc(f.few, func(n string) bool { return equalName(n, name) })
}

// equalName compares names as lower does: the case of ASCII letters does not count.
func equalName(a string, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lowerASCII(a[i]) != lowerASCII(b[i]) {
			return false
		}
	}
	return true
}

// memory is an io.ReaderAt.
type memory []byte

func (m memory) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(m)) {
		return 0, io.EOF
	}
	n := copy(p, m[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// ranges reads parts of a base, and a tail, as one.
type ranges struct {
	base io.ReaderAt
	list []span
	size int64 // of the list
	tail string
}

// span is a range of the base; at is its place in the whole.
type span struct{ at, from, size int64 }

func (r *ranges) add(from, size int64) {
	if n := len(r.list); n > 0 && r.list[n-1].from+r.list[n-1].size == from {
		r.list[n-1].size += size
	} else {
		r.list = append(r.list, span{r.size, from, size})
	}
	r.size += size
}

// ReadAt implements io.ReaderAt.
func (r *ranges) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, io.EOF
	}
	done := 0
	i := sort.Search(len(r.list), func(i int) bool { return r.list[i].at+r.list[i].size > off })
	for ; i < len(r.list) && done < len(p); i++ {
		s := r.list[i]
		skip := off + int64(done) - s.at
		n := int(min(s.size-skip, int64(len(p)-done)))
		got, err := complete{r.base}.ReadAt(p[done:done+n], s.from+skip)
		done += got
		if err != nil {
			return done, err
		}
	}
	if at := off + int64(done) - r.size; done < len(p) && at >= 0 && at < int64(len(r.tail)) {
		done += copy(p[done:], r.tail[at:])
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// noEOF makes the end of the octets, where there should be more, an error.
func noEOF(err error) error {
	if err == nil || isEOF(err) {
		return io.ErrUnexpectedEOF
	}
	return err
}
