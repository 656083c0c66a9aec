package imap

import (
	"context"
	"slices"
	"strings"

	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// listing is a LIST at work: which names are to be told, and what of them.
type listing struct {
	r       *listRequest
	names   []listed
	matcher *matcher

	parents  map[string]bool // names with other people's mailboxes below them; of the user's own, the store says it
	selected map[string]bool // names with selected ones below them, if that is asked for
	hidden   map[string]bool // and with such as no pattern matches
}

// found is a name that is told.
type found struct {
	*listed
	attrs     []imap.MailboxAttr
	childInfo bool // selected ones are below it (RFC 5258 §3.5)
}

func newListing(r *listRequest, names []listed) *listing {
	l := &listing{r: r, names: names, matcher: newMatcher(r.patterns...), parents: make(map[string]bool)}
	for i := range names {
		if !names[i].own() {
			markAbove(l.parents, names[i].name)
		}
	}
	return l
}

// markAbove marks the names above a name. Where one is marked, those above it are.
func markAbove(marks map[string]bool, name string) {
	for p := parentOf(name); p != "" && !marks[p]; p = parentOf(p) {
		marks[p] = true
	}
}

func parentOf(name string) string { return name[:max(0, strings.LastIndex(name, store.Delimiter))] }

// withMissing adds subscribed names in a scope that have no mailbox (RFC 5258 §3.4).
func (c *conn) withMissing(ctx context.Context, in scope, names []listed) ([]listed, error) {
	subscribed, err := c.account.Subscriptions(ctx)
	if err != nil {
		return nil, err
	}
	there := make(map[string]bool, len(names))
	for i := range names {
		there[names[i].name] = true
	}
	for _, name := range subscribed {
		if !there[name] && in.holds(name) {
			l := listed{name: name, missing: true}
			l.box.Subscribed = true
			names = append(names, l)
		}
	}
	return names, nil
}

// looksEvery is after how many names it is seen whether anyone still waits.
const looksEvery = 1024

// choose returns the names to tell, in their order: those that a pattern matches and that are selected, and with
// RECURSIVEMATCH those above selected ones (RFC 5258 §3.1).
func (l *listing) choose(ctx context.Context) ([]found, error) {
	matched := make([]bool, len(l.names))
	for i := range l.names {
		if i%looksEvery == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		matched[i] = l.matcher.matches(l.names[i].name)
	}
	l.lookBelow(matched)
	var all []found
	for i := range l.names {
		name := &l.names[i]
		below := l.selected[name.name]
		if matched[i] && (l.selects(name) || below && (name.readable() || l.hidden[name.name])) {
			all = append(all, found{name, l.attributes(name), below})
		}
	}
	return append(all, l.phantoms()...), nil
}

// selects says whether a name is what the selection options ask for.
func (l *listing) selects(name *listed) bool {
	return (!l.r.subscribed || name.box.Subscribed) && (!l.r.specialUse || len(name.box.Use) > 0)
}

// lookBelow marks what is above selected names, if that is asked for.
func (l *listing) lookBelow(matched []bool) {
	if !l.r.recursive {
		return
	}
	l.selected, l.hidden = make(map[string]bool), make(map[string]bool)
	for i := range l.names {
		if !l.selects(&l.names[i]) {
			continue
		}
		markAbove(l.selected, l.names[i].name)
		if !matched[i] {
			markAbove(l.hidden, l.names[i].name)
		}
	}
}

// phantoms are names that neither are there nor subscribed, above some that no pattern matches (RFC 5258 §3.4).
func (l *listing) phantoms() []found {
	known := make(map[string]bool, len(l.names))
	if len(l.hidden) > 0 {
		for i := range l.names {
			known[l.names[i].name] = true
		}
	}
	var all []found
	for name := range l.hidden {
		if !known[name] && l.matcher.matches(name) {
			phantom := &listed{name: name, missing: true}
			all = append(all, found{phantom, l.attributes(phantom), true})
		}
	}
	slices.SortFunc(all, func(a, b found) int { return strings.Compare(a.name, b.name) })
	return all
}

// attributes of a name. Whether there are others below it is told even if it is not asked for, and special uses too; of names
// without a mailbox only what is asked for.
func (l *listing) attributes(name *listed) []imap.MailboxAttr {
	attrs := make([]imap.MailboxAttr, 0, 4)
	switch {
	case name.level:
		attrs = append(attrs, imap.MailboxAttrNoSelect, imap.MailboxAttrHasChildren)
	case name.missing && !l.r.children:
	case name.box.HasChildren, l.parents[name.name]:
		attrs = append(attrs, imap.MailboxAttrHasChildren)
	default:
		attrs = append(attrs, imap.MailboxAttrHasNoChildren)
	}
	if l.r.tell && name.box.Subscribed {
		attrs = append(attrs, imap.MailboxAttrSubscribed)
	}
	switch {
	case name.missing:
		attrs = append(attrs, imap.MailboxAttrNonExistent)
	case !name.level && len(l.r.status) > 0 && !name.rights.Has(store.RightRead):
		attrs = append(attrs, imap.MailboxAttrNoSelect) // RFC 5819 §2
	}
	return append(attrs, name.box.Use...)
}

// readable reports whether STATUS and METADATA of a name can be told.
func (l *listed) readable() bool { return !l.missing && !l.level }

// writeName writes LIST, and STATUS and MYRIGHTS behind it.
func (c *conn) writeName(r *listRequest, f found) {
	var below []string
	if f.childInfo {
		below = r.options
	}
	c.writeListed(f.name, f.attrs, below)
	if !f.readable() {
		return
	}
	if len(r.status) > 0 && f.rights.Has(store.RightRead) {
		c.writeStatus(f.name, r.status, &f.box)
	}
	if r.rights {
		c.enc.Atom("* MYRIGHTS ").Mailbox(f.name).SP().AString(spellRights(f.rights)).CRLF() // RFC 8440 §3
	}
}

// writeListed writes LIST; below are the options by which mailboxes below are selected (RFC 5258 §3.5).
func (c *conn) writeListed(name string, attrs []imap.MailboxAttr, below []string) {
	c.beginList("LIST", name, attrs)
	if len(below) > 0 {
		c.enc.Atom(" (CHILDINFO ").List(len(below), func(i int) { c.enc.String(below[i]) }).Byte(')')
	}
	c.enc.CRLF()
}

func (c *conn) beginList(response, name string, attrs []imap.MailboxAttr) {
	attrs = c.shown(attrs)
	c.enc.Atom("* ").Atom(response).SP().List(len(attrs), func(i int) { c.enc.Atom(string(attrs[i])) })
	c.enc.Atom(` "/" `).Mailbox(name)
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
