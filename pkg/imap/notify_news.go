package imap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

const (
	// maxNoticed is how many mailboxes a session keeps an eye on. Beyond, it says so and stops (RFC 5465 §5.8).
	maxNoticed = 50_000
	// maxToldNew is how many new messages of the selected mailbox are described unasked at once; beyond, likewise.
	maxToldNew = 10_000
	// surveyShare: a session that asks for the state of all mailboxes waits at least this many times as long as that took.
	surveyShare = 4
)

// notification is a NOTIFY in effect.
type notification struct {
	notifyRequest
	selected  eventGroup   // of the request; without events if there is none
	watch     *store.Watch // on the account, and on those who share with it; wakes for all mailboxes
	seen      []noticed    // what the client has been told, or knows from before
	names     []string     // subscribed, in order; nil if that is not wanted
	barred    []string     // mailboxes of whose messages the client wants to hear, and may not
	annotated int64        // see store.Account.AnnotationChanges

	news    bool      // the watch has fired since the last survey
	checked time.Time // when that was
	rest    time.Time // when the next may be

	// What this session does is no news for its client (RFC 5465 §5).
	ownNames   []string // of mailboxes that the running command changes
	ownEntries map[metadataKey]bool
	ownMail    map[store.Place]int // how many messages have come
	ownUIDs    imap.UIDSet         // those that have come to the selected mailbox
}

// noticed is what a session must remember of a mailbox to tell what changes.
type noticed struct {
	at         store.Place
	title      string
	modSeq     store.ModSeq
	uidNext    imap.UID
	messages   uint32
	events     event // the client wants to hear of
	subscribed bool
	children   bool
}

// sight is a mailbox as it is now.
type sight struct {
	noticed
	box store.Mailbox
}

// newNotification looks at all mailboxes, so that what happens from now on is news. It watches before it looks.
func (c *conn) newNotification(ctx context.Context, r notifyRequest) (*notification, []sight, error) {
	n := &notification{notifyRequest: r}
	for _, g := range r.groups {
		if g.selected() {
			n.selected = g
		}
	}
	if r.all() == 0 {
		return n, nil, nil
	}
	n.watch = c.srv.Accounts.Watch(c.account.ID())
	sights, err := c.begin(ctx, n)
	if err != nil {
		n.close()
		return nil, nil, fmt.Errorf("notify: %w", err)
	}
	return n, sights, nil
}

func (c *conn) begin(ctx context.Context, n *notification) (sights []sight, err error) {
	if n.wants(mailboxMetadata | serverMetadata) {
		if _, n.annotated, err = c.account.AnnotationChanges(ctx, -1); err != nil {
			return nil, err
		}
	}
	sights, err = c.survey(ctx, n)
	n.remember(sights)
	return sights, err
}

func (n *notification) close() {
	if n.watch != nil {
		n.watch.Close()
	}
}

// wake fires when there may be news of any mailbox.
func (n *notification) wake() <-chan struct{} {
	if n == nil || n.watch == nil {
		return nil
	}
	return n.watch.C
}

// wants reports whether the client asks for any of the events, of any mailbox.
func (n *notification) wants(e event) bool { return n.all().has(e) }

// survey asks for the state of all mailboxes at once: a query however many have changed, and a second and third one if others
// share theirs or subscriptions matter.
func (c *conn) survey(ctx context.Context, n *notification) ([]sight, error) {
	start := time.Now()
	n.news = false
	boxes, err := c.account.Mailboxes(ctx)
	if err != nil {
		return nil, err
	}
	var shared []store.Shared
	if n.reachesOthers() && c.offers(imap.CapACL) {
		if shared, err = c.account.SharedMailboxes(ctx, ""); err != nil {
			return nil, err
		}
	}
	if n.needsNames() {
		names, err := c.account.Subscriptions(ctx)
		if err != nil {
			return nil, err
		}
		n.names = names
	}
	n.checked = time.Now()
	n.rest = n.checked.Add(max(idlePause, surveyShare*n.checked.Sub(start)))
	return c.sights(n, boxes, shared), nil
}

