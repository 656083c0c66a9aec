// REPLACE (RFC 8508).

package imap

import (
	"context"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

type replaceRequest struct {
	set imap.NumSet // of one message
	appendRequest
}

// parseReplace reads as far as the message's octets, as parseAppend does. The one message may be named "*".
func parseReplace(d *wire.Decoder, fl flags) (replaceRequest, error) {
	d.SP()
	one := imap.SeqSet{imap.SeqRange{}}
	if !d.Try('*') {
		n := d.Number()
		if n == 0 {
			d.Fail("a number above 0 before this")
		}
		one = imap.SeqSetNum(n)
	}
	var set imap.NumSet = one
	if fl.has(byUID) {
		set = imap.UIDSet{{Start: imap.UID(one[0].Start), Stop: imap.UID(one[0].Stop)}}
	}
	r, err := parseAppend(d, fl)
	return replaceRequest{set: set, appendRequest: r}, err
}

// replace stores a message in the place of another. All that can be known of a failure is known before a client that waits
// sends the message.
func (c *conn) replace(ctx context.Context, r replaceRequest) error {
	old, err := c.replaceable(r.set)
	if err != nil {
		return err
	}
	to, err := c.mailbox(ctx, r.mailbox, store.RightInsert)
	if err != nil {
		return tryCreate(err)
	}
	if to.account.ID() != c.sel.account.ID() {
		return refusal{code: "CANNOT", text: "A message is only replaced by one of the same owner."}
	}
	in := &incoming{c: c, d: r.d, to: to, frees: old.Size}
	defer in.close()
	if err := in.take(ctx, r.first); err != nil {
		return err
	}
	if err := r.d.End(); err != nil {
		return err
	}
	if err := c.stillReplaceable(ctx, to); err != nil {
		return err
	}
	uid, err := to.account.Replace(ctx, store.Replacement{
		From: c.sel.box.ID, UID: old.UID, To: to.box.ID, Draft: in.drafts[0], By: c.actor(),
	})
	if err != nil {
		return tryCreate(err)
	}
	c.brought(to, imap.UIDSetNum(uid))
	if code := c.appendUID(to, uid); code != "" { // before the expunge is told (RFC 8508 §3.4)
		c.untagged("OK", code, "The replacement is there.")
	}
	c.answerModSeq("Replaced.")
	return nil
}

// stillReplaceable looks at the rights again.
func (c *conn) stillReplaceable(ctx context.Context, to target) error {
	if err := c.recheck(ctx); err != nil {
		return err
	}
	if err := c.writable(store.RightDeleteMsgs | store.RightExpunge); err != nil {
		return err
	}
	return tryCreate(c.still(ctx, to, store.RightInsert))
}

// replaceable finds the message to be replaced: NO if the client knows it no more, or may not expunge it.
func (c *conn) replaceable(set imap.NumSet) (store.Row, error) {
	if err := c.writable(store.RightDeleteMsgs | store.RightExpunge); err != nil {
		return store.Row{}, err
	}
	uids, err := c.sel.resolve(set)
	if err != nil {
		return store.Row{}, err
	}
	all, _ := uids.Nums()
	if len(all) != 1 {
		return store.Row{}, refusal{code: "NONEXISTENT", text: "There is no message with that UID."}
	}
	i, ok := c.sel.snap.Find(all[0])
	if !ok {
		return store.Row{}, store.ErrExpunged
	}
	return c.sel.snap.Row(i), nil
}
