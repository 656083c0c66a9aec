package lmtp

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// trace is what all recipients of a message have in common in their trace headers.
type trace struct {
	from     string // the reverse-path
	received string // the Received header up to "for"
}

// newTrace writes down how the message came (RFC 5321 §4.4; RFC 3848 and RFC 6531 §4.3 for the names of protocols).
func (c *conn) newTrace(env *envelope) trace {
	protocol := "LMTP"
	if env.utf8 {
		protocol = "UTF8LMTP"
	}
	if c.secure {
		protocol += "S"
	}
	peer := ""
	if c.peer.IsValid() {
		peer = " (" + addressLiteral(c.peer.String()) + ")"
	}
	return trace{env.from, "Received: from " + traceName(c.helo) + peer + "\r\n\tby " + c.server.Hostname + " with " + protocol + " id " + env.id}
}

// prefix is the headers for one recipient: Return-Path (once, by the one who makes the final delivery), Delivered-To (so
// that forwarding in a circle can be seen) and Received.
func (t trace) prefix(account, to string, at time.Time) []byte {
	b := make([]byte, 0, len(t.from)+len(account)+len(t.received)+len(to)+traceOctets)
	for _, s := range [...]string{"Return-Path: <", t.from, ">\r\nDelivered-To: ", account, "\r\n", t.received, "\r\n\tfor <", to, ">; "} {
		b = append(b, s...)
	}
	return append(at.AppendFormat(b, time.RFC1123Z), "\r\n"...)
}

// traceOctets is more than what a prefix has beside its parts.
const traceOctets = 96

// addressLiteral is RFC 5321 §4.1.3.
func addressLiteral(ip string) string {
	if strings.Contains(ip, ":") {
		return "[IPv6:" + ip + "]"
	}
	return "[" + ip + "]"
}

// traceName makes sure that a name a client made up cannot be taken for something else in the header.
func traceName(helo string) string {
	unsafe := func(r rune) bool {
		return unicode.IsControl(r) || unicode.IsSpace(r) || strings.ContainsRune("()<>;,\"\\", r)
	}
	if len(helo) > 255 || !utf8.ValidString(helo) || strings.ContainsFunc(helo, unsafe) {
		return "unknown"
	}
	return helo
}
