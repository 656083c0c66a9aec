package message

import (
	"bytes"
	"sync"
)

// Bounds of the tree (REQUIREMENTS 21). What lies beyond them is not lost, only not taken apart: a container that is too
// deep is one opaque part, and so is all that follows the last part allowed.
const (
	maxDepth    = 100     // of parts inside parts
	maxParts    = 10_000  // of a message
	maxKept     = 1 << 20 // octets of header values kept for the tree of a message, after which no further part is begun
	maxBoundary = 1000    // octets; RFC 2046 §5.1.1 allows 70, some write more
)

// The type of a part that is not taken apart.
const (
	opaqueType    = "APPLICATION"
	opaqueSubtype = "OCTET-STREAM"
)

// parser makes the MIME tree of a message that is written to it, in chunks cut anywhere, with CRLF line ends. It keeps
// the line it is in (up to a bound) and the header values that the tree needs, nothing else.
//
// It is linear: an octet of a body is looked at a fixed number of times, and a line that may be a boundary is looked up
// among all open boundaries at once.
type parser struct {
	off   int64 // of the next octet
	lines int64 // line ends before off

	line     []byte // what has been kept of the current line
	lineAt   int64  // where it begins
	lineNo   int64  // line ends before it
	skip     bool   // the rest of the line does not matter
	inHeader bool   // of the innermost open part
	head     header

	open       []frame        // from the root to the innermost part
	boundaries map[string]int // of the open multiparts: index in open of the innermost that has it
	parts      int
	kept       int

	last      [2]byte // the last octets written
	separated bool    // the root's header has its empty line
	root      *Part
	thread    uint64 // of the root's header: see Spooled.Thread
}

// frame is an open part.
type frame struct {
	part      *Part
	boundary  string // of a multipart until it is closed
	shadowed  int    // index of an outer frame with the same boundary, -1 for none
	bodyLines int64  // line ends before the body
	digest    bool   // the part is in a multipart/digest: its default type is message/rfc822
}

// parsers are used one after another: most of what they hold is the same for every message.
var parsers = sync.Pool{New: func() any { return &parser{boundaries: map[string]int{}} }}

func newParser() *parser {
	p := parsers.Get().(*parser)
	p.begin(0, false, true)
	p.root = p.open[0].part
	return p
}

// Of a parser that has become greater than that nothing is used again.
const (
	parserOctets = 32 << 10
	parserParts  = 100
)

// release gives p back, without what it has made.
func (p *parser) release() {
	if p.kept+p.head.total > parserOctets || cap(p.line) > parserOctets || p.parts > parserParts {
		return
	}
	clear(p.open[:cap(p.open)])
	clear(p.boundaries)
	p.head.list.out = nil
	*p = parser{line: p.line[:0], head: p.head, open: p.open[:0], boundaries: p.boundaries}
	parsers.Put(p)
}

// write takes the next octets of the message.
func (p *parser) write(b []byte) {
	switch n := len(b); {
	case n >= 2:
		p.last = [2]byte{b[n-2], b[n-1]}
	case n == 1:
		p.last = [2]byte{p.last[1], b[0]}
	}
	for len(b) > 0 {
		var n int
		if p.inHeader {
			n = p.headerOctets(b)
		} else {
			n = p.bodyOctets(b)
		}
		b = b[n:]
	}
}

// finish ends the message and returns its tree, and its padding: see Spooled.Padding.
func (p *parser) finish() (*Part, int) {
	if len(p.line) > 0 {
		p.endLine(p.line)
	}
	padding := 0
	if p.last != [2]byte{'\r', '\n'} && p.off > 0 {
		padding++
	}
	p.closeTo(-1, p.off, p.lines, 0)
	if !p.separated {
		padding++
	}
	return p.root, padding
}

// advance notes that n octets have been read, lines of them LF.
func (p *parser) advance(n, lines int) {
	p.off += int64(n)
	p.lines += int64(lines)
}

// startLine notes that the next octet begins a line.
func (p *parser) startLine() {
	p.line, p.lineAt, p.lineNo, p.skip = p.line[:0], p.off, p.lines, false
}

