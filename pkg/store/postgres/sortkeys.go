package postgres

import (
	"context"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/order"
	"postern/pkg/store"
)

// Keys implements store.Account.
func (a *account) Keys(ctx context.Context, have *store.Snapshot, uids []imap.UID) ([]order.Key, error) {
	keys := make([]order.Key, len(uids))
	at := 0
	for m, err := range a.Messages(ctx, have, store.UIDSetOf(uids), store.KeysNeed|store.Passing) {
		var f order.Fields
		if err == nil {
			f, err = store.KeyFields(m)
		}
		if err != nil && !unreadable(err) {
			return nil, failed("read sort keys", err)
		}
		for uids[at] != m.UID {
			at++
		}
		if err == nil {
			keys[at] = order.NewBlock([]order.Fields{f}).Key(0)
		}
	}
	return keys, nil
}
