// NOTIFY (RFC 5465): which events a client wants to hear of all the time, not only while a command runs.

package imap

import (
	"context"
	"slices"
	"strings"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// event is a set of the events of RFC 5465 §5.
type event uint16

const (
	messageNew event = 1 << iota
	messageExpunge
	flagChange
	mailboxName
	subscriptionChange
	mailboxMetadata
	serverMetadata
	annotationChange // not supported: there are no annotations of messages (RFC 5257)

	messageEvents = messageNew | messageExpunge | flagChange
)

func (e event) has(f event) bool { return e&f != 0 }

// eventNames are what can be asked for, as BADEVENT lists it.
var eventNames = []struct {
	name string
	event
}{
	{"MessageNew", messageNew},
	{"MessageExpunge", messageExpunge},
	{"FlagChange", flagChange},
	{"MailboxName", mailboxName},
	{"SubscriptionChange", subscriptionChange},
	{"MailboxMetadataChange", mailboxMetadata},
	{"ServerMetadataChange", serverMetadata},
}

// eventGroup is some mailboxes, and the events in them that the client wants to hear of.
type eventGroup struct {
	mailboxFilter
	events event
	fetch  []item // of a new message in the selected mailbox
}

// notifyRequest is what the client wants to hear of from now on; nothing without groups.
type notifyRequest struct {
	status      bool // begin with the STATUS of the mailboxes concerned
	groups      []eventGroup
	unsupported bool // an event that is not known
}

// Bounds of a request (rule 11).
const (
	maxEventGroups = 100
	maxEvents      = 32   // in a group
	maxEventNames  = 1000 // of mailboxes, in all groups
)

// parseNotify reads "NONE", or "SET" [SP "STATUS"] and groups (RFC 5465 §8).
func parseNotify(d *wire.Decoder, _ flags) (notifyRequest, error) {
	var r notifyRequest
	switch d.SP().Keyword() {
	case "NONE":
	case "SET":
		if d.SP(); d.Peek() != '(' {
			r.parseStatus(d)
		}
		r.parseGroup(d)
		for d.TrySP() {
			r.parseGroup(d)
		}
		r.check(d)
	default:
		d.Fail("NONE or SET before this")
	}
	return r, d.End()
}

func (r *notifyRequest) parseStatus(d *wire.Decoder) {
	if d.Keyword() != "STATUS" {
		d.Fail("STATUS or an event group")
	}
	r.status = true
	d.SP()
}

func (r *notifyRequest) parseGroup(d *wire.Decoder) {
	if len(r.groups) == maxEventGroups {
		d.Fail("at most %d event groups", maxEventGroups)
		return
	}
	d.Expect('(')
	names := 0
	g := eventGroup{mailboxFilter: parseMailboxFilter(d)}
	for i := range r.groups {
		names += len(r.groups[i].names)
	}
	if g.kind == filterSubtreeOne || names+len(g.names) > maxEventNames {
		d.Fail("another filter, or %d mailboxes at most, before this", maxEventNames)
	}
	if d.SP(); d.Peek() == '(' {
		r.parseEvents(d, &g)
	} else if d.Keyword() != "NONE" {
		d.Fail("NONE or a list of events")
	}
	d.Expect(')')
	r.groups = append(r.groups, g)
}

func (r *notifyRequest) parseEvents(d *wire.Decoder, g *eventGroup) {
	n := 0
	d.List(func() {
		if n++; n > maxEvents {
			d.Fail("at most %d events", maxEvents)
			return
		}
		word := d.Keyword()
		i := slices.IndexFunc(eventNames, func(e struct {
			name string
			event
		},
		) bool {
			return strings.EqualFold(e.name, word)
		})
		if i < 0 || eventNames[i].has(mailboxMetadata|serverMetadata) && !d.Knows(imap.CapMetadata) {
			r.unsupported = true
			return
		}
		g.events |= eventNames[i].event
		if eventNames[i].event == messageNew && d.PeekList() {
			g.parseFetch(d.SP())
		}
	})
	if n == 0 {
		d.Fail("an event before this")
	}
}

// parseFetch reads what the client wants to know of new messages. Only of the selected mailbox it can be told that.
func (g *eventGroup) parseFetch(d *wire.Decoder) {
	g.fetch = parseDescription(d).items
	if !g.selected() {
		d.Fail("no list of FETCH data items here")
	}
}

// parseDescription reads a list of FETCH data items, for messages that are told of unasked. The UID goes with them: message
// numbers say little to a client that is told at any time.
func parseDescription(d *wire.Decoder) fetchRequest {
	f := fetchRequest{byUID: true, from: d.At()}
	d.List(func() { f.add(d, parseFetchItem(d, d.Keyword())) })
	if len(f.items) == 0 {
		d.Fail("a FETCH data item before this")
	}
	f.implied()
	return f
}

func (g *eventGroup) selected() bool {
	return g.kind == filterSelected || g.kind == filterSelectedDelayed
}

// check refuses what RFC 5465 §5 and §6.1 do not allow: events of messages go together, and of the selected mailbox only they
// can be asked for, once.
func (r *notifyRequest) check(d *wire.Decoder) {
	selected := 0
	for i := range r.groups {
		g := &r.groups[i]
		if g.selected() {
			selected++
		}
		switch {
		case g.events.has(messageEvents) && g.events&(messageNew|messageExpunge) != messageNew|messageExpunge && !r.unsupported:
			d.Fail("MessageNew and MessageExpunge, or neither, before this")
		case g.selected() && g.events&^messageEvents != 0:
			d.Fail("events of messages alone for the selected mailbox, before this")
		case selected > 1:
			d.Fail("the selected mailbox once, before this")
		}
	}
}

// badEvent refuses a request for events there are none of (RFC 5465 §3.1).
func (c *conn) badEvent() error {
	var known []string
	for _, e := range eventNames {
		if !e.has(mailboxMetadata|serverMetadata) || c.offers(imap.CapMetadata) {
			known = append(known, e.name)
		}
	}
	return refusal{code: "BADEVENT (" + strings.Join(known, " ") + ")", text: "There are other events only."}
}

// notify answers NOTIFY. What has happened in the selected mailbox so far is told after it as after NOOP.
func (c *conn) notify(ctx context.Context, r notifyRequest) error {
	if r.unsupported {
		return c.badEvent()
	}
	n, sights, err := c.newNotification(ctx, r)
	if err != nil {
		return err
	}
	c.unnotify()
	c.notified = n
	if len(sights) > maxNoticed {
		c.overflow()
		return nil
	}
	for _, name := range n.barred {
		if r.mentions(name) { // RFC 5465 §3.1
			c.tellName(name, name, attrNoAccess)
		}
	}
	if r.status {
		c.writeAllStatus(sights)
	}
	return nil
}

// mentions reports whether a mailbox is asked about by its name.
func (r *notifyRequest) mentions(name string) bool {
	return slices.ContainsFunc(r.groups, func(g eventGroup) bool { return slices.Contains(g.names, name) })
}

// unnotify ends what NOTIFY began; the session is as if it had never been given.
func (c *conn) unnotify() {
	if c.notified != nil {
		c.notified.close()
		c.notified = nil
	}
}

// heeds are the events of the selected mailbox that the client wants to hear of.
func (c *conn) heeds() event {
	if c.notified == nil {
		return messageEvents
	}
	return c.notified.selected.events
}

// eventsOf are the events of a mailbox that the client wants to hear of, if it is not the selected one or they are not about
// messages. own says that it is the user's, subscribed that he has subscribed to it.
func (r *notifyRequest) eventsOf(name string, own, subscribed bool) event {
	var e event
	for i := range r.groups {
		if g := &r.groups[i]; g.covers(name, own, subscribed) {
			e |= g.events
		}
	}
	return e
}

// covers reports whether a group is about a mailbox that is not the selected one.
func (g *eventGroup) covers(name string, own, subscribed bool) bool {
	switch g.kind {
	case filterSelected, filterSelectedDelayed:
		return false
	case filterInboxes, filterPersonal:
		return own && g.selects(name, subscribed)
	}
	return g.selects(name, subscribed)
}

// below reports whether a name is one below another.
func below(name, root string) bool {
	rest, ok := strings.CutPrefix(name, root)
	return ok && strings.HasPrefix(rest, store.Delimiter)
}

// all are the events of any mailboxes but the selected one that the client wants to hear of.
func (r *notifyRequest) all() event {
	var e event
	for i := range r.groups {
		if !r.groups[i].selected() {
			e |= r.groups[i].events
		}
	}
	return e
}

// reachesOthers reports whether mailboxes of other users may be meant.
func (r *notifyRequest) reachesOthers() bool {
	return slices.ContainsFunc(r.groups, func(g eventGroup) bool {
		return g.kind == filterSubscribed || g.reachesOthers()
	})
}
