package message

import "strings"

// defaultParams are the parameters of a part that does not say what it is (RFC 2045 §5.2).
func defaultParams() []Param { return []Param{{"charset", "us-ascii"}} }

// parseContentType reads the value of Content-Type. What is not type "/" subtype counts as text/plain (RFC 2045 §5.2).
func parseContentType(s string) (typ, subtype string, params []Param) {
	p := tokenizer{s: s}
	typ = p.token()
	if p.space(); p.peek() == '/' {
		p.i++
		subtype = p.token()
	}
	if p.peek() >= 0x7f { // not even a token
		subtype = ""
	}
	params = p.params()
	if typ != "" && subtype != "" {
		return upper(typ), upper(subtype), params
	}
	if len(params) == 0 {
		params = defaultParams()
	}
	return "TEXT", "PLAIN", params
}

// parseDisposition reads the value of Content-Disposition (RFC 2183 §2). Parameters without a type are an attachment's.
func parseDisposition(s string) (string, []Param) {
	p := tokenizer{s: s}
	typ := p.token()
	params := p.params()
	if typ == "" && len(params) > 0 {
		typ = "attachment"
	}
	return upper(typ), params
}

// parseLanguages reads the value of Content-Language (RFC 3282 §2).
func parseLanguages(s string) []string {
	var tags []string
	p := tokenizer{s: s}
	for p.i < len(s) && len(tags) < maxLanguages {
		if tag := p.token(); tag != "" {
			tags = append(tags, tag)
		} else {
			p.i++
		}
	}
	return tags
}

// parseToken reads a value that is one token, in upper case.
func parseToken(s string) string {
	p := tokenizer{s: strings.TrimLeft(s, "\" ")}
	return upper(p.token())
}

// tokenizer reads the value of a structured MIME field (RFC 2045 §5.1), unfolded. It never fails and never looks at an
// octet more than twice.
type tokenizer struct {
	s string
	i int
}

func (p *tokenizer) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

// space skips white space and comments (RFC 822 §3.3); one that does not end goes to the end.
func (p *tokenizer) space() {
	depth := 0
	for ; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == '\\' && depth > 0:
			p.i++
		case depth == 0 && c != ' ' && c != '\t':
			return
		}
	}
	p.i = len(p.s)
}

// token reads a token, "" if there is none here.
func (p *tokenizer) token() string {
	p.space()
	start := p.i
	for p.i < len(p.s) && isTokenChar(p.s[p.i]) {
		p.i++
	}
	return p.s[start:p.i]
}

func isTokenChar(c byte) bool {
	return c > ' ' && c < 0x7f && strings.IndexByte(`()<>@,;:\"/[]?=`, c) < 0
}

// params reads parameters to the end. Missing semicolons, white space anywhere and values that should have been quoted
// are accepted; what has no "=" is passed over.
func (p *tokenizer) params() []Param {
	var params []Param
	for len(params) < maxParams {
		p.space()
		if p.i >= len(p.s) {
			break
		}
		name := p.name()
		if p.space(); p.peek() != '=' {
			if name == "" {
				p.i++ // a semicolon, or something that has no place here
			}
			continue
		}
		p.i++
		value := p.value()
		if name != "" {
			params = append(params, Param{lower(name), value})
		}
	}
	return params
}

func (p *tokenizer) name() string {
	start := p.i
	for p.i < len(p.s) && strings.IndexByte("=; \t(\"", p.s[p.i]) < 0 {
		p.i++
	}
	return p.s[start:p.i]
}

func (p *tokenizer) value() string {
	p.space()
	if p.peek() == '"' {
		p.i++
		s, _ := p.quoted()
		return s
	}
	start := p.i
	for p.i < len(p.s) && p.s[p.i] != ';' {
		if c := p.s[p.i]; c != ' ' && c != '\t' {
			p.i++
			continue
		}
		end := p.i
		for p.i < len(p.s) && (p.s[p.i] == ' ' || p.s[p.i] == '\t') {
			p.i++
		}
		if p.i == len(p.s) || p.s[p.i] == '(' || p.atParam() {
			return p.s[start:end]
		}
	}
	return strings.TrimRight(p.s[start:p.i], " \t")
}

// atParam tells whether another parameter begins here, its semicolon forgotten.
func (p *tokenizer) atParam() bool {
	q := tokenizer{s: p.s, i: p.i}
	return q.token() != "" && q.peek() == '='
}

// quoted reads a quoted string whose first quote has been read; one that does not end goes to the end.
func (p *tokenizer) quoted() (s string, ends bool) {
	rest := p.s[p.i:]
	if n := strings.IndexAny(rest, `"\`); n < 0 || rest[n] == '"' { // the usual case needs no copy
		if n < 0 {
			p.i = len(p.s)
			return rest, false
		}
		p.i += n + 1
		return rest[:n], true
	}
	var b strings.Builder
	for ; p.i < len(p.s) && p.s[p.i] != '"'; p.i++ {
		if p.s[p.i] == '\\' && p.i+1 < len(p.s) {
			p.i++
		}
		b.WriteByte(p.s[p.i])
	}
	ends = p.i < len(p.s)
	p.i = min(p.i+1, len(p.s))
	return b.String(), ends
}
