package wire

import (
	"strings"
	"unicode/utf8"
)

const (
	inbox     = "INBOX"
	delimiter = "/"
)

// Mailbox reads the name of a mailbox and returns it in UTF-8. INBOX comes in capitals, whatever the client's spelling,
// also as the first level of a longer name. One delimiter at either end is dropped: clients add them (Outlook, iOS).
func (d *Decoder) Mailbox() string {
	s := d.name(d.AString())
	if d.err != nil {
		return ""
	}
	if len(s) > 1 {
		s = strings.TrimPrefix(s, delimiter)
	}
	if len(s) > 1 {
		s = strings.TrimSuffix(s, delimiter)
	}
	return CanonicalName(s)
}

// CanonicalName spells the first level of name in capitals if it is INBOX.
func CanonicalName(name string) string {
	first, _, _ := strings.Cut(name, delimiter)
	if strings.EqualFold(first, inbox) {
		return inbox + name[len(first):]
	}
	return name
}

// name decodes a name as a client sends it.
func (d *Decoder) name(s string) string {
	if d.err != nil {
		return ""
	}
	if d.limits.UTF8 && utf8.ValidString(s) || isUTF8(s) {
		return s // RFC 6855 §3: then "&" is only a character
	}
	name, err := DecodeUTF7(s)
	if err != nil {
		d.Fail("a mailbox name in modified UTF-7 before this") // RFC 3501 §5.1.3
		return ""
	}
	return name
}

// isUTF8 reports whether a name is in UTF-8, enabled or not: some clients take the offer of IMAP4rev2 for leave. It cannot be
// mistaken for modified UTF-7, in which there are no such octets.
func isUTF8(s string) bool {
	return utf8.ValidString(s) && strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// ListMailbox reads a pattern with the wildcards "%" and "*" and returns it in UTF-8. A pattern that stops in the middle of
// modified UTF-7 comes as it is, to match nothing.
func (d *Decoder) ListMailbox() string {
	s := ""
	switch d.Peek() {
	case '"', '{':
		s = d.Text()
	default:
		if s = d.run(isListChar); s == "" {
			d.Fail("a mailbox pattern")
		}
	}
	if d.err != nil || d.limits.UTF8 || isUTF8(s) {
		return s
	}
	if name, err := DecodeUTF7(s); err == nil {
		return name
	}
	return s
}
