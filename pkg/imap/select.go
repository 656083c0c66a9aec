// SELECT, EXAMINE, CLOSE and UNSELECT (RFC 3501 §6.3.1, §6.3.2, §6.4.2; CONDSTORE and QRESYNC, RFC 7162; UNSELECT, RFC 3691).

package imap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

type selectRequest struct {
	mailbox   string
	readOnly  bool
	condStore bool
	resync    *resync
}

// resync is what a client remembers of a mailbox (RFC 7162 §3.2.5).
type resync struct {
	uidValidity uint32
	modSeq      store.ModSeq
	known       imap.UIDSet // nil means all up to UIDNEXT
	seqs        imap.SeqSet // numbers of messages, and what were their UIDs, in step
	uids        imap.UIDSet
}

func parseExamine(d *wire.Decoder, fl flags) (selectRequest, error) {
	r, err := parseSelect(d, fl)
	r.readOnly = true
	return r, err
}

func parseSelect(d *wire.Decoder, _ flags) (selectRequest, error) {
	r := selectRequest{mailbox: d.SP().Mailbox()}
	if d.TrySP() {
		d.List(func() {
			switch word := d.Keyword(); {
			case word == "CONDSTORE" && d.Knows(imap.CapCondStore):
				r.condStore = true
			case word == "QRESYNC" && d.Knows(imap.CapQResync):
				r.resync = parseResync(d.SP())
			default:
				d.Fail("CONDSTORE or QRESYNC before this")
			}
		})
	}
	return r, d.End()
}

// parseResync reads "(" uidvalidity mod-sequence [known-uids] ["(" known-numbers known-uids ")"] ")". A mod-sequence of 0,
// which clients send though the grammar forbids it, counts as 1.
func parseResync(d *wire.Decoder) *resync {
	r := &resync{uidValidity: d.Expect('(').Number()}
	r.modSeq = store.ModSeq(max(d.SP().Number64(), 1))
	more := d.TrySP()
	if more && d.Peek() != '(' {
		r.known = staticSet(d, d.UIDSet())
		more = d.TrySP()
	}
	if more {
		r.seqs = numbers(d.Expect('('))
		r.uids = d.SP().UIDSet()
		staticSet(d, r.seqs)
		staticSet(d, r.uids)
		d.Expect(')')
	}
	d.Expect(')')
	return r
}

// staticSet refuses "*", which means nothing before a mailbox is selected (RFC 7162 §7, known-uids).
func staticSet[S imap.NumSet](d *wire.Decoder, set S) S {
	if d.Err() == nil && set.Dynamic() {
		d.Fail(`a set without "*" before this`)
	}
	return set
}

func (c *conn) selectMailbox(ctx context.Context, r selectRequest) error {
	if r.resync != nil && !c.has(imap.CapQResync) {
		return badf("Enable QRESYNC first.") // RFC 7162 §3.2.5
	}
	if c.sel != nil {
		c.deselect()
		c.untagged("OK", "CLOSED", "The previous mailbox is closed.") // RFC 7162 §3.2.11
	}
	if r.condStore {
		c.enable(imap.CapCondStore)
	}
	if err := c.open(ctx, r); err != nil {
		return err
	}
	c.writeSelected(r.mailbox)
	if err := c.catchUp(ctx, r.resync); err != nil {
		c.deselect()
		return err
	}
	if access := c.sel.access(); access == "READ-ONLY" {
		c.answer(access, "Examining.")
	} else {
		c.answer(access, "Selected.")
	}
	return nil
}

// open makes the mailbox the selected one. It watches before it looks, so that nothing is missed between.
func (c *conn) open(ctx context.Context, r selectRequest) error {
	at, err := c.locate(ctx, r.mailbox, store.RightRead)
	if err != nil {
		return err
	}
	watch := c.srv.Accounts.Watch(at.account.ID())
	checked := time.Now()
	box, snap, err := at.open(ctx)
	if err != nil {
		watch.Close()
		return err
	}
	c.state = inSelected
	c.sel = &selected{
		location: at, box: box, snap: snap, view: snap.View(), readOnly: r.readOnly,
		watch: watch, checked: checked, keywords: snap.Keywords(),
	}
	switch n := snap.Len(); {
	case box.Recent == 0 || c.rev2() || !c.sel.own():
	case c.sel.claims():
		c.claimRecent(ctx)
	case n > 0: // to look is not to claim
		first := snap.UID(max(0, n-int(box.Recent)))
		c.sel.recent.AddRange(first, snap.UIDNext()-1)
	}
	return nil
}

