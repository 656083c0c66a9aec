package lmtp

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxPath is the longest path: RFC 5321 §4.5.3.1.3 has 256 octets, UTF-8 may need more.
const maxPath = 1000

// path is a forward-path or reverse-path (RFC 5321 §4.1.2).
type path struct {
	text    string // as the client wrote it, without "<", ">" and source route
	address string // the same with the quotes of the local part undone
}

// parsePath reads a path and returns what follows it. A client that leaves the angle brackets out is understood.
func parsePath(s string) (p path, rest string, ok bool) {
	s = strings.TrimLeft(s, " ")
	if !strings.HasPrefix(s, "<") {
		p.text, rest, _ = strings.Cut(s, " ")
	} else {
		end := closing(s)
		if end < 0 {
			return path{}, "", false
		}
		p.text, rest = s[1:end], s[end+1:]
		if rest != "" && rest[0] != ' ' {
			return path{}, "", false
		}
	}
	p.text = withoutRoute(p.text)
	if p.text == "" {
		return p, rest, s != "" // the null reverse-path
	}
	p.address, ok = unquote(p.text)
	return p, rest, ok && valid(p.text)
}

// closing returns the place of the ">" that ends a path: one in a quoted local part does not.
func closing(s string) int {
	quoted := false
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return i
		}
	}
	return -1
}

// withoutRoute drops a source route, as RFC 5321 §4.1.1.3 and appendix C ask.
func withoutRoute(text string) string {
	if strings.HasPrefix(text, "@") {
		if _, mailbox, ok := strings.Cut(text, ":"); ok {
			return mailbox
		}
	}
	return text
}

// unquote undoes a quoted local part: "john doe"@example.org is the same mailbox as john\ doe@example.org would be.
func unquote(text string) (string, bool) {
	if !strings.HasPrefix(text, `"`) {
		return text, !strings.ContainsAny(text, ` "<>()\`) && !strings.HasPrefix(text, "@") && !strings.HasSuffix(text, "@")
	}
	var local strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			if i++; i == len(text) {
				return "", false
			}
		case '"':
			rest := text[i+1:]
			return local.String() + rest, local.Len() > 0 && len(rest) > 1 && rest[0] == '@' && !strings.ContainsAny(rest, ` "<>()`)
		}
		local.WriteByte(text[i])
	}
	return "", false
}

func valid(text string) bool {
	return len(text) <= maxPath && utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// parseParameters reads esmtp-keyword[=value] (RFC 5321 §4.1.2). Keywords come in capitals.
func parseParameters(s string) (map[string]string, bool) {
	var parameters map[string]string // most often there are none
	for word := range strings.FieldsSeq(s) {
		keyword, value, _ := strings.Cut(word, "=")
		keyword = strings.ToUpper(keyword)
		if _, twice := parameters[keyword]; twice || keyword == "" {
			return nil, false
		}
		if parameters == nil {
			parameters = make(map[string]string)
		}
		parameters[keyword] = value
	}
	return parameters, true
}

// cutKeyword takes "FROM:" or "TO:" off.
func cutKeyword(args, keyword string) (string, bool) {
	if len(args) < len(keyword) || !strings.EqualFold(args[:len(keyword)], keyword) {
		return "", false
	}
	return args[len(keyword):], true
}
