// LIST and LSUB (RFC 3501 §6.3.8, §6.3.9; CHILDREN, RFC 3348; SPECIAL-USE, RFC 6154 §2).

package imap

import (
	"context"
	"slices"
	"strings"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

type listRequest struct {
	pattern    string // reference and pattern
	root       bool   // the pattern was empty: only the delimiter is asked for
	subscribed bool   // only these
	specialUse bool   // only those with one
	tell       bool   // \Subscribed
}

func parseList(d *wire.Decoder, _ flags) (listRequest, error) {
	var r listRequest
	if d.SP(); d.Peek() == '(' {
		r.parseSelection(d)
		d.SP()
	}
	r.parsePattern(d)
	if d.TrySP() {
		r.parseReturn(d)
	}
	return r, d.End()
}

func parseLsub(d *wire.Decoder, _ flags) (listRequest, error) {
	var r listRequest
	d.SP()
	r.parsePattern(d)
	return r, d.End()
}

func (r *listRequest) parsePattern(d *wire.Decoder) {
	ref := d.ListMailbox()
	pattern := d.SP().ListMailbox()
	r.root = pattern == ""
	r.pattern = wire.CanonicalName(trimDelimiters(collapse(ref + pattern)))
}

// collapse makes one wildcard of those that stand together, so that a long pattern costs no more than a long name.
func collapse(pattern string) string {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		p := pattern[i]
		for ; i+1 < len(pattern) && isWildcard(p) && isWildcard(pattern[i+1]); i++ {
			if pattern[i+1] == '*' {
				p = '*'
			}
		}
		b.WriteByte(p)
	}
	return b.String()
}

func isWildcard(b byte) bool { return b == '*' || b == '%' }

// trimDelimiters takes off one delimiter at either end, which clients add (trap: Outlook, iOS).
func trimDelimiters(s string) string {
	if len(s) > 1 {
		s = strings.TrimPrefix(s, store.Delimiter)
	}
	if len(s) > 1 {
		s = strings.TrimSuffix(s, store.Delimiter)
	}
	return s
}

// parseSelection and parseReturn read of RFC 5258 what SPECIAL-USE needs (RFC 6154 §2).
func (r *listRequest) parseSelection(d *wire.Decoder) {
	d.List(func() {
		switch word := d.Keyword(); {
		case word == "SUBSCRIBED":
			r.subscribed, r.tell = true, true
		case word == "SPECIAL-USE" && d.Knows(imap.CapSpecialUse):
			r.specialUse = true
		default:
			d.Fail("SUBSCRIBED or SPECIAL-USE before this")
		}
	})
}

func (r *listRequest) parseReturn(d *wire.Decoder) {
	if d.Keyword() != "RETURN" {
		d.Fail("RETURN before this")
	}
	d.SP().List(func() {
		switch d.Keyword() {
		case "SUBSCRIBED":
			r.tell = true
		case "SPECIAL-USE", "CHILDREN": // told in any case
		default:
			d.Fail("SUBSCRIBED, SPECIAL-USE or CHILDREN before this")
		}
	})
}

func (c *conn) list(ctx context.Context, r listRequest) error {
	if r.root {
		c.writeList("LIST", "", imap.MailboxAttrNoSelect)
		return nil
	}
	names, err := c.tree(ctx)
	if err != nil {
		return err
	}
	exists, parents := family(names)
	if r.subscribed {
		if err := c.listMissing(ctx, r, exists); err != nil {
			return err
		}
	}
	for i := range names {
		l := &names[i]
		if r.selects(&l.box) && matches(r.pattern, l.name) {
			c.writeList("LIST", l.name, c.shown(r.attributes(l, parents[l.name]))...)
		}
	}
	return nil
}

// listMissing lists subscribed names that have no mailbox (RFC 5258 §3.4).
func (c *conn) listMissing(ctx context.Context, r listRequest, exists map[string]bool) error {
	names, err := c.account.Subscriptions(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !exists[name] && !r.specialUse && matches(r.pattern, name) {
			c.writeList("LIST", name, imap.MailboxAttrSubscribed, imap.MailboxAttrNonExistent)
		}
	}
	return nil
}

