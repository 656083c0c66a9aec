package memory

import (
	"context"
	"slices"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// Copy implements store.Account.
func (a *account) Copy(ctx context.Context, from, to store.MailboxID, uids imap.UIDSet) (imap.CopyData, error) {
	return a.transfer(ctx, "copy", from, to, uids)
}

// Move implements store.Account.
func (a *account) Move(ctx context.Context, from, to store.MailboxID, uids imap.UIDSet) (imap.CopyData, error) {
	return a.transfer(ctx, "move", from, to, uids)
}

func (a *account) transfer(
	ctx context.Context, op string, from, to store.MailboxID, uids imap.UIDSet,
) (imap.CopyData, error) {
	var data imap.CopyData
	err := a.write(ctx, op, func() ([]store.MailboxID, error) {
		src, err := a.box(from)
		if err != nil {
			return nil, err
		}
		dst, err := a.box(to)
		if err != nil {
			return nil, err
		}
		data.UIDValidity = dst.validity
		rows := src.pick(uids)
		if len(rows) == 0 {
			return nil, nil
		}
		adopted, keywords, err := dst.adopt(src, rows)
		if err != nil {
			return nil, err
		}
		if op == "copy" {
			if err := a.room(size(rows)); err != nil {
				return nil, err
			}
		}
		dst.keywords = append(dst.keywords, keywords...)
		first := dst.uidNext
		dst.insert(adopted, a.store.now())
		data.SourceUIDs = store.UIDSetOf(uidsOf(rows))
		data.DestUIDs = imap.UIDSet{{Start: first, Stop: dst.uidNext - 1}}
		if op == "move" {
			src.take(rows, src == dst)
			return []store.MailboxID{from, to}, nil
		}
		return []store.MailboxID{to}, nil
	})
	return data, err
}

// adopt translates the flags of rows of another mailbox, and says which keywords that takes.
func (b *mailbox) adopt(src *mailbox, rows []store.Row) ([]store.Row, []imap.Flag, error) {
	known := slices.Clone(b.keywords)
	adopted := slices.Clone(rows)
	for i := range adopted {
		bits, added, err := store.FlagBits(adopted[i].Flags.Names(src.keywords), known)
		if err != nil {
			return nil, nil, err
		}
		adopted[i].Flags = bits
		known = append(known, added...)
	}
	return adopted, known[len(b.keywords):], nil
}

// Expunge implements store.Account.
func (a *account) Expunge(
	ctx context.Context, box store.MailboxID, uids imap.UIDSet, _ store.Actor,
) ([]imap.UID, error) {
	var gone []imap.UID
	err := a.write(ctx, "expunge", func() ([]store.MailboxID, error) {
		b, err := a.box(box)
		if err != nil {
			return nil, err
		}
		rows := b.pick(uids)
		if len(rows) == 0 {
			return nil, nil
		}
		gone = uidsOf(rows)
		b.remove(rows)
		return []store.MailboxID{box}, nil
	})
	return gone, err
}

// pick returns copies of the rows that uids name.
func (b *mailbox) pick(uids imap.UIDSet) []store.Row {
	uids = store.Normalize(uids)
	var rows []store.Row
	for _, r := range b.rows {
		if uids.Contains(r.UID) {
			rows = append(rows, r)
		}
	}
	return rows
}

// remove takes rows out under the next mod-sequence.
func (b *mailbox) remove(rows []store.Row) { b.take(rows, false) }

// take takes rows out; with sameChange, under the mod-sequence of the change that is being made to the mailbox already.
func (b *mailbox) take(rows []store.Row, sameChange bool) {
	if !sameChange {
		b.modSeq++
	}
	b.snapshot = nil
	gone := store.UIDSetOf(uidsOf(rows))
	for _, r := range rows {
		b.gone = append(b.gone, store.Entry{UID: r.UID, ModSeq: b.modSeq})
	}
	var kept []store.Row
	for _, r := range b.rows {
		if !gone.Contains(r.UID) {
			kept = append(kept, r)
		}
	}
	b.rows = kept
}

func uidsOf(rows []store.Row) []imap.UID {
	uids := make([]imap.UID, len(rows))
	for i := range rows {
		uids[i] = rows[i].UID
	}
	return uids
}