// headerOctets reads at most to the end of the current line of a header.
func (p *parser) headerOctets(b []byte) int {
	n := bytes.IndexByte(b, '\n') + 1
	if n == 0 {
		p.keepLine(b, maxField)
		p.advance(len(b), 0)
		return len(b)
	}
	line := b[:n]
	if len(p.line) > 0 {
		p.keepLine(line, maxField)
		line = p.line
	}
	p.advance(n, 1)
	p.endLine(line)
	return n
}

// bodyOctets reads some octets of a body: up to the next line that may be a boundary, or one such line.
func (p *parser) bodyOctets(b []byte) int {
	if !p.skip && len(p.line) == 0 && !bytes.HasPrefix(dashes, b[:min(2, len(b))]) {
		p.skip = true
	}
	if p.skip || len(p.boundaries) == 0 {
		return p.skipLines(b)
	}
	n := bytes.IndexByte(b, '\n') + 1
	if n == 0 {
		p.keepLine(b, maxBoundary+8)
		p.advance(len(b), 0)
		return len(b)
	}
	p.keepLine(b[:n], maxBoundary+8)
	p.advance(n, 1)
	p.endLine(p.line)
	return n
}

var (
	dashes   = []byte("--")
	lfDashes = []byte("\n--")
)

// skipLines reads to the next line that begins with two dashes, or to the end of b.
func (p *parser) skipLines(b []byte) int {
	n := len(b)
	if len(p.boundaries) == 0 {
		p.line = p.line[:0]
		p.advance(n, bytes.Count(b, lf))
		return n
	}
	if i := bytes.Index(b, lfDashes); i >= 0 {
		n = i + 1
	} else if j := bytes.LastIndexByte(b, '\n'); j >= 0 && bytes.HasPrefix(dashes, b[j+1:]) {
		n = j + 1
	} else {
		p.advance(n, bytes.Count(b, lf))
		return n
	}
	p.advance(n, bytes.Count(b[:n], lf))
	p.startLine()
	return n
}

var lf = []byte("\n")

// keepLine keeps a piece of the current line, up to limit octets of the line in all.
func (p *parser) keepLine(b []byte, limit int) {
	p.line = append(p.line, b[:min(len(b), max(0, limit-len(p.line)))]...)
	if !p.inHeader && len(p.line) >= 2 && !bytes.HasPrefix(p.line, dashes) {
		p.skip = true
	}
}

// endLine acts upon a whole line (the last one of a message may have no line end).
func (p *parser) endLine(line []byte) {
	at, lines := p.lineAt, p.lineNo
	level, closes, ok := p.matchBoundary(line)
	inHeader := p.inHeader
	p.startLine()
	switch {
	case ok:
		p.boundary(level, closes, at, lines)
	case !inHeader:
	case isEmptyLine(line):
		if len(p.open) == 1 {
			p.separated = true
		}
		p.endHeader(p.off, p.lines)
	default:
		p.head.line(line)
	}
}

func isEmptyLine(line []byte) bool {
	return len(line) == 2 && line[0] == '\r' && line[1] == '\n'
}

// matchBoundary tells whether a line is a delimiter of an open multipart: two dashes, the boundary, two more dashes at
// the end, white space (RFC 2046 §5.1.1). The whole line must match, so a boundary that begins like another is no danger.
func (p *parser) matchBoundary(line []byte) (level int, closes, ok bool) {
	if len(p.boundaries) == 0 || !bytes.HasPrefix(line, dashes) {
		return 0, false, false
	}
	name := bytes.TrimRight(line[2:], " \t\r\n")
	if level, ok = p.boundaries[string(name)]; ok {
		return level, false, true
	}
	if name, closes = bytes.CutSuffix(name, dashes); closes {
		level, ok = p.boundaries[string(name)]
	}
	return level, closes, ok
}

// boundary ends the parts inside the multipart at a level of p.open, whose delimiter stands in the line before p.off.
func (p *parser) boundary(level int, closes bool, at, lines int64) {
	p.closeTo(level, at, lines, 1)
	switch {
	case closes:
		p.forget(&p.open[level])
	case p.parts >= maxParts || p.kept >= maxKept:
		p.openRest(level)
	default:
		p.begin(p.off, p.open[level].part.Subtype == "DIGEST", false)
	}
}

