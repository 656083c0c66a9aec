// COPY and MOVE (RFC 3501 §6.4.7, RFC 6851; COPYUID RFC 4315 §3).

package imap

import (
	"context"
	"errors"
	"fmt"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

type copyRequest struct {
	set   imap.NumSet
	dest  string
	byUID bool
}

func parseCopy(d *wire.Decoder, fl flags) (copyRequest, error) {
	r := copyRequest{byUID: fl.has(byUID)}
	r.set = d.SP().NumSet(r.byUID)
	r.dest = d.SP().Mailbox()
	return r, d.End()
}

func (c *conn) copy(ctx context.Context, r copyRequest) error {
	data, err := c.transfer(ctx, r, false)
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	c.answer(data.code, "Copied.")
	return nil
}

// move tells COPYUID before the expunges, which follow with the other changes: after them the client no longer knows what
// the source UIDs were (RFC 6851 §4.3).
func (c *conn) move(ctx context.Context, r copyRequest) error {
	if err := c.writable(store.RightDeleteMsgs | store.RightExpunge); err != nil { // RFC 6851 §4.1
		return err
	}
	data, err := c.transfer(ctx, r, true)
	if err != nil {
		return fmt.Errorf("move: %w", err)
	}
	if len(data.SourceUIDs) == 0 {
		c.answer("", "Nothing to move.")
		return nil
	}
	if data.code != "" {
		c.untagged("OK", data.code, "Moved.")
	}
	c.answerModSeq("Moved.")
	return nil
}

// transfer copies or moves. Both do all or nothing, so a number that stands for an expunged message refuses the command
// (RFC 2180 §4.4.1); a UID that is not there is passed over (RFC 3501 §6.4.8). Flags that the user may not set at the
// destination do not come along (RFC 4314 §4).
func (c *conn) transfer(ctx context.Context, r copyRequest, move bool) (transferred, error) {
	dest, err := c.mailbox(ctx, r.dest, store.RightInsert)
	if err != nil {
		return transferred{}, tryCreate(err)
	}
	uids, err := c.sel.resolve(r.set)
	if err != nil {
		return transferred{}, err
	}
	if err := c.checkSave(size(uids)); err != nil {
		return transferred{}, err
	}
	if !r.byUID && present(c.sel.snap, uids) < size(uids) {
		return transferred{}, refusal{code: "EXPUNGEISSUED", text: "Some of the messages no longer exist."}
	}
	var data imap.CopyData
	err = c.asking(func() (err error) {
		data, err = c.sel.account.Transfer(ctx, store.Transfer{
			From: c.sel.box.ID, To: store.Place{Account: dest.account.ID(), Mailbox: dest.box.ID}, UIDs: uids,
			Move: move, Whole: !r.byUID && !imap.IsSearchRes(r.set), Denied: dest.denied(), By: c.actor(),
		})
		return err
	})
	if errors.Is(err, store.ErrNotFound) { // one of the two has been deleted
		if _, missing := c.mailbox(ctx, r.dest, store.RightInsert); missing != nil {
			err = tryCreate(missing)
		}
	}
	c.brought(dest, data.DestUIDs)
	if err == nil && !move {
		c.warnQuota(ctx, dest)
	}
	return transferred{data, c.copyUID(dest, data)}, err
}

// transferred is what came of COPY or MOVE, and what the client is told of it.
type transferred struct {
	imap.CopyData
	code string
}

// tryCreate gives a missing destination its own code (RFC 3501 §6.4.7).
func tryCreate(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return refusal{code: "TRYCREATE", text: "There is no such mailbox."}
	}
	return err
}

// copyUID is the response code of RFC 4315 §3, nothing if no message was there to copy, or if UIDs of the mailbox are not for
// this user to know.
func (c *conn) copyUID(to target, data imap.CopyData) string {
	if len(data.SourceUIDs) == 0 || !c.offers(imap.CapUIDPlus) || !to.rights.Has(store.RightRead) {
		return ""
	}
	return fmt.Sprintf("COPYUID %d %s %s", data.UIDValidity, data.SourceUIDs, data.DestUIDs)
}
