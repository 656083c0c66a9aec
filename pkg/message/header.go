package message

import (
	"bytes"
	"strings"
)

// Bounds of what is kept of a header. A longer value is cut; a list of addresses or parameters at a whole one.
const (
	maxField     = 64 << 10  // octets of one field
	maxHeader    = 256 << 10 // octets of the fields of one part, after which no more of its envelope is kept
	maxParams    = 1000
	maxLanguages = 100
	maxAddresses = 4096
)

// field is a header field that the tree needs.
type field int

const (
	fieldOther field = iota
	fieldContentType
	fieldEncoding
	fieldID
	fieldDescription
	fieldMD5
	fieldDisposition
	fieldLanguage
	fieldLocation
	fieldDate // from here on for the envelope
	fieldSubject
	fieldInReplyTo
	fieldMessageID
	fieldReferences
	fieldFrom // from here on lists of addresses
	fieldSender
	fieldReplyTo
	fieldTo
	fieldCc
	fieldBcc
	fieldCount
)

var fieldNames = map[string]field{
	"content-type":              fieldContentType,
	"content-transfer-encoding": fieldEncoding,
	"content-id":                fieldID,
	"content-description":       fieldDescription,
	"content-md5":               fieldMD5,
	"content-disposition":       fieldDisposition,
	"content-language":          fieldLanguage,
	"content-location":          fieldLocation,
	"date":                      fieldDate,
	"subject":                   fieldSubject,
	"in-reply-to":               fieldInReplyTo,
	"message-id":                fieldMessageID,
	"references":                fieldReferences,
	"from":                      fieldFrom,
	"sender":                    fieldSender,
	"reply-to":                  fieldReplyTo,
	"to":                        fieldTo,
	"cc":                        fieldCc,
	"bcc":                       fieldBcc,
}

// header gathers the fields of one part's header. Its buffers are used again for the next part.
type header struct {
	message bool // the header of a message, which has an envelope
	current field
	total   int
	values  [fieldCount]value
	list    addressParser
}

type value struct {
	raw  []byte // with line ends
	seen bool
	cut  bool // there was more
}

func (h *header) reset(message bool) {
	h.message, h.current, h.total = message, fieldOther, 0
	for i := range h.values {
		h.values[i] = value{raw: h.values[i].raw[:0]}
	}
}

// line takes one line of the header, its line end included. A line of maxField octets may have been cut.
func (h *header) line(b []byte) {
	long := len(b) >= maxField
	if b[0] != ' ' && b[0] != '\t' {
		b = h.startField(b)
	}
	if h.current == fieldOther {
		return
	}
	v := &h.values[h.current]
	n := min(len(b), maxField-len(v.raw))
	if h.current >= fieldDate { // long lists of addresses must not hide what the message is
		n = min(n, max(0, maxHeader-h.total))
	}
	v.raw = append(v.raw, b[:n]...)
	v.cut = v.cut || long || n < len(b)
	h.total += n
}

// startField reads the name of a field and returns what follows. Of a field that is repeated against RFC 5322 §3.6 the
// first counts, but lists of addresses are joined.
func (h *header) startField(b []byte) []byte {
	name, rest := splitField(b)
	h.current = lookUpField(name)
	if h.current >= fieldDate && !h.message {
		h.current = fieldOther
	}
	v := &h.values[h.current]
	switch {
	case h.current == fieldOther:
	case !v.seen:
		v.seen = true
	case h.current >= fieldFrom && !v.cut:
		v.raw = append(v.raw, ',')
	default:
		h.current = fieldOther
	}
	return rest
}

// splitField divides a line at its colon. A line without one is no field: its name is empty.
func splitField(b []byte) (name, rest []byte) {
	i := bytes.IndexByte(b, ':')
	if i < 0 {
		return nil, nil
	}
	return bytes.TrimRight(b[:i], " \t"), b[i+1:] // RFC 5322 §4.5 allows white space before the colon
}

func lookUpField(name []byte) field {
	var lower [32]byte
	if len(name) > len(lower) {
		return fieldOther
	}
	for i, c := range name {
		lower[i] = lowerASCII(c)
	}
	return fieldNames[string(lower[:len(name)])]
}

