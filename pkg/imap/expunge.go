// EXPUNGE and UID EXPUNGE (RFC 3501 §6.4.3, RFC 4315 §2.1).

package imap

import (
	"context"
	"fmt"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

type expungeRequest struct {
	uids imap.UIDSet // of UID EXPUNGE; nil means all
}

func parseExpunge(d *wire.Decoder, fl flags) (expungeRequest, error) {
	var r expungeRequest
	if fl.has(byUID) {
		r.uids = d.SP().UIDSet()
	}
	return r, d.End()
}

// expunge removes what is \Deleted. The client hears of it with the changes that follow the command.
func (c *conn) expunge(ctx context.Context, r expungeRequest) error {
	if err := c.writable(store.RightExpunge); err != nil {
		return err
	}
	if r.uids != nil {
		uids, err := c.sel.resolve(r.uids)
		if err != nil {
			return err
		}
		r.uids = append(imap.UIDSet{}, c.limited(uids)...) // not nil, even if empty
	}
	if err := c.expungeDeleted(ctx, r.uids); err != nil {
		return err
	}
	c.answerModSeq("Expunged.")
	return nil
}

// expungeDeleted removes the messages that have \Deleted at this moment, those of set only unless it is nil. EXPUNGE and
// CLOSE share it.
func (c *conn) expungeDeleted(ctx context.Context, set imap.UIDSet) error {
	snap, _, err := c.sel.account.Refresh(ctx, c.sel.snap)
	if err != nil {
		return fmt.Errorf("expunge: %w", err)
	}
	if set == nil && snap.UIDNext() > 1 {
		set = imap.UIDSet{{Start: 1, Stop: snap.UIDNext() - 1}}
	}
	deleted := chosen(snap, set, func(e store.Entry) bool { return e.Flags.System&store.FlagDeleted != 0 })
	if len(deleted) == 0 {
		return nil
	}
	return c.asking(func() error {
		if _, err := c.sel.account.Expunge(ctx, c.sel.box.ID, deleted, c.actor()); err != nil {
			return fmt.Errorf("expunge: %w", err)
		}
		return nil
	})
}
