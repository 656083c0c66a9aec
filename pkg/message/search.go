package message

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"

	"golang.org/x/text/unicode/norm"
)

// Scope is where Search looks.
type Scope int

// The scopes of a search.
const (
	InBody Scope = iota // SEARCH BODY: text of the body, MIME headers of parts excluded
	InText              // SEARCH TEXT: header and body, MIME headers of parts and names of attachments included
)

// Search reports whether every one of the folded patterns occurs in the decoded text (charset and transfer encoding
// undone, HTML stripped, folded) of the message. Memory is bounded whatever the size of the message.
//
// The text of a body is that of its text/… parts and of the messages attached to it, their headers included; other
// attachments are not read. A pattern is found only within one part. The error is one of reading.
func (p *Part) Search(body io.ReaderAt, in Scope, folded ...string) (bool, error) {
	m := newMatcher(folded)
	defer m.release()
	if in == InText {
		if err := m.mimeHeader(body, p); err != nil {
			return false, fmt.Errorf("search header: %w", err)
		}
	}
	if err := p.searchBody(body, m, in); err != nil {
		return false, fmt.Errorf("search body: %w", err)
	}
	return m.done(), nil
}

// SearchHeader reports whether a header field of the given name (any case) has a decoded, folded value that contains
// folded; an empty pattern asks for the field's existence.
func (p *Part) SearchHeader(body io.ReaderAt, field, folded string) (bool, error) {
	m := newMatcher([]string{folded})
	defer m.release()
	name := []byte(field)
	found := false
	scan := newFieldScanner(section(body, p.Header, p.Body))
	defer scan.release()
	value := fieldText{m: m, charset: p.firstCharset()}
	scan.piece = func(b []byte) {
		if bytes.EqualFold(scan.name, name) {
			value.add(b)
		}
	}
	for scan.next() {
		found = found || bytes.EqualFold(scan.name, name) // it may have no value at all
		value.flush()
		m.end()
		if found && m.done() {
			return true, nil
		}
	}
	if scan.err != nil {
		return false, fmt.Errorf("search header: %w", scan.err)
	}
	return false, nil
}

func (p *Part) searchBody(body io.ReaderAt, m *matcher, in Scope) error {
	switch {
	case m.done():
		return nil
	case p.isMessage():
		if err := m.mimeHeader(body, p.Children[0]); err != nil {
			return err
		}
		return p.Children[0].searchBody(body, m, in)
	case p.Type == "TEXT":
		r := p.textReader(section(body, p.Body, p.End))
		defer release(r)
		return m.text(r)
	}
	for _, c := range p.Children {
		if in == InText {
			if err := m.mimeHeaderIn(PlaceHeader, body, c); err != nil {
				return err
			}
		}
		if err := c.searchBody(body, m, in); err != nil {
			return err
		}
	}
	return nil
}

// textReader decodes the body of a text part to UTF-8. It is to be released when it is done.
func (p *Part) textReader(r io.Reader) io.Reader {
	if d, err := decodeTransfer(p.Encoding, r); err == nil {
		r = d
	}
	r = charsetReader(p.param("charset"), r)
	if p.Subtype == "HTML" || p.Subtype == "XHTML" {
		r = newStage(r, &htmlText{})
	}
	return r
}

// firstCharset returns the charset of the first text, "" if none is named: what a header with raw octets is likely in.
func (p *Part) firstCharset() string {
	if s := p.param("charset"); s != "" && p.Type == "TEXT" {
		return s
	}
	for _, c := range p.Children {
		if s := c.firstCharset(); s != "" {
			return s
		}
	}
	return ""
}

const searchChunk = 16 << 10 // octets that are folded and searched at once

// matcher looks for patterns in a text that is given to it in pieces. It keeps a piece that is not yet folded, and so
// much of the folded text as a pattern may need that goes over the edge of two pieces.
type matcher struct {
	patterns [][]byte // not yet found
	overlap  int
	chunk    []byte // what is read at once
	pending  []byte
	window   []byte
	fold     folder

	tap   TextReader // if set, gets the texts, and nothing is looked for
	place Place      // of the text, for tap
}

// matchers are used one after another: searches look into thousands of messages, most of them small.
var matchers = sync.Pool{New: func() any { return new(matcher) }}