func (n *notification) needsNames() bool {
	return n.wants(subscriptionChange) || slices.ContainsFunc(n.groups, func(g eventGroup) bool { return g.kind == filterSubscribed })
}

// sights are the mailboxes that the client is to hear of; all there are, if it is to hear which there are.
func (c *conn) sights(n *notification, boxes []store.Mailbox, shared []store.Shared) []sight {
	n.barred = nil
	sights := make([]sight, 0, len(boxes)+len(shared))
	parents := make(map[string]bool)
	for i := range boxes {
		markAbove(parents, boxes[i].Name)
	}
	for i := range shared {
		markAbove(parents, ownerPrefix(shared[i].Address)+shared[i].Name)
	}
	add := func(s sight, own bool, rights store.Rights) {
		s.uidNext, s.messages, s.modSeq = s.box.UIDNext, s.box.Messages, s.box.ModSeq
		s.events = n.eventsOf(s.title, own, s.subscribed)
		if !rights.Has(store.RightRead) && s.events.has(messageEvents) { // RFC 5465 §5
			s.events &^= messageEvents
			n.barred = append(n.barred, s.title)
		}
		if s.events != 0 || n.wants(mailboxName) {
			sights = append(sights, s)
		}
	}
	for _, box := range boxes {
		at := store.Place{Account: c.account.ID(), Mailbox: box.ID}
		add(sight{box: box, noticed: noticed{at: at, title: box.Name, subscribed: box.Subscribed, children: parents[box.Name]}},
			true, store.AllRights)
	}
	var owners []store.AccountID
	for _, s := range shared {
		title := ownerPrefix(s.Address) + s.Name
		_, subscribed := slices.BinarySearch(n.names, title)
		add(sight{box: asOthersSee(s.Mailbox), noticed: noticed{at: store.Place{Account: s.Owner, Mailbox: s.ID}, title: title, subscribed: subscribed, children: parents[title]}},
			false, s.Rights)
		if !slices.Contains(owners, s.Owner) {
			owners = append(owners, s.Owner)
		}
	}
	if n.reachesOthers() {
		n.watch.Also(owners...)
	}
	return sights
}

// remember takes what the client has been told of.
func (n *notification) remember(sights []sight) {
	n.seen = make([]noticed, len(sights))
	for i := range sights {
		n.seen[i] = sights[i].noticed
	}
}

// leave notes what the client knows of the mailbox that it has had selected and leaves.
func (n *notification) leave(s *selected) {
	at := store.Place{Account: s.account.ID(), Mailbox: s.box.ID}
	delete(n.ownMail, at)
	for i := range n.seen {
		if o := &n.seen[i]; o.at == at {
			o.uidNext, o.messages, o.modSeq = s.snap.UIDNext(), uint32(s.snap.Len()), s.snap.ModSeq()
		}
	}
}

// hears notes that the watch has fired. What happens in the selected mailbox is told by other means.
func (n *notification) hears(sel *selected) {
	for _, box := range n.watch.Take() {
		if sel == nil || box != sel.box.ID {
			n.news = true
		}
	}
}

// tellNotified tells the client the news of mailboxes that are not selected, if there may be any, or if force is true. It asks
// the store a constant number of times, and not more often than surveyShare allows. A store that does not answer is asked again
// another time.
func (c *conn) tellNotified(ctx context.Context, force bool) error {
	n := c.notified
	if n == nil || n.watch == nil {
		return nil
	}
	select {
	case <-n.watch.C:
		n.hears(c.sel)
	default:
	}
	own := len(n.ownNames) > 0 || len(n.ownEntries) > 0 // they are forgotten with this command, as messages are not
	if !n.news && !force || !own && !force && time.Now().Before(n.rest) {
		return nil
	}
	ctx, cancel := c.briefly(ctx)
	defer cancel()
	err := c.tellSurvey(ctx, n)
	switch {
	case c.enc.Err() != nil:
		return &lost{c.enc.Err()}
	case err != nil:
		n.news, n.rest = true, time.Now().Add(freshFor)
		c.logUntold(err)
	}
	return nil
}