func (r *listRequest) selects(box *store.Mailbox) bool {
	return (!r.subscribed || box.Subscribed) && (!r.specialUse || len(box.Use) > 0)
}

func (r *listRequest) attributes(l *listed, parent bool) []imap.MailboxAttr {
	if l.level {
		return []imap.MailboxAttr{imap.MailboxAttrNoSelect, imap.MailboxAttrHasChildren}
	}
	attrs := []imap.MailboxAttr{imap.MailboxAttrHasNoChildren}
	if parent {
		attrs[0] = imap.MailboxAttrHasChildren
	}
	if r.tell && l.box.Subscribed {
		attrs = append(attrs, imap.MailboxAttrSubscribed)
	}
	return append(attrs, l.box.Use...)
}

// lsub lists subscriptions. One that a "%" keeps from matching shows in the parent that matches (RFC 3501 §6.3.9).
func (c *conn) lsub(ctx context.Context, r listRequest) error {
	if r.root {
		c.writeList("LSUB", "", imap.MailboxAttrNoSelect)
		return nil
	}
	names, err := c.account.Subscriptions(ctx)
	if err != nil {
		return err
	}
	shown := make(map[string][]imap.MailboxAttr)
	for _, name := range names {
		if matches(r.pattern, name) {
			shown[name] = nil
			continue
		}
		for p := parentOf(name); p != "" && strings.Contains(r.pattern, "%"); p = parentOf(p) {
			if _, ok := shown[p]; !ok && matches(r.pattern, p) {
				shown[p] = []imap.MailboxAttr{imap.MailboxAttrNoSelect}
			}
		}
	}
	for _, name := range sortedKeys(shown) {
		c.writeList("LSUB", name, shown[name]...)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// shown leaves out the attributes that belong to what is masked.
func (c *conn) shown(attrs []imap.MailboxAttr) []imap.MailboxAttr {
	return slices.DeleteFunc(attrs, func(a imap.MailboxAttr) bool {
		switch a {
		case imap.MailboxAttrHasChildren, imap.MailboxAttrHasNoChildren:
			return !c.offers(imap.CapChildren)
		case imap.MailboxAttrSubscribed, imap.MailboxAttrNonExistent, imap.MailboxAttrNoSelect, imap.MailboxAttrNoInferiors:
			return false
		}
		return !c.offers(imap.CapSpecialUse)
	})
}

func (c *conn) writeList(response, name string, attrs ...imap.MailboxAttr) {
	c.enc.Atom("* ").Atom(response).SP().List(len(attrs), func(i int) { c.enc.Atom(string(attrs[i])) })
	c.enc.Atom(` "/" `).Mailbox(name).CRLF()
}

// family says which names exist and which have others below them.
func family(names []listed) (exists, parents map[string]bool) {
	exists, parents = make(map[string]bool, len(names)), make(map[string]bool)
	for i := range names {
		exists[names[i].name] = !names[i].level
		for p := parentOf(names[i].name); p != ""; p = parentOf(p) {
			parents[p] = true
		}
	}
	return exists, parents
}

func parentOf(name string) string { return name[:max(0, strings.LastIndex(name, store.Delimiter))] }

// matches reports whether a mailbox is one the pattern asks for: "*" stands for anything, "%" for anything within a level.
// INBOX matches in any case. The time it takes is in the product of the lengths, whatever the wildcards.
func matches(pattern, name string) bool {
	if name == "INBOX" {
		pattern = strings.ToUpper(pattern)
	}
	if strings.Count(pattern, "")-strings.Count(pattern, "*")-strings.Count(pattern, "%") > len(name)+1 {
		return false // and a long pattern costs nothing more
	}
	// reach[j] says whether the pattern so far matches name[:j].
	reach := make([]bool, len(name)+1)
	reach[0] = true
	for i := range len(pattern) {
		step(reach, pattern[i], name)
	}
	return reach[len(name)]
}

// step moves reach on by one octet of the pattern.
func step(reach []bool, p byte, name string) {
	switch p {
	case '*', '%':
		for j := range len(name) {
			reach[j+1] = reach[j+1] || reach[j] && (p == '*' || name[j] != '/')
		}
	default:
		for j := len(name); j > 0; j-- {
			reach[j] = reach[j-1] && name[j-1] == p
		}
		reach[0] = false
	}
}