// newMatcher returns a matcher that looks for patterns, to be released when it is done.
func newMatcher(folded []string) *matcher {
	m := matchers.Get().(*matcher)
	for _, s := range folded {
		if s != "" { // RFC 3501 §6.4.4: the empty string is in every text
			m.patterns = append(m.patterns, []byte(s))
			m.overlap = max(m.overlap, len(s)-1)
		}
	}
	return m
}

// release gives m back. Patterns may be long, and what they take is not kept.
func (m *matcher) release() {
	clear(m.patterns)
	if cap(m.window) > 4*searchChunk {
		m.window = nil
	}
	m.fold.space = false
	*m = matcher{patterns: m.patterns[:0], chunk: m.chunk, pending: m.pending[:0], window: m.window[:0], fold: m.fold}
	matchers.Put(m)
}

// done tells whether all patterns have been found.
func (m *matcher) done() bool { return len(m.patterns) == 0 && m.tap == nil }

// add takes a piece of the text, in UTF-8.
func (m *matcher) add(text []byte) {
	for len(text) > 0 && !m.done() {
		n := min(len(text), searchChunk)
		m.pending = append(m.pending, text[:n]...)
		text = text[n:]
		if len(m.pending) < searchChunk {
			continue
		}
		cut := norm.NFKC.LastBoundary(m.pending)
		if cut <= 0 {
			cut = len(m.pending)
		}
		m.match(m.pending[:cut])
		m.pending = m.pending[:copy(m.pending, m.pending[cut:])]
	}
}

// end ends the text; nothing is found across it.
func (m *matcher) end() {
	m.match(m.pending)
	m.pending, m.window, m.fold.space = m.pending[:0], m.window[:0], false
	if m.tap != nil {
		m.tap.End()
	}
}

func (m *matcher) match(text []byte) {
	m.window = m.fold.append(m.window, text)
	if m.tap != nil {
		m.tap.Text(m.place, m.window)
		m.window = m.window[:0]
		return
	}
	m.patterns = slices.DeleteFunc(m.patterns, func(p []byte) bool { return bytes.Contains(m.window, p) })
	if n := len(m.window) - m.overlap; n > 0 {
		m.window = m.window[:copy(m.window, m.window[n:])]
	}
}

// text searches what r yields.
func (m *matcher) text(r io.Reader) error {
	defer m.end()
	if m.chunk == nil {
		m.chunk = make([]byte, searchChunk)
	}
	for !m.done() {
		n, err := r.Read(m.chunk)
		m.add(m.chunk[:n])
		if isEOF(err) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// header searches the header of a message: names and decoded values.
func (m *matcher) header(body io.ReaderAt, p *Part) error {
	defer m.end()
	scan := newFieldScanner(section(body, p.Header, p.Body))
	defer scan.release()
	value := fieldText{m: m, charset: p.firstCharset()}
	named := false
	name := func() {
		if !named && len(scan.name) > 0 {
			m.add(bytes.ToValidUTF8(scan.name, nil))
			m.add([]byte(":"))
		}
		named = true
	}
	scan.piece = func(b []byte) {
		name()
		value.add(b)
	}
	for !m.done() && scan.next() {
		name() // it may have no value at all
		value.flush()
		m.add(lf)
		named = false
	}
	return scan.err
}

// mimeHeader searches the header of any part, with what RFC 2231 hides: the names of attachments.
func (m *matcher) mimeHeader(body io.ReaderAt, p *Part) error {
	for _, params := range [][]Param{p.Params, p.DispositionParams} {
		for _, value := range decodedParams(params) {
			m.add([]byte(value))
			m.end()
		}
	}
	return m.header(body, p)
}

// fieldText decodes the value of a field for a matcher. A value that is too long is decoded in pieces.
type fieldText struct {
	m       *matcher
	charset string // of octets that are not encoded as they should be
	raw     []byte
}

func (t *fieldText) add(b []byte) {
	if len(t.raw)+len(b) > maxField {
		t.flush()
	}
	t.raw = append(t.raw, b...)
}

func (t *fieldText) flush() {
	if len(t.raw) > 0 {
		t.m.add([]byte(decodeHeader(string(t.raw), t.charset)))
	}
	t.raw = t.raw[:0]
}