func (c *conn) tellSurvey(ctx context.Context, n *notification) error {
	names := n.names
	sights, err := c.survey(ctx, n)
	if err != nil {
		return err
	}
	if len(sights) > maxNoticed {
		c.overflow()
		return nil
	}
	if err := c.tellSights(ctx, n, sights); err != nil {
		n.names = names // what they are now has not been told
		return err
	}
	c.tellSubscriptions(n, names, sights)
	n.remember(sights)
	n.ownMail = nil
	return c.tellAnnotations(ctx, n, sights)
}

// overflow gives up (RFC 5465 §5.8): from here on it is as if NOTIFY NONE had been given.
func (c *conn) overflow() {
	c.untagged("OK", "NOTIFICATIONOVERFLOW", "Too much happens; NOTIFY is over.")
	c.unnotify()
	c.notified = &notification{}
}

// tellSights tells what is different from what the client knows.
func (c *conn) tellSights(ctx context.Context, n *notification, sights []sight) error {
	old := make(map[store.Place]*noticed, len(n.seen))
	for i := range n.seen {
		old[n.seen[i].at] = &n.seen[i]
	}
	for i := range sights {
		s := &sights[i]
		o := old[s.at]
		delete(old, s.at)
		c.tellPlace(n, s, o)
		if c.sel == nil || s.at != (store.Place{Account: c.sel.account.ID(), Mailbox: c.sel.box.ID}) {
			c.tellMail(n, s, o)
		}
	}
	for i := range n.seen {
		if o := &n.seen[i]; old[o.at] != nil && o.events.has(mailboxName) && !n.isOwn(o.title) {
			attr, err := c.absence(ctx, o.at)
			if err != nil {
				return err
			}
			c.tellName(o.title, o.title, attr)
		}
	}
	return nil
}

// absence says why a mailbox is not to be seen any more: it is gone, or the right to look it up is (RFC 5465 §5.9).
func (c *conn) absence(ctx context.Context, at store.Place) (imap.MailboxAttr, error) {
	if at.Account == c.account.ID() {
		return imap.MailboxAttrNonExistent, nil
	}
	_, err := c.account.SharedRights(ctx, at)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return imap.MailboxAttrNonExistent, nil
	case err != nil:
		return "", err
	}
	return attrNoAccess, nil
}

// attrNoAccess is the attribute of RFC 5465 §5.9.
const attrNoAccess imap.MailboxAttr = `\NoAccess`

// isOwn reports whether what happens to a name is this session's doing: to those its command names, what is below them, and the
// levels above that are made with them.
func (n *notification) isOwn(name string) bool {
	return slices.ContainsFunc(n.ownNames, func(own string) bool { return own == name || below(name, own) || below(own, name) })
}

// tellPlace tells that a mailbox is new, has another name, or other attributes (RFC 5465 §5.4). o is nil for one that the client
// did not know.
func (c *conn) tellPlace(n *notification, s *sight, o *noticed) {
	events := s.events
	if o != nil {
		events |= o.events
	}
	switch {
	case !events.has(mailboxName) || n.isOwn(s.title):
	case o == nil:
		c.writeListOf(s, s.title)
	case o.title != s.title:
		c.writeListOf(s, o.title)
	case o.children != s.children:
		c.writeListOf(s, s.title)
	}
}

// writeListOf writes LIST for a mailbox, with the name it had, if that was another (RFC 5465 §5.4).
func (c *conn) writeListOf(s *sight, oldName string) {
	attrs := []imap.MailboxAttr{imap.MailboxAttrHasNoChildren}
	if s.children {
		attrs[0] = imap.MailboxAttrHasChildren
	}
	if s.subscribed {
		attrs = append(attrs, imap.MailboxAttrSubscribed)
	}
	attrs = append(attrs, s.box.Use...)
	c.tellName(s.title, oldName, c.shown(attrs)...)
}

// tellMail tells with STATUS that messages have come, gone or changed (RFC 5465 §5.1 to §5.3).
func (c *conn) tellMail(n *notification, s *sight, o *noticed) {
	if o == nil {
		o = &noticed{uidNext: 1, modSeq: s.modSeq}
	}
	came := int(s.uidNext) - int(o.uidNext)
	mail := came != 0 || s.messages != o.messages
	own := n.ownMail[s.at]
	switch {
	case own > 0 && own == came && int(s.messages) == int(o.messages)+own:
	case s.events.has(messageNew|messageExpunge) && mail, s.events.has(flagChange) && s.modSeq != o.modSeq:
		c.writeStatusOf(s)
	}
}

