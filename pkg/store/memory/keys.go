package memory

import (
	"context"
	"errors"
	"fmt"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/order"
	"postern/pkg/store"
)

// Keys implements store.Account.
func (a *account) Keys(ctx context.Context, have *store.Snapshot, uids []imap.UID) ([]order.Key, error) {
	keys := make([]order.Key, len(uids))
	for i, uid := range uids {
		for m, err := range a.Messages(ctx, have, imap.UIDSetNum(uid), store.KeysNeed) {
			var f order.Fields
			if err == nil {
				f, err = store.KeyFields(m)
			}
			switch {
			case err == nil:
				keys[i] = order.NewBlock([]order.Fields{f}).Key(0)
			case m == nil || !errors.Is(err, store.ErrNotFound): // what is gone has no keys
				return nil, fmt.Errorf("read keys: %w", err)
			}
		}
	}
	return keys, nil
}