// begin opens a part whose header begins at the given offset.
func (p *parser) begin(at int64, digest, message bool) {
	part := &Part{Header: at}
	if n := len(p.open); n > 0 {
		parent := p.open[n-1].part
		parent.Children = append(parent.Children, part)
	}
	p.open = append(p.open, frame{part: part, digest: digest, shadowed: -1})
	p.parts++
	p.inHeader = true
	p.head.reset(message)
}

// openRest makes what remains of the message one opaque part of the multipart at the given level.
func (p *parser) openRest(level int) {
	parent := p.open[level].part
	rest := &Part{Header: p.off, Body: p.off, Type: opaqueType, Subtype: opaqueSubtype, Encoding: "8BIT"}
	parent.Children = append(parent.Children, rest)
	p.open = append(p.open, frame{part: rest, shadowed: -1, bodyLines: p.lines})
	p.parts++
	clear(p.boundaries)
}

// endHeader gives the innermost part its properties and opens what is inside it. The body begins at the given offset.
func (p *parser) endHeader(body, lines int64) {
	p.inHeader = false
	f := &p.open[len(p.open)-1]
	part := f.part
	part.Body, f.bodyLines = body, lines
	p.kept += p.head.fill(part, f.digest)
	if len(p.open) == 1 {
		p.thread = p.head.thread()
	}
	if !p.isContainer(part) {
		return
	}
	if len(p.open) >= maxDepth || p.parts >= maxParts || p.kept >= maxKept {
		part.Type, part.Subtype = opaqueType, opaqueSubtype
		return
	}
	if part.Type != "MULTIPART" {
		p.begin(body, false, true)
		return
	}
	if b := boundaryOf(part); b != "" {
		f.boundary = b
		if outer, ok := p.boundaries[b]; ok {
			f.shadowed = outer
		}
		p.boundaries[b] = len(p.open) - 1
	}
}

// closeTo ends all parts deeper than the given level. The line at the given offset ends them, and takes the line end
// before it with it if taken is 1.
func (p *parser) closeTo(level int, at, lines, taken int64) {
	for p.inHeader { // there was no empty line; and a message inside has an empty header
		p.endHeader(at, lines)
	}
	end, lines := at-2*taken, lines-taken
	for len(p.open)-1 > level {
		f := &p.open[len(p.open)-1]
		p.forget(f)
		f.close(end, lines)
		if f.part.End > end { // the line end is that of its header; the parts around it end no sooner
			end, lines = f.part.End, f.bodyLines
		}
		p.open = p.open[:len(p.open)-1]
	}
}

// forget makes the boundary of a multipart an ordinary line.
func (p *parser) forget(f *frame) {
	switch {
	case f.boundary == "":
	case f.shadowed >= 0:
		p.boundaries[f.boundary] = f.shadowed
	default:
		delete(p.boundaries, f.boundary)
	}
	f.boundary = ""
}

// close sets where the part ends. A multipart without any part, which no client can show, gets one with all its text.
func (f *frame) close(end, lines int64) {
	part := f.part
	part.End = max(part.Body, end)
	if end > part.Body {
		part.Lines = lines - f.bodyLines
	}
	if part.Type == "MULTIPART" && len(part.Children) == 0 {
		part.Children = []*Part{{
			Header: part.Body, Body: part.Body, End: part.End, Lines: part.Lines,
			Type: "TEXT", Subtype: "PLAIN", Params: defaultParams(), Encoding: "7BIT",
		}}
	}
}

// isContainer tells whether other parts may be inside this one. A message that is transfer-encoded, which RFC 2046
// §5.2.1 forbids, cannot be looked into by offset, so it becomes an attachment.
func (p *parser) isContainer(part *Part) bool {
	if part.Type == "MULTIPART" {
		return true
	}
	if !isMessageType(part.Type, part.Subtype) {
		return false
	}
	switch part.Encoding {
	case "BASE64", "QUOTED-PRINTABLE":
		part.Type, part.Subtype = opaqueType, opaqueSubtype
		return false
	}
	return true
}

// boundaryOf returns the boundary parameter, "" if there is none that can be used.
func boundaryOf(part *Part) string {
	b := part.param("boundary")
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	if len(b) > maxBoundary {
		return ""
	}
	return b
}
