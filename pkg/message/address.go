package message

import "strings"

// parseAddresses reads a list of addresses (RFC 5322 §3.4, and the obsolete forms of §4.4), unfolded. It never fails: what
// is no address becomes the nearest one. When the value has been cut, so has its last address, which is left out.
func parseAddresses(s string, cut bool) []Address {
	var p addressParser
	return p.parse(s, cut)
}

// parse is parseAddresses with memory of p, which can be used again.
func (p *addressParser) parse(s string, cut bool) []Address {
	if s == "" {
		return nil
	}
	p.reset()
	*p = addressParser{s: s, phrase: p.phrase, local: p.local, host: p.host, comment: p.comment}
	p.out = make([]Address, 0, min(1+strings.Count(s, ","), fewAddresses))
	for p.i < len(p.s) && len(p.out) < maxAddresses {
		p.next()
	}
	if !cut && len(p.out) < maxAddresses {
		p.endAddress()
	}
	p.endGroup()
	return p.out
}

// fewAddresses is for how many room is made at once: commas need not be between addresses.
const fewAddresses = 16

// addressParser reads a list word by word. Beside the words it knows six characters: , ; : < > @.
type addressParser struct {
	s   string
	i   int
	out []Address

	inGroup   bool
	noQuote   bool // there is no closing quote in the rest, so quotes mean nothing
	noComment bool // likewise

	// The address that is being read.
	phrase  []byte // all its words, with spaces between where there were any
	local   []byte // what is before the @
	host    []byte // what is after it
	comment []byte // the last one
	name    *string
	words   int
	at      bool // an @ has been read
	angle   bool // a < has been read; name is what was before it
	closed  bool // and its >
	gap     bool // there was white space before the next word
}

// next reads one character that means something, or one word.
func (p *addressParser) next() {
	switch c := p.s[p.i]; {
	case c == ' ' || c == '\t':
		p.i++
		p.gap = true
	case c == '(' && !p.noComment:
		p.readComment()
	case c == '"' && !p.noQuote:
		p.readQuoted()
	case c == '"':
		p.i++
	default:
		p.special(c)
	}
}

func (p *addressParser) special(c byte) {
	switch {
	case c == ',' && (!p.angle || p.closed || !p.inRoute()):
		p.endAddress()
	case c == ',':
	case c == ';' && !p.inAngle():
		p.endAddress()
		p.endGroup()
	case c == ':' && p.inAngle(): // what was before is a source route (RFC 5322 §4.4)
		p.resetAddrSpec()
	case c == ':' && !p.inGroup && !p.at && !p.angle:
		p.beginGroup()
	case c == '<' && !p.angle:
		p.beginAngle()
	case c == '>' && p.angle:
		p.closed = true
	case c == '@' && !p.closed:
		p.beginHost()
	default:
		p.readAtom()
		return
	}
	p.i++
	p.gap = false
}

func (p *addressParser) inAngle() bool { return p.angle && !p.closed }

// inRoute tells whether a comma in angle brackets is between the domains of a source route.
func (p *addressParser) inRoute() bool { return p.at && len(p.local) == 0 }

func (p *addressParser) beginGroup() {
	name := string(p.phrase)
	p.out = append(p.out, Address{Mailbox: &name})
	p.reset()
	p.inGroup = true
}

func (p *addressParser) endGroup() {
	if p.inGroup {
		p.out = append(p.out, Address{})
	}
	p.inGroup = false
}

func (p *addressParser) beginAngle() {
	p.angle = true
	if p.words > 0 {
		name := string(p.phrase)
		p.name = &name
	}
	p.resetAddrSpec()
}

func (p *addressParser) beginHost() {
	if p.at && p.inAngle() && p.inRoute() { // the next domain of a source route
		p.host = p.host[:0]
	} else if p.at { // only the last @ of an address divides it
		p.local = append(append(p.local, '@'), p.host...)
		p.host = p.host[:0]
	}
	p.at = true
	p.phrase = append(p.phrase, '@')
}

func (p *addressParser) resetAddrSpec() {
	p.local, p.host, p.at = p.local[:0], p.host[:0], false
}

// word adds a word to the address.
func (p *addressParser) word(w string) {
	if p.closed { // what follows an address is no part of it
		return
	}
	if p.gap && len(p.phrase) > 0 {
		p.phrase = append(p.phrase, ' ')
	}
	p.gap = false
	p.words++
	p.phrase = append(p.phrase, w...)
	if p.at {
		p.host = append(p.host, w...)
	} else {
		p.local = append(p.local, w...)
	}
}

// readAtom reads to the next character that means something. Characters that RFC 5322 does not allow here are kept.
func (p *addressParser) readAtom() {
	start := p.i
	p.i++
	for p.i < len(p.s) && strings.IndexByte(" \t,;:<>@\"(", p.s[p.i]) < 0 {
		p.i++
	}
	p.word(p.s[start:p.i])
}

func (p *addressParser) readQuoted() {
	q := tokenizer{s: p.s, i: p.i + 1}
	w, ends := q.quoted()
	if !ends {
		p.noQuote = true
		return
	}
	p.i = q.i
	p.word(w)
}

// readComment keeps the text of a comment: it is the name of an address that has no other (RFC 822 was used that way).
func (p *addressParser) readComment() {
	text, end := commentText(p.s, p.i+1)
	if end < 0 {
		p.noComment = true
		return
	}
	p.comment = append(p.comment[:0], text...)
	p.i = end
	p.gap = true
}

// commentText returns the text of a comment that begins at i and the offset after it, or -1 if it does not end.
func commentText(s string, i int) ([]byte, int) {
	var text []byte
	depth := 1
	for ; i < len(s); i++ {
		switch s[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return text, i + 1
			}
		case '\\':
			if i+1 < len(s) {
				i++
			}
		}
		text = append(text, s[i])
	}
	return nil, -1
}

// endAddress adds the address that has been read to the list, if there is any.
func (p *addressParser) endAddress() {
	local := p.local
	switch {
	case p.angle, p.at:
		if p.name == nil && len(p.comment) > 0 {
			name := string(p.comment)
			p.name = &name
		}
	case p.words == 0:
		p.reset()
		return
	case p.words > 1: // a name without an address
		name := string(p.phrase)
		p.name, local = &name, nil
	}
	spec := &struct{ local, host string }{string(local), string(p.host)}
	p.out = append(p.out, Address{Name: p.name, Mailbox: &spec.local, Host: &spec.host})
	p.reset()
}

func (p *addressParser) reset() {
	p.phrase, p.local, p.host, p.comment = p.phrase[:0], p.local[:0], p.host[:0], p.comment[:0]
	p.name, p.words = nil, 0
	p.at, p.angle, p.closed, p.gap = false, false, false, false
}