// fill gives a part the properties its header tells, and returns how much was kept.
func (h *header) fill(p *Part, digest bool) int {
	h.fillType(p, digest)
	p.ID = h.text(fieldID)
	p.Description = h.text(fieldDescription)
	p.MD5 = h.text(fieldMD5)
	p.Location = h.text(fieldLocation)
	p.Encoding = parseToken(clean(h.values[fieldEncoding].raw))
	if p.Encoding == "" {
		p.Encoding = "7BIT" // RFC 2045 §6.1
	}
	p.Disposition, p.DispositionParams = parseDisposition(clean(h.values[fieldDisposition].raw))
	p.Language = parseLanguages(clean(h.values[fieldLanguage].raw))
	kept := h.total + paramCost*(len(p.Params)+len(p.DispositionParams)+len(p.Language))
	if h.message {
		e := h.envelope()
		p.Envelope = e
		kept += addressCost * (len(e.From) + len(e.Sender) + len(e.ReplyTo) + len(e.To) + len(e.Cc) + len(e.Bcc))
	}
	return kept
}

// What a parameter and an address take in memory beside their octets.
const (
	paramCost   = 32
	addressCost = 72
)

func (h *header) fillType(p *Part, digest bool) {
	v := &h.values[fieldContentType]
	if !v.seen && digest {
		p.Type, p.Subtype = "MESSAGE", "RFC822" // RFC 2046 §5.1.5
		return
	}
	p.Type, p.Subtype, p.Params = parseContentType(clean(v.raw))
}

// text returns a field as it was written, nil if there is none.
func (h *header) text(f field) *string {
	if !h.values[f].seen {
		return nil
	}
	s := clean(h.values[f].raw)
	return &s
}

func (h *header) envelope() *Envelope {
	e := &Envelope{
		Date:      h.text(fieldDate),
		Subject:   h.text(fieldSubject),
		InReplyTo: h.text(fieldInReplyTo),
		MessageID: h.text(fieldMessageID),
		From:      h.addresses(fieldFrom),
		Sender:    h.addresses(fieldSender),
		ReplyTo:   h.addresses(fieldReplyTo),
		To:        h.addresses(fieldTo),
		Cc:        h.addresses(fieldCc),
		Bcc:       h.addresses(fieldBcc),
	}
	if len(e.Sender) == 0 {
		e.Sender = e.From
	}
	if len(e.ReplyTo) == 0 {
		e.ReplyTo = e.From
	}
	return e
}

func (h *header) addresses(f field) []Address {
	v := &h.values[f]
	return h.list.parse(clean(v.raw), v.cut)
}

// clean unfolds a value (RFC 5322 §2.2.3): CR, LF and NUL, which no reply may hold, go, as does white space at the ends.
func clean(raw []byte) string {
	raw = bytes.TrimRight(raw, "\r\n") // most values are one line
	if bytes.IndexByte(raw, '\n') < 0 && bytes.IndexByte(raw, '\r') < 0 && bytes.IndexByte(raw, 0) < 0 {
		return string(bytes.Trim(raw, " \t"))
	}
	var b strings.Builder
	b.Grow(len(raw))
	for _, c := range raw {
		if c != '\r' && c != '\n' && c != 0 {
			b.WriteByte(c)
		}
	}
	return strings.Trim(b.String(), " \t")
}

func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// upper is strings.ToUpper for ASCII alone: other octets need not be UTF-8.
func upper(s string) string {
	return mapASCII(s, func(c byte) byte {
		if 'a' <= c && c <= 'z' {
			return c - 'a' + 'A'
		}
		return c
	})
}

func lower(s string) string { return mapASCII(s, lowerASCII) }

func mapASCII(s string, f func(byte) byte) string {
	for i := range len(s) {
		if f(s[i]) == s[i] {
			continue
		}
		b := []byte(s)
		for ; i < len(b); i++ {
			b[i] = f(b[i])
		}
		return string(b)
	}
	return s
}
