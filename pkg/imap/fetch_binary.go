package imap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"postern/pkg/imap/wire"
	"postern/pkg/message"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// binaryItem is BINARY[…] and BINARY.SIZE[…]: a part with its transfer encoding undone (RFC 3516).
type binaryItem struct {
	label    string
	path     []int
	partial  *imap.SectionPartial
	peek     bool
	sizeOnly bool
}

func (it *binaryItem) marksSeen() bool { return !it.peek && !it.sizeOnly }

func (it *binaryItem) needs() store.Fields {
	if it.partial != nil && it.partial.Offset > 0 {
		return store.WithPart
	}
	return store.WithPart | store.WithBody
}

// open decodes the part, twice if it is long: a literal's size comes before its octets, and only decoding tells it.
func (it *binaryItem) open(m *store.Message, w *windows) (content, error) {
	x, err := it.decode(m, w)
	switch {
	case errors.Is(err, message.ErrNoSection):
		x = content{missing: !it.sizeOnly}
	case err != nil:
		return content{}, fmt.Errorf("decode %s: %w", it.label, err)
	}
	x.label, x.number = it.label, it.sizeOnly
	return x, nil
}

func (it *binaryItem) decode(m *store.Message, w *windows) (content, error) {
	mark := &message.Mark{}
	if it.partial != nil {
		mark = w.place.of(m.UID, it.path)
	}
	start := *mark
	r, err := it.reader(m, mark)
	if err != nil {
		return content{}, err
	}
	head := w.take(windowSize)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return content{}, err
	}
	rest, err := io.Copy(io.Discard, r)
	if err != nil {
		return content{}, err
	}
	size := int64(n) + rest
	if rest == 0 || it.sizeOnly {
		return content{r: bytes.NewReader(head[:n]), size: size, binary: bytes.IndexByte(head[:n], 0) >= 0}, nil
	}
	r, err = it.reader(m, &start)
	return content{r: &source{Reader: r}, size: size, binary: true}, err
}

func (it *binaryItem) reader(m *store.Message, mark *message.Mark) (io.Reader, error) {
	if it.partial == nil {
		return m.Part.Decoded(m.Body, it.path)
	}
	r, err := m.Part.DecodedFrom(m.Body, it.path, it.partial.Offset, mark)
	return io.LimitReader(r, it.partial.Size), err
}

// place is where the last fragment of a part's content ended. Clients fetch what is big in many fragments, and each would have
// to decode all before it.
type place struct {
	uid  imap.UID
	path []int
	mark message.Mark
}

// of returns the mark in the content of a part, at its beginning if the last fragment was of another.
func (p *place) of(uid imap.UID, path []int) *message.Mark {
	if p == nil {
		return &message.Mark{}
	}
	if p.uid != uid || !slices.Equal(p.path, path) {
		*p = place{uid: uid, path: path}
	}
	return &p.mark
}

func parseBinary(d *wire.Decoder) item { return parseBinarySection(d, binaryItem{label: "BINARY"}) }

func parseBinaryPeek(d *wire.Decoder) item {
	return parseBinarySection(d, binaryItem{label: "BINARY", peek: true})
}

func parseBinarySize(d *wire.Decoder) item {
	return parseBinarySection(d, binaryItem{label: "BINARY.SIZE", sizeOnly: true})
}

// parseBinarySection reads "[" section-part "]" and, save for BINARY.SIZE, the fragment (RFC 3516 §7).
func parseBinarySection(d *wire.Decoder, it binaryItem) item {
	d.Expect('[')
	spec := ""
	if d.Peek() != ']' {
		spec = d.Keyword()
	}
	path, rest := parsePath(spec)
	if rest != "" || strings.HasSuffix(spec, ".") {
		d.Fail("a part number")
	}
	it.path = path
	d.Expect(']')
	if !it.sizeOnly {
		it.partial = parsePartial(d)
	}
	it.label += "[" + spec + "]" + origin(it.partial)
	return &it
}
