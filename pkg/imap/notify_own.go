package imap

import (
	"context"
	"errors"
	"fmt"

	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
	"go.uber.org/zap"
)

// A server should not notify a client of what it does itself (RFC 5465 §5). Commands say what they are about to do here; all of
// it does nothing without NOTIFY.

// disown forgets what the running command has done, now that the news of it have been told: what comes next is somebody else's
// doing.
func (c *conn) disown() {
	if n := c.notified; n != nil {
		n.ownNames, n.ownUIDs, n.ownEntries = nil, nil, nil
	}
	if c.metadata != nil {
		clear(c.metadata.own)
	}
}

// owns notes that the running command makes, renames, deletes or subscribes to mailboxes, or ends that.
func (c *conn) owns(names ...string) {
	if c.notified == nil {
		return
	}
	for _, name := range names {
		c.notified.ownNames = append(c.notified.ownNames, asListed(name))
	}
}

// brought notes that messages have come to a mailbox by the running command.
func (c *conn) brought(to target, uids imap.UIDSet) {
	n := c.notified
	if n == nil || len(uids) == 0 {
		return
	}
	if c.sel != nil && c.sel.is(to) {
		n.ownUIDs = append(n.ownUIDs, uids...)
		return
	}
	if n.ownMail == nil {
		n.ownMail = make(map[store.Place]int)
	}
	n.ownMail[store.Place{Account: to.account.ID(), Mailbox: to.box.ID}] += size(uids)
}

// ownAnnotations notes which annotations the running command changes.
func (n *notification) ownAnnotations(box store.MailboxID, values []store.Annotation) {
	if n == nil || !n.wants(mailboxMetadata|serverMetadata) {
		return
	}
	if n.ownEntries == nil {
		n.ownEntries = make(map[metadataKey]bool)
	}
	for _, a := range values {
		n.ownEntries[metadataKey{box, a.Entry}] = true
	}
}

// tellFresh tells of new messages what the client wants to know of them (RFC 5465 §5.2). It has been told that they are there.
func (c *conn) tellFresh(ctx context.Context, uids []imap.UID) error {
	if c.notified == nil || len(c.notified.selected.fetch) == 0 || len(uids) == 0 {
		return c.enc.Err()
	}
	if len(uids) > maxToldNew {
		c.overflow()
		return c.enc.Err()
	}
	set := subtract(store.UIDSetOf(uids), store.Normalize(c.notified.ownUIDs))
	return c.describe(ctx, fetchRequest{items: c.notified.selected.fetch, byUID: true}, set)
}

// describe tells of messages unasked what FETCH would. As for FETCH, there is no deadline but that of each write: it takes as
// long as the client does.
func (c *conn) describe(ctx context.Context, r fetchRequest, set imap.UIDSet) error {
	f := &fetching{
		c: c, r: r,
		w:       fetchWriter{Encoder: c.enc, flags: newFlagTexts(c.sel.snap.Keywords(), c.sel.recent)},
		windows: windows{place: &c.sel.place},
	}
	err := f.run(ctx, set)
	var no refusal
	if errors.As(err, &no) { // what cannot be read has been logged, and the client may ask
		return c.enc.Err()
	}
	if err != nil {
		return fmt.Errorf("tell of new messages: %w", err)
	}
	return c.enc.Err()
}

// logUntold notes that a store did not answer when there may have been news. It is asked again.
func (c *conn) logUntold(err error) { c.log.Warn("no news of mailboxes", zap.Error(err)) }
