package memory

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// duplicatesFor is how long a DeliveryKey is remembered.
const duplicatesFor = 24 * time.Hour

// Append implements store.Account.
func (a *account) Append(ctx context.Context, box store.MailboxID, drafts ...*store.Draft) ([]imap.UID, error) {
	data := make([][]byte, len(drafts))
	for i, d := range drafts {
		b, err := io.ReadAll(io.NewSectionReader(d.Spooled, 0, d.Size()))
		if err != nil {
			return nil, fmt.Errorf("append: read draft: %w", err)
		}
		data[i] = slices.Concat(d.Prefix, b)
	}
	uids := make([]imap.UID, len(drafts))
	err := a.write(ctx, "append", func() ([]store.MailboxID, error) {
		b, err := a.box(box)
		if err != nil {
			return nil, err
		}
		if err := a.room(octetsOf(data), len(drafts)); err != nil { // before it is known what has been delivered already
			return nil, err
		}
		fresh := a.fresh(drafts)
		if len(fresh) == 0 {
			return nil, nil
		}
		rows, keywords, err := a.rows(b, drafts, fresh)
		if err != nil {
			return nil, err
		}
		b.keywords = append(b.keywords, keywords...)
		for n, i := range fresh {
			uids[i] = b.uidNext + imap.UID(n)
			a.keep(&rows[n], drafts[i], data[i])
		}
		b.insert(rows, a.store.now())
		return []store.MailboxID{box}, nil
	})
	return uids, err
}

func octetsOf(data [][]byte) int64 {
	var n int64
	for _, b := range data {
		n += int64(len(b))
	}
	return n
}

// fresh returns which of the drafts have not been delivered of late.
func (a *account) fresh(drafts []*store.Draft) []int {
	var fresh []int
	seen := make(map[string]bool)
	for i, d := range drafts {
		key := string(d.DeliveryKey)
		at, known := a.delivered[key]
		known = known && a.store.now().Sub(at) < duplicatesFor
		if key == "" || (!known && !seen[key]) {
			fresh = append(fresh, i)
		}
		seen[key] = true
	}
	return fresh
}

// rows makes rows of drafts, all but UID, mod-sequence and id, and says which keywords the mailbox needs for them.
func (a *account) rows(b *mailbox, drafts []*store.Draft, which []int) ([]store.Row, []imap.Flag, error) {
	known := slices.Clone(b.keywords)
	var rows []store.Row
	for _, i := range which {
		d := drafts[i]
		bits, added, err := store.FlagBits(d.Flags, known)
		if err != nil {
			return nil, nil, err
		}
		known = append(known, added...)
		received := d.Received
		if received.IsZero() {
			received = a.store.now()
		}
		prefix := int64(len(d.Prefix))
		rows = append(rows, store.Row{
			Flags: bits, Received: received.UnixMilli(), Size: prefix + d.Size(),
			Header: uint32(prefix + d.Part().Body), Padding: uint8(d.Padding()),
		})
	}
	return rows, known[len(b.keywords):], nil
}

// keep stores a draft's octets.
func (a *account) keep(r *store.Row, d *store.Draft, data []byte) {
	r.ID = store.MessageID(a.store.nextID())
	r.Thread = store.ThreadOf(d, r.ID)
	a.octets[r.ID] = &octets{data: data, part: d.Part().Shift(int64(len(d.Prefix)))}
	if len(d.DeliveryKey) > 0 {
		a.delivered[string(d.DeliveryKey)] = a.store.now()
	}
}

// insert adds rows to the mailbox under new UIDs and the next mod-sequence.
func (b *mailbox) insert(rows []store.Row, saved time.Time) {
	b.modSeq++
	b.snapshot = nil
	b.rows = slices.Clip(b.rows)
	for _, r := range rows {
		r.UID, r.ModSeq, r.Saved = b.uidNext, b.modSeq, saved.UnixMilli()
		b.rows = append(b.rows, r)
		b.uidNext++
	}
}
