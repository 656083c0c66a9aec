package memory

import (
	"context"
	"slices"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// Copy implements store.Account.
func (a *account) Copy(ctx context.Context, from, to store.MailboxID, uids imap.UIDSet) (imap.CopyData, error) {
	return a.Transfer(ctx, store.Transfer{From: from, To: store.Place{Account: a.id, Mailbox: to}, UIDs: uids})
}

// Move implements store.Account.
func (a *account) Move(ctx context.Context, from, to store.MailboxID, uids imap.UIDSet) (imap.CopyData, error) {
	return a.Transfer(ctx, store.Transfer{From: from, To: store.Place{Account: a.id, Mailbox: to}, UIDs: uids, Move: true})
}

// Transfer implements store.Sharing.
func (a *account) Transfer(ctx context.Context, t store.Transfer) (imap.CopyData, error) {
	var data imap.CopyData
	err := a.write(ctx, "transfer", func() ([]store.MailboxID, error) {
		owner := a.store.accounts[t.To.Account]
		if owner == nil {
			return nil, store.ErrNotFound
		}
		src, err := a.box(t.From)
		if err != nil {
			return nil, err
		}
		dst, err := owner.box(t.To.Mailbox)
		if err != nil {
			return nil, err
		}
		data.UIDValidity = dst.validity
		rows := src.pick(t.UIDs)
		if t.Whole && len(rows) < store.CountUIDs(store.Normalize(t.UIDs)) {
			return nil, store.ErrExpunged
		}
		if len(rows) == 0 {
			return nil, nil
		}
		adopted, keywords, err := dst.adopt(src, rows, t.Denied)
		if err != nil {
			return nil, err
		}
		if owner != a || !t.Move {
			if err := owner.room(size(rows), len(rows)); err != nil {
				return nil, err
			}
		}
		if owner != a {
			a.hand(adopted, owner)
		}
		dst.keywords = append(dst.keywords, keywords...)
		first := dst.uidNext
		dst.insert(adopted, a.store.now())
		data.SourceUIDs = store.UIDSetOf(uidsOf(rows))
		data.DestUIDs = imap.UIDSet{{Start: first, Stop: dst.uidNext - 1}}
		a.store.hub.Wake(owner.id, dst.id)
		if !t.Move {
			return nil, nil
		}
		src.take(rows, src == dst)
		return []store.MailboxID{src.id}, nil
	})
	return data, err
}

// hand gives another account octets of its own of messages, copies of one still sharing them.
func (a *account) hand(rows []store.Row, to *account) {
	ids := make(map[store.MessageID]store.MessageID)
	for i := range rows {
		r := &rows[i]
		id, ok := ids[r.ID]
		if !ok {
			id = store.MessageID(a.store.nextID())
			ids[r.ID], to.octets[id] = id, a.octets[r.ID]
		}
		if r.Thread == int64(r.ID) {
			r.Thread = int64(id)
		}
		r.ID = id
	}
}

// adopt translates the flags of rows of another mailbox, and says which keywords that takes.
func (b *mailbox) adopt(src *mailbox, rows []store.Row, denied store.Rights) ([]store.Row, []imap.Flag, error) {
	known := slices.Clone(b.keywords)
	adopted := slices.Clone(rows)
	for i := range adopted {
		bits, added, err := store.FlagBits(adopted[i].Flags.Without(denied).Names(src.keywords), known)
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
