package imap

import (
	"context"
	"fmt"
	"time"

	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
	"go.uber.org/zap"
)

// metadataNews is how a session that has asked for it hears of annotations that other sessions change (RFC 5464 §4.4.2).
type metadataNews struct {
	watch *store.Watch
	since int64 // store.Account.AnnotationChanges
	news  bool
	own   map[metadataKey]bool // what the running command changes, and needs no telling; see disown
}

type metadataKey struct {
	box   store.MailboxID
	entry string
}

// watchMetadata begins to tell the client, once it has enabled METADATA or METADATA-SERVER.
func (c *conn) watchMetadata(ctx context.Context) error {
	if c.metadata != nil || !c.has(imap.CapMetadata) && !c.has(imap.CapMetadataServer) {
		return nil
	}
	watch := c.srv.Accounts.Watch(c.account.ID())
	_, since, err := c.account.AnnotationChanges(ctx, -1)
	if err != nil {
		watch.Close()
		return fmt.Errorf("watch annotations: %w", err)
	}
	c.metadata = &metadataNews{watch: watch, since: since, own: make(map[metadataKey]bool)}
	return nil
}

// unwatchMetadata ends it.
func (c *conn) unwatchMetadata() {
	if c.metadata != nil {
		c.metadata.watch.Close()
		c.metadata = nil
	}
}

// ownMetadata notes that what this session is about to change is no news for its client.
func (c *conn) ownMetadata(box store.MailboxID, values []store.Annotation) {
	c.notified.ownAnnotations(box, values)
	if c.metadata == nil {
		return
	}
	for _, a := range values {
		c.metadata.own[metadataKey{box, a.Entry}] = true
	}
}

// metadataWake fires when there may be news of annotations; it is nil for a client that does not want it.
func (c *conn) metadataWake() <-chan struct{} {
	if c.metadata == nil {
		return nil
	}
	return c.metadata.watch.C
}

// hears notes what the watch has to say: annotations are news of the tree.
func (m *metadataNews) hears() {
	for _, id := range m.watch.Take() {
		if id == 0 {
			m.news = true
		}
	}
}

// tellMetadata tells of changed annotations. It is a courtesy: a store that does not answer is asked again another time.
func (c *conn) tellMetadata(ctx context.Context) {
	m := c.metadata
	if m == nil || c.leaving || c.notified != nil { // NOTIFY says what is to be told
		return
	}
	if m.hears(); !m.news {
		return
	}
	ctx, cancel := c.briefly(ctx)
	defer cancel()
	start := time.Now()
	if err := c.writeMetadataNews(ctx, m); err != nil {
		c.log.Warn("no news of annotations", zap.Error(err), zap.Duration("took", time.Since(start)))
	}
}

func (c *conn) writeMetadataNews(ctx context.Context, m *metadataNews) error {
	changed, until, err := c.account.AnnotationChanges(ctx, m.since)
	if err != nil {
		return err
	}
	var order []store.MailboxID
	entries := make(map[store.MailboxID][]string)
	for _, a := range changed {
		if m.own[metadataKey{a.Box, a.Entry}] || !c.has(imap.CapMetadata) && a.Box != 0 {
			continue
		}
		if entries[a.Box] == nil {
			order = append(order, a.Box)
		}
		entries[a.Box] = append(entries[a.Box], a.Entry)
	}
	names, err := c.namesOf(ctx, order)
	if err != nil {
		return err
	}
	m.since, m.news = until, false
	for _, box := range order {
		if name, ok := names[box]; ok {
			c.writeMetadataNames(name, entries[box])
		}
	}
	return nil
}

// namesOf returns the names of mailboxes that are the user's own, and the empty one of the server, which is 0.
func (c *conn) namesOf(ctx context.Context, ids []store.MailboxID) (map[store.MailboxID]string, error) {
	names := map[store.MailboxID]string{0: ""}
	if len(ids) == 0 || len(ids) == 1 && ids[0] == 0 {
		return names, nil
	}
	boxes, err := c.account.Mailboxes(ctx)
	if err != nil {
		return nil, err
	}
	for i := range boxes {
		names[boxes[i].ID] = boxes[i].Name
	}
	return names, nil
}

// writeMetadataNames writes METADATA without values (RFC 5464 §4.4.2).
func (c *conn) writeMetadataNames(mailbox string, entries []string) {
	c.enc.Atom("* METADATA ").Mailbox(mailbox)
	for _, entry := range entries {
		c.enc.SP().AString(entry)
	}
	c.enc.CRLF()
}
