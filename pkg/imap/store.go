// STORE and UID STORE (RFC 3501 §6.4.6; UNCHANGEDSINCE RFC 7162 §3.1.3).

package imap

import (
	"context"
	"fmt"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

type storeRequest struct {
	set    imap.NumSet
	change store.FlagChange
	silent bool
	byUID  bool
}

// storeItems are the data items of STORE (RFC 3501 §6.4.6).
var storeItems = map[string]struct {
	op     imap.StoreFlagsOp
	silent bool
}{
	"FLAGS":         {imap.StoreFlagsSet, false},
	"FLAGS.SILENT":  {imap.StoreFlagsSet, true},
	"+FLAGS":        {imap.StoreFlagsAdd, false},
	"+FLAGS.SILENT": {imap.StoreFlagsAdd, true},
	"-FLAGS":        {imap.StoreFlagsDel, false},
	"-FLAGS.SILENT": {imap.StoreFlagsDel, true},
}

func parseStore(d *wire.Decoder, fl flags) (storeRequest, error) {
	r := storeRequest{byUID: fl.has(byUID)}
	r.set = d.SP().NumSet(r.byUID)
	if d.SP(); d.Peek() == '(' {
		d.List(func() { r.parseModifier(d) })
		d.SP()
	}
	it, ok := storeItems[d.Keyword()]
	if !ok {
		d.Fail("FLAGS, +FLAGS or -FLAGS")
	}
	r.change.Op, r.silent = it.op, it.silent
	r.change.Flags = parseStoreFlags(d.SP())
	return r, d.End()
}

func (r *storeRequest) parseModifier(d *wire.Decoder) {
	if d.Keyword() != "UNCHANGEDSINCE" || !d.Knows(imap.CapCondStore) || r.change.UnchangedSince != nil {
		d.Fail("UNCHANGEDSINCE")
		return
	}
	at := store.ModSeq(d.SP().Number64())
	r.change.UnchangedSince = &at
}

// parseStoreFlags reads flags with or without parentheses (RFC 3501 §9, store-att-flags). \Recent is not for clients to
// set or clear and is left out.
func parseStoreFlags(d *wire.Decoder) []imap.Flag {
	if d.Peek() == '(' {
		return d.Flags()
	}
	var fs []imap.Flag
	for {
		if f := d.Flag(); f != recentFlag {
			fs = append(fs, f)
		}
		if !d.TrySP() {
			return fs
		}
	}
}

// storeFlags answers STORE. Expunged messages are passed over as FETCH does it (RFC 2180 §4.2.3).
func (c *conn) storeFlags(ctx context.Context, r storeRequest) error {
	if err := c.writable(0); err != nil {
		return err
	}
	if err := c.restrict(&r.change); err != nil {
		return err
	}
	if r.change.UnchangedSince != nil {
		c.enable(imap.CapCondStore) // RFC 7162 §3.1
	}
	uids, err := c.sel.resolve(r.set)
	if err != nil {
		return err
	}
	uids = c.limited(uids)
	var res store.FlagResult
	err = c.asking(func() (err error) {
		res, err = c.sel.account.SetFlags(ctx, c.sel.box.ID, uids, r.change)
		return err
	})
	if err != nil {
		return fmt.Errorf("store flags: %w", err)
	}
	snap, err := c.again(ctx, res.ModSeq)
	if err != nil {
		return fmt.Errorf("store flags: %w", err)
	}
	if r.silent {
		c.tellSilent(snap, r, res)
	} else {
		c.tellStored(snap, subtract(uids, res.Modified))
	}
	gone := !r.byUID && !r.silent && present(snap, uids) < size(uids)
	return c.stored(r, res, gone)
}

// restrict leaves of a change what the user may do. It refuses one of which nothing is left, no other (RFC 4314 §4, STORE).
func (c *conn) restrict(ch *store.FlagChange) error {
	const change = store.RightSeen | store.RightWrite | store.RightDeleteMsgs
	ch.Denied = c.sel.denied() & change
	nothing := len(ch.Flags) > 0 && len(ch.Denied.Permitted(ch.Flags)) == 0
	if ch.Op == imap.StoreFlagsSet {
		nothing = ch.Denied == change
	}
	if nothing {
		return store.ErrNoPermission
	}
	return nil
}

// tellStored answers with the flags of every message of the set as they are now, and remembers that the client knows.
func (c *conn) tellStored(snap *store.Snapshot, uids imap.UIDSet) {
	c.tellKeywords(snap.Keywords())
	texts := newFlagTexts(snap.Keywords(), c.sel.recent)
	for _, places := range snap.Indices(uids) {
		for i := places[0]; i < places[1] && c.enc.Err() == nil; i++ {
			e := snap.Entry(i)
			c.tellEntry(e, texts.text(e.UID, e.Flags))
			c.sel.view.Told(e)
		}
	}
}

// tellSilent answers with mod-sequences alone, and only if the client keeps them (RFC 7162 §3.1.3). Where the outcome is
// not what the client must expect, another session has been there too: that is left to be announced.
func (c *conn) tellSilent(snap *store.Snapshot, r storeRequest, res store.FlagResult) {
	r.change.Denied = 0 // the client does not reckon with it
	bits, _, err := r.change.Bits(snap.Keywords())
	if err != nil {
		return // then there is nothing in res either
	}
	for _, changed := range res.Changed {
		i, ok := snap.Find(changed.UID)
		j, had := c.sel.snap.Find(changed.UID)
		if !ok || !had {
			continue
		}
		e := snap.Entry(i)
		if e.Flags != r.change.Apply(c.sel.snap.Flags(j), bits) {
			continue
		}
		c.sel.view.Told(e)
		if c.has(imap.CapCondStore) {
			c.tellEntry(e, "")
		}
	}
}

// tellEntry writes an untagged FETCH with flags, unless they are empty, and what must come with them: the UID during a UID
// command (RFC 3501 §6.4.8) and for a client that may count by UIDs alone (RFC 7162 §3.2), the mod-sequence once it is
// wanted (RFC 7162 §3.1).
func (c *conn) tellEntry(e store.Entry, flags string) {
	if !c.beginFetch(e.UID) {
		return
	}
	sep := ""
	if (c.uids || c.has(imap.CapQResync) || c.notified != nil) && !c.has(imap.CapUIDOnly) { // RFC 5465 §5.1
		c.enc.Atom("UID ").Number(uint32(e.UID))
		sep = " "
	}
	if flags != "" {
		c.enc.Atom(sep).Atom("FLAGS ").Atom(flags)
		sep = " "
	}
	if c.has(imap.CapCondStore) {
		c.enc.Atom(sep).Atom("MODSEQ (").Number64(int64(e.ModSeq)).Byte(')')
	}
	c.enc.Byte(')').CRLF()
}

// stored makes the tagged reply: with what UNCHANGEDSINCE left alone, in the numbers the command used.
func (c *conn) stored(r storeRequest, res store.FlagResult, gone bool) error {
	code := ""
	if len(res.Modified) > 0 {
		code = "MODIFIED " + c.numbers(res.Modified, r.byUID).String()
	}
	if !gone {
		c.answer(code, "Stored.")
		return nil
	}
	if code == "" {
		code = "EXPUNGEISSUED"
	}
	return refusal{code: code, text: "Some of the messages no longer exist."}
}

// numbers are the UIDs themselves or, for a command by message number, the numbers of the messages.
func (c *conn) numbers(uids imap.UIDSet, byUID bool) imap.NumSet {
	if byUID {
		return uids
	}
	var seqs imap.SeqSet
	for _, r := range uids {
		for uid := r.Start; uid <= r.Stop && uid != 0; uid++ {
			if seq, ok := c.sel.view.Seq(uid); ok {
				seqs.AddNum(seq)
			}
		}
	}
	return seqs
}