// writeSelected writes what SELECT must tell (RFC 3501 §6.3.1, RFC 7162 §3.1.2.1).
func (c *conn) writeSelected(said string) {
	s := c.sel
	c.writeFlagLists()
	c.enc.Atom("* ").Number(s.view.Len()).Atom(" EXISTS\r\n")
	if c.rev2() {
		c.tellName(s.title(s.box.Name), said, c.shown(slices.Clone(s.box.Use))...)
	} else {
		c.writeRecent()
	}
	c.untagged("OK", fmt.Sprintf("UIDVALIDITY %d", s.snap.UIDValidity()), "UIDs are valid.")
	c.untagged("OK", fmt.Sprintf("UIDNEXT %d", s.snap.UIDNext()), "The next UID.")
	if c.offers(imap.CapCondStore) {
		c.untagged("OK", fmt.Sprintf("HIGHESTMODSEQ %d", s.snap.ModSeq()), "The latest change.")
	}
	if c.offers(imap.CapObjectID) {
		c.untagged("OK", mailboxID(s.box.ID), "The mailbox, whatever its name.")
	}
}

// writeRecent writes what IMAP4rev1 has and IMAP4rev2 has not.
func (c *conn) writeRecent() {
	s := c.sel
	s.told = s.recentCount()
	c.enc.Atom("* ").Number(s.told).Atom(" RECENT\r\n")
	if s.box.Unseen > 0 && !c.has(imap.CapUIDOnly) {
		c.untagged("OK", fmt.Sprintf("UNSEEN %d", firstUnseen(s.snap)), "The first that is unseen.")
	}
}

// firstUnseen is the number of the first message without \Seen. There must be one.
func firstUnseen(snap *store.Snapshot) int {
	for i := range snap.Len() {
		if snap.Flags(i).System&store.FlagSeen == 0 {
			return i + 1
		}
	}
	return 0
}

// catchUp tells a client that was away what has happened since (RFC 7162 §3.2.5): first what has gone, then what has come
// or changed, both only of the messages it knows.
func (c *conn) catchUp(ctx context.Context, r *resync) error {
	s := c.sel
	if r == nil || r.uidValidity != s.snap.UIDValidity() {
		return nil // what it knows is of another mailbox; UIDVALIDITY says so
	}
	ch, err := s.account.Since(ctx, s.snap, r.modSeq)
	if err != nil {
		return fmt.Errorf("changes since %d: %w", r.modSeq, err)
	}
	known := r.known
	if known == nil {
		known = imap.UIDSet{{Start: 1}} // to "*"
	}
	gone := vanishedOf(s.snap, ch, known)
	if m := r.matched(s.view); m > 0 {
		gone = subtract(gone, imap.UIDSet{{Start: 1, Stop: m}})
	}
	if len(gone) > 0 {
		c.enc.Atom("* VANISHED (EARLIER) ").NumSet(gone).CRLF()
	}
	known = static(known, s.snap.UIDNext())
	texts := newFlagTexts(s.keywords, s.recent)
	for _, e := range byUIDOrder(ch.Added, ch.Flagged) {
		if known.Contains(e.UID) {
			c.tellEntry(e, texts.text(e.UID, e.Flags))
		}
	}
	return nil
}

func byUIDOrder(a, b []store.Entry) []store.Entry {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y store.Entry) int { return cmp.Compare(x.UID, y.UID) })
	return all
}

// matched is the last UID up to which the client's numbers are ours, going by its sample of them: below it, it has
// heard of every expunge (RFC 7162 §3.2.5.2). Once two numbers differ, so do all above.
func (r *resync) matched(v *store.View) (last imap.UID) {
	var at, i uint32 // the UID to come is uids[i].Start + at
	for _, seqs := range r.seqs {
		for seq := seqs.Start; seq <= seqs.Stop; seq++ {
			have, ok := v.UID(seq)
			if !ok || int(i) == len(r.uids) || have != r.uids[i].Start+imap.UID(at) {
				return last
			}
			last = have
			if at++; r.uids[i].Start+imap.UID(at) > r.uids[i].Stop {
				at, i = 0, i+1
			}
		}
	}
	return last
}

// closeMailbox answers CLOSE: what is \Deleted goes without a word.
func (c *conn) closeMailbox(ctx context.Context, _ nothing) error {
	if err := c.recheck(ctx); err != nil {
		return err
	}
	if !c.sel.readOnly && c.sel.rights.Has(store.RightExpunge) { // RFC 4314 §4: without the right it only closes
		if err := c.expungeDeleted(ctx, nil); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	c.deselect()
	return nil
}

func (c *conn) unselect(context.Context, nothing) error {
	c.deselect()
	return nil
}
