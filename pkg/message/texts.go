package message

import (
	"fmt"
	"io"
)

// Place says where in a message a text stands that Texts goes through.
type Place int

// The places of texts.
const (
	PlaceBody   Place = iota // what Search finds in InBody
	PlaceHeader              // what Search finds in InText besides
	PlaceField               // the values that SearchHeader compares, one field after another
)

// TextReader takes the texts of a message from Texts.
type TextReader interface {
	// Text takes the next piece of a text, folded. It must not keep it. A character may go over the edge of two pieces.
	Text(in Place, folded []byte)
	// End ends a text: nothing is found across it.
	End()
}

// Texts hands to r all that Search and SearchHeader compare patterns with, exactly as they see it: what an index is made
// of. A pattern is found by them if and only if it occurs in a text of the place. Memory is bounded whatever the size of
// the message. The error is one of reading.
func (p *Part) Texts(body io.ReaderAt, r TextReader) error {
	m := newMatcher(nil)
	defer m.release()
	m.tap = r
	if err := m.mimeHeaderIn(PlaceHeader, body, p); err != nil {
		return fmt.Errorf("texts of header: %w", err)
	}
	if err := p.searchBody(body, m, InText); err != nil {
		return fmt.Errorf("texts of body: %w", err)
	}
	m.place = PlaceField
	scan := newFieldScanner(section(body, p.Header, p.Body))
	defer scan.release()
	value := fieldText{m: m, charset: p.firstCharset()}
	scan.piece = value.add
	for scan.next() {
		value.flush()
		m.end()
	}
	if scan.err != nil {
		return fmt.Errorf("texts of fields: %w", scan.err)
	}
	return nil
}

// mimeHeaderIn is mimeHeader where it matters which place the header is.
func (m *matcher) mimeHeaderIn(place Place, body io.ReaderAt, p *Part) error {
	was := m.place
	m.place = place
	err := m.mimeHeader(body, p)
	m.place = was
	return err
}
