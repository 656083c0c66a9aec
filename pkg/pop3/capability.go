package pop3

import (
	"context"
	"strings"
)

// CAPA (RFC 2449 §5). The list is the same before and after login: clients ask once.
func (c *conn) capa(context.Context, nothing) error {
	c.ok("Capabilities follow.")
	c.lines(c.capabilities()...)
	return nil
}

func (c *conn) capabilities() []string {
	list := []string{
		"TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING",
		"EXPIRE NEVER", "LOGIN-DELAY 0", "UTF8 USER", "LANG", "IMPLEMENTATION Postern",
	}
	if c.plain() != nil {
		list = append(list, "STLS")
	}
	if c.plainOffered() {
		list = append(list, "USER")
	}
	if mechanisms := c.server.Auth.Mechanisms(c.peer); len(mechanisms) > 0 {
		list = append(list, "SASL "+strings.Join(mechanisms, " "))
	}
	return list
}

// UTF8 (RFC 6856 §2). Messages go out as they are in either mode: RFC 6856 would have them rewritten for a client that has
// not asked, which breaks signatures and the promise that RETR and IMAP show the same octets.
func (c *conn) utf8(context.Context, nothing) error {
	c.ok("UTF-8 it is.")
	return nil
}

// language is one that replies can be had in: a tag of RFC 5646 and its own name for itself.
type language struct{ tag, name string }

// languages are two names for the same words: i-default must be there (RFC 6856 §3).
var languages = []language{{"i-default", "Default language"}, {"en", "English"}}

// LANG (RFC 6856 §3) lists the languages or chooses one; "*" is ours to choose.
func (c *conn) lang(_ context.Context, wish string) error {
	wish = strings.TrimSpace(wish)
	if wish == "" {
		c.ok("Languages follow.")
		for _, l := range languages {
			c.line(l.tag + " " + l.name)
		}
		c.line(".")
		return nil
	}
	for _, l := range languages {
		if wish == "*" || strings.EqualFold(wish, l.tag) {
			c.ok(l.tag + " " + l.name + " it is.")
			return nil
		}
	}
	return &refusal{text: "That language is not offered."}
}

func (c *conn) noop(context.Context, nothing) error {
	c.ok("Nothing done.")
	return nil
}
