package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// The random things that Compare does: writing.

var boxNames = []string{
	"INBOX", "inbox", "INBOX", "Archive", "Trash", "Sent", "a", "a/b", "a/b/c", "/a/b/", "x", "x/y", "受信箱", "INBOX/in",
	"nowhere", "a//b", "",
}

var flagNames = []imap.Flag{
	`\Seen`, `\seen`, `\Deleted`, `\Flagged`, `\Draft`, `\ANSWERED`, "$Junk", "$junk", "work", "Work", "later", "k1", "k2",
}

func pick[T any](c *comparison, list []T) T { return list[c.r.IntN(len(list))] }

// name returns the name of a mailbox, mostly one that is there.
func (c *comparison) name() string {
	if c.r.IntN(3) > 0 || c.step < steps/2 {
		return pick(c, boxNames[:6])
	}
	return pick(c, boxNames)
}

func (c *comparison) flags() []imap.Flag {
	var flags []imap.Flag
	for range c.r.IntN(4) {
		flags = append(flags, pick(c, flagNames))
	}
	if c.r.IntN(40) == 0 {
		flags = append(flags, pick(c, []imap.Flag{`\Recent`, "a b", ""}))
	}
	return flags
}

// set returns a set of UIDs such as a careless caller might make.
func (c *comparison) set() imap.UIDSet {
	if c.r.IntN(8) == 0 {
		return everything
	}
	var set imap.UIDSet
	for range c.r.IntN(4) {
		lo := imap.UID(c.r.IntN(40))
		hi := lo + imap.UID(c.r.IntN(6))
		switch c.r.IntN(10) {
		case 0:
			lo, hi = hi, lo
		case 1:
			hi = 1<<32 - 1
		case 2:
			hi = 0
		}
		set = append(set, imap.UIDRange{Start: lo, Stop: hi})
	}
	return set
}

var letters = []string{
	"Subject: plain\r\n\r\nHello.\r\n",
	"From: Ann <ann@example.org>\r\nDate: Mon, 02 Mar 2026 10:00:00 +0900\r\nSubject: =?utf-8?B?5Lya6K2w?=\r\n\r\nMeeting\r\n",
	"",
	"no header at all",
	"Subject: no end",
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: text/html\r\n\r\n<b>two</b>\r\n--b--\r\n",
	"X: \x00\xff\r\n\r\n\x00\xfe bytes\r\n",
	"Content-Type: text/plain; charset=utf-8\r\n\r\n明日の会議 work\r\n",
}

func (c *comparison) drafts() []*store.Draft {
	var drafts []*store.Draft
	for range 1 + c.r.IntN(3)*c.r.IntN(2) {
		octets := pick(c, letters)
		if c.r.IntN(4) == 0 {
			octets += strings.Repeat("More text to fill the quota.\r\n", c.r.IntN(200))
		}
		d := &store.Draft{
			Spooled: spool(c.T, octets), Flags: c.flags(),
			Received: time.UnixMilli(c.r.Int64N(2_000_000_000_000)),
		}
		if c.r.IntN(3) == 0 {
			d.Prefix = fmt.Appendf(nil, "Delivered-To: %d\r\n", c.r.IntN(1000))
			d.DeliveryKey = fmt.Appendf(nil, "key %d", c.r.IntN(30))
			d.Flags = nil
		}
		drafts = append(drafts, d)
	}
	return drafts
}

func (c *comparison) append() {
	name, drafts := c.name(), c.drafts()
	if c.worlds[0].box(c.ctx, name) == nowhere {
		for _, d := range drafts {
			d.DeliveryKey = nil // a store may find first that it has been delivered, or that the mailbox is not there
		}
	}
	what := fmt.Sprintf("Append(%q", name)
	for _, d := range drafts {
		what += fmt.Sprintf(", %d octets %q %q", d.Size(), d.Flags, d.DeliveryKey)
	}
	both(c, what+")", func(w *world, _ int) ([]imap.UID, error) {
		return w.account.Append(c.ctx, w.box(c.ctx, name), drafts...)
	}, func(_ *world, uids []imap.UID) string { return fmt.Sprint(uids) })
}

func (c *comparison) setFlags() {
	name, set := c.name(), c.set()
	ch := store.FlagChange{Op: imap.StoreFlagsOp(c.r.IntN(3)), Flags: c.flags()}
	since := "always"
	if c.r.IntN(3) == 0 {
		at := store.ModSeq(c.r.IntN(40))
		ch.UnchangedSince = &at
		since = fmt.Sprint(at)
	}
	if c.r.IntN(3) == 0 {
		ch.Denied = store.Rights(c.r.IntN(int(store.AllRights)))
	}
	what := fmt.Sprintf("SetFlags(%q, %v, %d %q, unchanged since %s, without %v)", name, set, ch.Op, ch.Flags, since, ch.Denied)
	both(c, what, func(w *world, _ int) (store.FlagResult, error) {
		return w.account.SetFlags(c.ctx, w.box(c.ctx, name), set, ch)
	}, func(_ *world, r store.FlagResult) string {
		return showEntries(r.Changed, r.Keywords) + "modified " + store.Normalize(r.Modified).String()
	})
}

