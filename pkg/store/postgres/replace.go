package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// Replace implements store.Account.
func (a *account) Replace(ctx context.Context, r store.Replacement) (imap.UID, error) {
	ctx, cancel := context.WithTimeout(ctx, deliveryTimeout)
	defer cancel()
	draft := *r.Draft
	draft.DeliveryKey = nil
	frees, err := replaced(ctx, a.s.pool, a, r)
	if err != nil && !errors.Is(err, store.ErrExpunged) { // that it is gone is told once the mailboxes are known to be there
		return 0, failed("replace", err)
	}
	d := &delivery{ctx: ctx, a: a, box: r.To, frees: frees}
	if err = a.prepare(ctx, d, []*store.Draft{&draft}); err == nil {
		err = a.replace(ctx, d, r)
	}
	err = failed("replace", err)
	a.s.release(d)
	a.abandon(ctx, d, err)
	if err != nil {
		return 0, err
	}
	return d.arrivals[0].uid, nil
}

const sqlReplaced = `
select size
from messages
where account_id = $1 and mailbox_id = $2 and uid = $3`

// replaced returns the size of the message to be replaced.
func replaced(ctx context.Context, q querier, a *account, r store.Replacement) (size int64, err error) {
	err = q.QueryRow(ctx, sqlReplaced, a.id, r.From, r.UID).Scan(&size)
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("UID %d: %w", r.UID, store.ErrExpunged)
	}
	return size, err
}

// replace does it, once the new message is ready. The old one goes under the mod-sequence under which the new one comes, if
// they are in one mailbox.
func (a *account) replace(ctx context.Context, d *delivery, r store.Replacement) error {
	return a.write(ctx, "replace", []store.MailboxID{r.From, r.To}, func(tx pgx.Tx, at []*lockedBox) error {
		size, err := replaced(ctx, tx, a, r)
		if err != nil {
			return err
		}
		if err := a.s.mayGrow(ctx, tx, a.id, d.size-size, 0); err != nil {
			return err
		}
		if err := a.nameFlags(ctx, tx, d); err != nil {
			return err
		}
		if err := a.s.storeBatch(ctx, tx, []*delivery{d}); err != nil {
			return err
		}
		if err := a.expunge(ctx, tx, at[0], imap.UIDSetNum(r.UID), r.By); err != nil {
			return err
		}
		at[1].changed = true
		return nil
	})
}
