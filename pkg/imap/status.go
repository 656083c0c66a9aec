// STATUS (RFC 3501 §6.3.10; DELETED, RFC 9051 §6.3.11; SIZE, RFC 8438; HIGHESTMODSEQ, RFC 7162 §3.1.7; APPENDLIMIT, RFC 7889).

package imap

import (
	"context"
	"slices"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

type statusRequest struct {
	mailbox string
	items   []string
}

// statusItems says how each item is answered.
var statusItems = map[string]func(c *conn, box *store.Mailbox) int64{
	"MESSAGES":      func(_ *conn, box *store.Mailbox) int64 { return int64(box.Messages) },
	"RECENT":        func(_ *conn, box *store.Mailbox) int64 { return int64(box.Recent) },
	"UIDNEXT":       func(_ *conn, box *store.Mailbox) int64 { return int64(box.UIDNext) },
	"UIDVALIDITY":   func(_ *conn, box *store.Mailbox) int64 { return int64(box.UIDValidity) },
	"UNSEEN":        func(_ *conn, box *store.Mailbox) int64 { return int64(box.Unseen) },
	"DELETED":       func(_ *conn, box *store.Mailbox) int64 { return int64(box.Deleted) },
	deletedStorage:  func(c *conn, box *store.Mailbox) int64 { return c.freeable[box.ID] }, // see measure
	"SIZE":          func(_ *conn, box *store.Mailbox) int64 { return box.Size },
	"HIGHESTMODSEQ": func(_ *conn, box *store.Mailbox) int64 { return int64(box.ModSeq) },
	"MAILBOXID":     func(_ *conn, box *store.Mailbox) int64 { return int64(box.ID) }, // see writeStatusItem
	"APPENDLIMIT":   func(c *conn, _ *store.Mailbox) int64 { return c.srv.maxMessage() },
}

// statusBelongs names the capabilities without which there are no such items.
var statusBelongs = map[string]imap.Cap{
	"RECENT":        capObsolete,
	deletedStorage:  imap.CapQuota,
	"SIZE":          imap.CapStatusSize,
	"HIGHESTMODSEQ": imap.CapCondStore,
	"APPENDLIMIT":   imap.CapAppendLimit,
	"MAILBOXID":     imap.CapObjectID,
}

func parseStatus(d *wire.Decoder, _ flags) (statusRequest, error) {
	r := statusRequest{mailbox: d.SP().Mailbox()}
	r.items = parseStatusItems(d.SP())
	return r, d.End()
}

// parseStatusItems reads what STATUS, LIST and NOTIFY are to tell of mailboxes.
func parseStatusItems(d *wire.Decoder) []string {
	var items []string
	d.List(func() {
		item := d.Keyword()
		if statusItems[item] == nil || !d.Knows(statusBelongs[item]) || len(items) > len(statusItems) {
			d.Fail("a status item before this")
			return
		}
		items = append(items, item)
	})
	if len(items) == 0 {
		d.Fail("a status item")
	}
	return items
}

func (c *conn) status(ctx context.Context, r statusRequest) error {
	at, err := c.mailbox(ctx, r.mailbox, store.RightRead)
	if err != nil {
		return err
	}
	if slices.Contains(r.items, "HIGHESTMODSEQ") {
		c.enable(imap.CapCondStore) // RFC 7162 §3.1
	}
	if err := c.measure(ctx, &at, r.items); err != nil {
		return err
	}
	c.writeStatus(at.title(at.box.Name), r.items, &at.box)
	return nil
}

// writeStatus writes STATUS (RFC 3501 §7.2.4).
func (c *conn) writeStatus(name string, items []string, box *store.Mailbox) {
	c.enc.Atom("* STATUS ").Mailbox(name).SP().List(len(items), func(i int) { c.writeStatusItem(items[i], box) }).CRLF()
}
