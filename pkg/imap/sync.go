package imap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
	"go.uber.org/zap"
)

// freshFor is how long the answer to "what has changed?" is good while the watch is silent. A notification is a hint that
// can be lost; this bounds for how long that goes unnoticed in a session that is active.
const freshFor = 5 * time.Second

var (
	// errDeleted: RFC 2180 §3.3 leaves BYE as the only answer that every client understands.
	errDeleted = &farewell{text: "The selected mailbox has been deleted.", reason: "mailbox deleted"}
	// errLost: rather than guess what has gone, have the client start over.
	errLost = &farewell{text: "Too much has changed, please reconnect.", reason: "tombstones swept"}
)

// ahead is the mailbox as a command that changed it has read it again, and what is new in it.
type ahead struct {
	snap *store.Snapshot
	ch   store.Changes
}

// again reads the mailbox after a change of our own, to mod-sequence at. The news that follow the command are those it finds:
// what happens later fires the watch once more.
func (c *conn) again(ctx context.Context, at store.ModSeq) (*store.Snapshot, error) {
	s := c.sel
	select {
	case <-s.watch.C:
		s.hears()
	default:
	}
	snap, ch, err := s.account.RefreshTo(ctx, s.snap, at)
	if err != nil {
		return nil, err
	}
	s.ahead = &ahead{snap, ch}
	return snap, nil
}

// refresh is what the command has seen already, or what the store says now.
func (c *conn) refresh(ctx context.Context) (*store.Snapshot, store.Changes, error) {
	if seen := c.sel.ahead; seen != nil {
		return seen.snap, seen.ch, nil
	}
	brief, cancel := c.briefly(ctx)
	defer cancel()
	if at := c.sel.wrote; at != 0 {
		c.sel.wrote = 0
		return c.sel.account.RefreshTo(brief, c.sel.snap, at)
	}
	return c.sel.account.Refresh(brief, c.sel.snap)
}

// syncAfter tells the client the news after a command with the given flags. It asks the store unless it cannot have changed.
func (c *conn) syncAfter(ctx context.Context, fl flags) error {
	if c.sel.ahead != nil { // the watch is left to the next command
		return c.sync(ctx, fl.has(mayExpunge))
	}
	select {
	case <-c.sel.watch.C:
		c.sel.hears()
	default:
	}
	if !fl.has(alwaysSync) && !c.sel.news && time.Since(c.sel.checked) < freshFor {
		return c.announce(ctx, fl.has(mayExpunge))
	}
	return c.sync(ctx, fl.has(mayExpunge))
}

// sync asks the store what has happened in the selected mailbox and tells the client; of expunges only if expunge is true.
func (c *conn) sync(ctx context.Context, expunge bool) error {
	s := c.sel
	s.news, s.checked = false, time.Now()
	snap, ch, err := c.refresh(ctx)
	s.ahead = nil
	switch {
	case errors.Is(err, store.ErrNotFound):
		return errDeleted
	case err != nil:
		s.news = true
		return fmt.Errorf("refresh mailbox %d: %w", s.box.ID, err)
	case snap == s.snap:
		return c.announce(ctx, expunge)
	case !ch.Complete:
		return errLost
	}
	s.snap = snap
	s.view.Apply(ch)
	s.view.Follow(snap)
	s.touch(ch)
	return c.announce(ctx, expunge)
}

