package memory

import (
	"context"
	"slices"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// SetFlags implements store.Account.
func (a *account) SetFlags(
	ctx context.Context, box store.MailboxID, uids imap.UIDSet, ch store.FlagChange,
) (store.FlagResult, error) {
	var result store.FlagResult
	err := a.write(ctx, "set flags", func() ([]store.MailboxID, error) {
		b, err := a.box(box)
		if err != nil {
			return nil, err
		}
		bits, added, err := ch.Bits(b.keywords)
		if err != nil {
			return nil, err
		}
		var modified []imap.UID
		result.Changed, modified = b.flag(store.Normalize(uids), ch, bits)
		result.Modified, result.ModSeq = store.UIDSetOf(modified), b.modSeq
		if len(result.Changed) == 0 {
			result.Keywords = slices.Clone(b.keywords)
			return nil, nil
		}
		b.keywords = append(b.keywords, added...)
		result.Keywords = slices.Clone(b.keywords)
		return []store.MailboxID{box}, nil
	})
	return result, err
}

// flag changes flags under the next mod-sequence, if any change.
func (b *mailbox) flag(uids imap.UIDSet, ch store.FlagChange, bits store.FlagSet) (changed []store.Entry, modified []imap.UID) {
	at := b.modSeq + 1
	for i := range b.rows {
		r := &b.rows[i]
		if !uids.Contains(r.UID) {
			continue
		}
		if ch.UnchangedSince != nil && r.ModSeq > *ch.UnchangedSince {
			modified = append(modified, r.UID)
			continue
		}
		if flags := ch.Apply(r.Flags, bits); flags != r.Flags {
			r.Flags, r.ModSeq = flags, at
			changed = append(changed, store.Entry{UID: r.UID, ModSeq: at, Flags: flags})
		}
	}
	if len(changed) > 0 {
		b.modSeq, b.snapshot = at, nil
	}
	return changed, modified
}