// writeStatusOf writes STATUS for a mailbox, with what its events make necessary (RFC 5465 §3.1).
func (c *conn) writeStatusOf(s *sight) {
	items := []string{"MESSAGES", "UIDNEXT", "UIDVALIDITY"}
	if s.events.has(flagChange) {
		items = append(items, "UNSEEN")
	}
	if (s.events.has(flagChange) || c.has(imap.CapCondStore)) && c.offers(imap.CapCondStore) {
		items = append(items, "HIGHESTMODSEQ")
	}
	c.enc.Atom("* STATUS ").Mailbox(s.title).SP().List(len(items), func(i int) {
		c.writeStatusItem(items[i], &s.box)
	}).CRLF()
}

// tellSubscriptions tells which names have been subscribed to or not any more (RFC 5465 §5.5). before is the list as it was.
func (c *conn) tellSubscriptions(n *notification, before []string, sights []sight) {
	if !n.wants(subscriptionChange) {
		return
	}
	at := make(map[string]*sight, len(sights))
	for i := range sights {
		at[sights[i].title] = &sights[i]
	}
	for _, name := range differences(before, n.names) {
		_, subscribed := slices.BinarySearch(n.names, name)
		own := !below(name, store.OthersName)
		switch s := at[name]; {
		case n.isOwn(name) || !(n.eventsOf(name, own, true) | n.eventsOf(name, own, false)).has(subscriptionChange):
		case s != nil && n.isNew(s): // LIST has just said so
		case s != nil:
			s.subscribed = subscribed
			c.writeListOf(s, s.title)
		default:
			var attrs []imap.MailboxAttr
			if subscribed {
				attrs = append(attrs, imap.MailboxAttrSubscribed)
			}
			c.tellName(name, name, append(attrs, imap.MailboxAttrNonExistent)...)
		}
	}
}

// isNew reports whether the client has just been told that there is such a mailbox.
func (n *notification) isNew(s *sight) bool {
	return s.events.has(mailboxName) && !slices.ContainsFunc(n.seen, func(o noticed) bool { return o.at == s.at })
}

// differences returns what is in one of two ascending lists and not in the other.
func differences(a, b []string) []string {
	var diff []string
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0] < b[0]:
			diff, a = append(diff, a[0]), a[1:]
		case len(a) == 0 || b[0] < a[0]:
			diff, b = append(diff, b[0]), b[1:]
		default:
			a, b = a[1:], b[1:]
		}
	}
	return diff
}

// tellAnnotations tells which annotations have changed (RFC 5465 §5.6, §5.7).
func (c *conn) tellAnnotations(ctx context.Context, n *notification, sights []sight) error {
	if !n.wants(mailboxMetadata | serverMetadata) {
		return nil
	}
	changed, until, err := c.account.AnnotationChanges(ctx, n.annotated)
	if err != nil {
		return err
	}
	n.annotated = until
	titles := make(map[store.MailboxID]string)
	for i := range sights {
		if sights[i].events.has(mailboxMetadata) {
			titles[sights[i].box.ID] = sights[i].title
		}
	}
	if n.wants(serverMetadata) {
		titles[0] = ""
	}
	for _, a := range changed {
		if title, ok := titles[a.Box]; ok && !n.ownEntries[metadataKey{a.Box, a.Entry}] {
			c.writeMetadataNames(title, []string{a.Entry})
		}
	}
	return nil
}

// writeAllStatus writes what NOTIFY SET STATUS begins with (RFC 5465 §3.1).
func (c *conn) writeAllStatus(sights []sight) {
	for i := range sights {
		s := &sights[i]
		selected := c.sel != nil && s.at == store.Place{Account: c.sel.account.ID(), Mailbox: c.sel.box.ID}
		if s.events.has(messageEvents) && !selected {
			c.writeStatusOf(s)
		}
	}
}