func (c *comparison) setACL() {
	name := c.name()
	ch := store.ACLChange{
		ACLEntry: store.ACLEntry{
			Identifier: pick(c, []string{store.Anyone, "bob@example.org", "@example.org"}),
			Negative:   c.r.IntN(2) == 0, Rights: store.Rights(c.r.IntN(int(store.AllRights))),
		},
		Op: pick(c, []imap.RightModification{imap.RightModificationReplace, imap.RightModificationAdd, imap.RightModificationRemove}),
	}
	both(c, fmt.Sprintf("SetACL(%q, %v)", name, ch), func(w *world, _ int) (struct{}, error) {
		return struct{}{}, w.account.SetACL(c.ctx, w.box(c.ctx, name), ch)
	}, done)
	c.compareACL(name)
}

func showCopy(_ *world, d imap.CopyData) string {
	return store.Normalize(d.SourceUIDs).String() + " to " + store.Normalize(d.DestUIDs).String()
}

func (c *comparison) copy() {
	from, to, set := c.name(), c.name(), c.set()
	both(c, fmt.Sprintf("Copy(%q, %q, %v)", from, to, set), func(w *world, _ int) (imap.CopyData, error) {
		return w.account.Copy(c.ctx, w.box(c.ctx, from), w.box(c.ctx, to), set)
	}, showCopy)
}

func (c *comparison) move() {
	from, to, set := c.name(), c.name(), c.set()
	both(c, fmt.Sprintf("Move(%q, %q, %v)", from, to, set), func(w *world, _ int) (imap.CopyData, error) {
		return w.account.Move(c.ctx, w.box(c.ctx, from), w.box(c.ctx, to), set)
	}, showCopy)
}

func (c *comparison) expunge() {
	name, set := c.name(), c.set()
	both(c, fmt.Sprintf("Expunge(%q, %v)", name, set), func(w *world, _ int) ([]imap.UID, error) {
		return w.account.Expunge(c.ctx, w.box(c.ctx, name), set, tester)
	}, func(_ *world, uids []imap.UID) string { return fmt.Sprint(uids) })
}

func (c *comparison) create() {
	name := pick(c, boxNames)
	var use []imap.MailboxAttr
	if c.r.IntN(4) == 0 {
		use = []imap.MailboxAttr{pick(c, store.SpecialUses)}
	}
	both(c, fmt.Sprintf("Create(%q, %v)", name, use), func(w *world, _ int) (store.Mailbox, error) {
		return w.account.Create(c.ctx, name, use...)
	}, func(w *world, b store.Mailbox) string {
		if b.UIDValidity <= w.highest {
			c.Errorf("UIDVALIDITY %d of a new mailbox; another had %d", b.UIDValidity, w.highest)
		}
		w.highest = b.UIDValidity
		return showBox(b)
	})
}

func (c *comparison) setUse() {
	name, use := pick(c, boxNames), store.Annotation{Entry: store.SpecialUseEntry}
	if c.r.IntN(2) == 0 {
		use.Value = []byte(pick(c, store.SpecialUses))
	}
	both(c, fmt.Sprintf("SetAnnotations(%q, special use %s)", name, use.Value), func(w *world, _ int) (struct{}, error) {
		at := store.Place{Account: w.account.ID(), Mailbox: w.box(c.ctx, name)}
		return struct{}{}, w.account.SetAnnotations(c.ctx, at, use)
	}, done)
}

func (c *comparison) rename() {
	from, to := pick(c, boxNames), pick(c, boxNames)
	both(c, fmt.Sprintf("Rename(%q, %q)", from, to), func(w *world, _ int) (struct{}, error) {
		return struct{}{}, w.account.Rename(c.ctx, from, to)
	}, done)
}

func (c *comparison) delete() {
	name := pick(c, boxNames)
	both(c, fmt.Sprintf("Delete(%q)", name), func(w *world, _ int) (struct{}, error) {
		return struct{}{}, w.account.Delete(c.ctx, name)
	}, done)
}

func (c *comparison) subscribe() {
	name, on := pick(c, boxNames), c.r.IntN(2) == 0
	both(c, fmt.Sprintf("Subscribe(%q, %v)", name, on), func(w *world, _ int) (struct{}, error) {
		return struct{}{}, w.account.Subscribe(c.ctx, name, on)
	}, done)
}

func (c *comparison) claim() {
	name, less := c.name(), imap.UID(c.r.IntN(4))
	both(c, fmt.Sprintf("ClaimRecent(%q, UIDNEXT-%d)", name, less), func(w *world, _ int) (string, error) {
		b, err := w.account.Mailbox(c.ctx, name)
		if err != nil {
			return "", err
		}
		upTo := b.UIDNext - min(less, b.UIDNext)
		from, err := w.account.ClaimRecent(c.ctx, b.ID, upTo)
		return fmt.Sprint(min(from, upTo)), err
	}, func(_ *world, from string) string { return from })
}

// sweep makes both forget. What sessions hold of messages that are gone may be lost, so they end.
func (c *comparison) sweep() {
	if c.r.IntN(3) > 0 || c.step < steps/2 {
		return
	}
	c.log = append(c.log, fmt.Sprintf("%d: Sweep", c.step))
	for _, w := range c.worlds {
		w.fixture.Sweep()
	}
	c.swept, c.sessions = true, nil
}