// announce tells the client what its View has in store for it.
func (c *conn) announce(ctx context.Context, expunge bool) error {
	s := c.sel
	c.tellKeywords(s.snap.Keywords())
	grown := false
	texts := newFlagTexts(s.keywords, s.recent)
	heeds := c.heeds()
	if expunge = expunge && (heeds.has(messageExpunge) || c.done.gone); expunge {
		c.tellRemoved()
	}
	var gone imap.UIDSet
	var fresh []imap.UID
	for ev := range s.view.Announce(expunge) {
		if ev.Kind != store.Expunged {
			c.vanish(&gone)
		} else if s.untold { // or the number would not be one the client knows
			s.untold = false
			c.enc.Atom("* ").Number(s.view.Len()).Atom(" EXISTS\r\n")
		}
		switch {
		case ev.Kind == store.Expunged && (c.has(imap.CapQResync) || c.has(imap.CapUIDOnly)):
			gone = append(gone, imap.UIDRange{Start: ev.Entry.UID, Stop: ev.Entry.UID})
		case ev.Kind == store.Expunged:
			c.enc.Atom("* ").Number(ev.Seq).Atom(" EXPUNGE\r\n")
		case ev.Kind == store.Exists && !heeds.has(messageNew):
			s.untold = true
		case ev.Kind == store.Exists:
			s.untold = false
			c.enc.Atom("* ").Number(ev.Count).Atom(" EXISTS\r\n")
			grown = true
		case ev.New: // the client asks for what it wants, if it has not said so already
			fresh = append(fresh, ev.Entry.UID)
		case heeds.has(flagChange):
			c.tellEntry(ev.Entry, texts.text(ev.Entry.UID, ev.Entry.Flags))
		}
	}
	c.vanish(&gone)
	if heeds.has(messageNew) {
		c.tellCount(&grown)
		c.tellRecent(ctx, grown)
		if err := c.tellFresh(ctx, fresh); err != nil {
			return err
		}
	}
	if !s.untold { // else there are messages whose numbers the client does not know
		if err := c.tellUpdates(ctx); err != nil {
			return err
		}
	}
	return c.enc.Err()
}

// vanish writes VANISHED for uids (RFC 7162 §3.2.10) and empties them.
func (c *conn) vanish(uids *imap.UIDSet) {
	if len(*uids) > 0 {
		c.enc.Atom("* VANISHED ").NumSet(store.Normalize(*uids)).CRLF()
		*uids = nil
	}
}

// tellKeywords announces keywords the client has not heard of; it must be called before they are used in a response.
// keywords is the mailbox's list, which only grows.
func (c *conn) tellKeywords(keywords []imap.Flag) {
	if c.sel.learn(keywords) {
		c.writeFlagLists()
	}
}

// writeFlagLists writes FLAGS and PERMANENTFLAGS (RFC 3501 §7.2.6, §7.1).
func (c *conn) writeFlagLists() {
	all := store.FlagSet{System: 1<<5 - 1, Keywords: 1<<store.MaxKeywords - 1}.Names(c.sel.keywords)
	c.enc.Atom("* FLAGS ").Flags(all).CRLF()
	all = c.sel.denied().Permitted(all) // RFC 4314 §5.2
	switch {
	case c.sel.readOnly:
		c.untagged("OK", "PERMANENTFLAGS ()", "The mailbox is open for reading only.")
	case !c.sel.rights.Has(store.RightWrite):
		c.untagged("OK", "PERMANENTFLAGS "+spellFlags(all, false), "You may change these.")
	case len(c.sel.keywords) < store.MaxKeywords:
		c.untagged("OK", "PERMANENTFLAGS "+spellFlags(append(all, imap.FlagWildcard), false), "Flags and keywords are kept.")
	default:
		c.untagged("OK", "PERMANENTFLAGS "+spellFlags(all, false), "Flags are kept; there is no room for more keywords.")
	}
}

// tellRecent writes RECENT when it has changed, and after EXISTS (RFC 3501 §7.3.2).
func (c *conn) tellRecent(ctx context.Context, grown bool) {
	s := c.sel
	if c.rev2() {
		return
	}
	if grown && s.claims() {
		c.claimRecent(ctx)
	}
	if n := s.recentCount(); grown || n != s.told {
		s.told = n
		c.enc.Atom("* ").Number(n).Atom(" RECENT\r\n")
	}
}

// claimRecent makes the messages that no session has seen \Recent for this one. It is a nicety: without it the session
// goes on.
func (c *conn) claimRecent(ctx context.Context) {
	s, upTo := c.sel, c.sel.snap.UIDNext()
	ctx, cancel := c.briefly(ctx)
	defer cancel()
	from, err := s.account.ClaimRecent(ctx, s.box.ID, upTo)
	if err != nil {
		c.log.Warn("claim recent messages", zap.Error(err))
		return
	}
	if from < upTo {
		s.recent.AddRange(from, upTo-1)
	}
}

// tellCount tells how many messages there are if the client has not wanted to hear of it, and now does.
func (c *conn) tellCount(grown *bool) {
	if c.sel.untold {
		c.sel.untold, *grown = false, true
		c.enc.Atom("* ").Number(c.sel.view.Len()).Atom(" EXISTS\r\n")
	}
}
