package storetest

import (
	"fmt"
	"strings"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

var replaceTests = []contract{
	{name: "within a mailbox", run: testReplaceWithin},
	{name: "in another mailbox", run: testReplaceAcross},
	{name: "a large message", run: testReplaceLarge},
	{name: "refusals", run: testReplaceRefusals},
	{name: "quota counts the difference", run: testReplaceQuota, quota: 100_000},
}

func (e *env) replace(from string, uid imap.UID, to string, d *store.Draft) (imap.UID, error) {
	e.Helper()
	return e.account.Replace(e.ctx, store.Replacement{From: e.box(from).ID, UID: uid, To: e.box(to).ID, Draft: d, By: tester})
}

func testReplaceWithin(e *env) {
	e.fill("Drafts", 3)
	before := e.open("Drafts")
	octets := e.letter()
	uid, err := e.replace("Drafts", 2, "Drafts", e.draft(octets, `\Draft`, "label"))
	e.ok(err)
	after, ch := e.refresh(before)
	e.equal([]any{uid, after.ModSeq()}, []any{imap.UID(4), before.ModSeq() + 1}, "UID, mod-sequence")
	e.equal([]any{uidsOf(after), uidsIn(ch.Added), uidsIn(ch.Removed)}, []any{"[1 3 4]", "[4]", "[2]"}, "messages")
	m, got := e.read(after, uid)
	e.equal([]any{got, m.Received.UTC(), m.ModSeq}, []any{octets, received, after.ModSeq()}, "octets, INTERNALDATE, mod-sequence")
	e.equal(e.flags("Drafts", uid), `[\Draft label]`, "flags")
	ch, err = e.account.Since(e.ctx, after, before.ModSeq())
	e.ok(err)
	e.equal(uidsIn(ch.Removed), "[2]", "removed since")
	if _, got := e.read(before, 2); got == "" {
		e.Error("a session that has not heard of it cannot read the old message")
	}
	e.fixture.Sweep()
	if _, got := e.read(e.open("Drafts"), uid); got != octets {
		e.Errorf("octets after a sweep: %q", got)
	}
}

func testReplaceAcross(e *env) {
	e.fill("Drafts", 2)
	e.fill("Sent", 1)
	drafts, sent := e.box("Drafts"), e.box("Sent")
	octets := e.letter()
	uid, err := e.replace("Drafts", 1, "Sent", e.draft(octets, `\Seen`))
	e.ok(err)
	e.equal([]any{e.uids("Drafts"), e.uids("Sent")}, []any{"[2]", "[1 2]"}, "messages")
	e.equal([]any{uid, e.box("Drafts").ModSeq, e.box("Sent").ModSeq}, []any{imap.UID(2), drafts.ModSeq + 1, sent.ModSeq + 1}, "UID, mod-sequences")
	_, got := e.read(e.open("Sent"), uid)
	e.equal(got, octets, "octets")
}

func testReplaceLarge(e *env) {
	e.fill("Drafts", 1)
	octets := "Subject: large\r\n\r\n" + strings.Repeat("0123456789abcdef\r\n", 50_000)
	uid, err := e.replace("Drafts", 1, "Drafts", e.draft(octets))
	e.ok(err)
	e.fixture.Sweep()
	if _, got := e.read(e.open("Drafts"), uid); got != octets {
		e.Errorf("%d octets, want %d", len(got), len(octets))
	}
	_, err = e.replace("Drafts", 1, "Drafts", e.draft(octets))
	e.fails(err, store.ErrExpunged, "large, for one that has gone")
	e.fixture.Sweep()
}

func testReplaceRefusals(e *env) {
	e.fill("Drafts", 1)
	before := e.box("Drafts")
	d := e.draft(e.letter())
	_, err := e.replace("Drafts", 7, "Drafts", d)
	e.fails(err, store.ErrExpunged, "no such message")
	_, err = e.account.Replace(e.ctx, store.Replacement{From: nowhere, UID: 1, To: before.ID, Draft: d})
	e.fails(err, store.ErrNotFound, "from nowhere")
	_, err = e.account.Replace(e.ctx, store.Replacement{From: before.ID, UID: 1, To: nowhere, Draft: d})
	e.fails(err, store.ErrNotFound, "to nowhere")
	_, err = e.replace("Drafts", 1, "Drafts", e.draft(e.letter(), "two words"))
	e.fails(err, store.ErrName, "such a flag")
	e.equal(e.box("Drafts"), before, "the mailbox after refusals")
}

func testReplaceQuota(e *env) {
	letter := func(size int) *store.Draft { return e.draft("Subject: x\r\n\r\n" + strings.Repeat("x", size-14)) }
	_, err := e.account.Append(e.ctx, e.box("Drafts").ID, letter(90_000))
	e.ok(err)
	uid, err := e.replace("Drafts", 1, "Drafts", letter(100_000))
	e.ok(err)
	_, err = e.replace("Drafts", uid, "Sent", letter(100_001))
	e.fails(err, store.ErrOverQuota, "one octet more")
	uid, err = e.replace("Drafts", uid, "Sent", letter(70_000))
	e.ok(err)
	e.equal([]any{e.uids("Drafts"), e.uids("Sent")}, []any{"[]", []imap.UID{uid}}, "messages")
}

// replace is what Compare does of it.
func (c *comparison) replace() {
	from, to, uid := c.name(), c.name(), imap.UID(1+c.r.IntN(40))
	d := c.drafts()[0]
	d.Flags = []imap.Flag{pick(c, flagNames)} // a store may find first that a flag is none, or that the message is not there
	what := fmt.Sprintf("Replace(%q, %d, %q, %d octets %q)", from, uid, to, d.Size(), d.Flags)
	both(c, what, func(w *world, _ int) (imap.UID, error) {
		return w.account.Replace(c.ctx, store.Replacement{
			From: w.box(c.ctx, from), UID: uid, To: w.box(c.ctx, to), Draft: d, By: tester,
		})
	}, func(_ *world, uid imap.UID) string { return fmt.Sprint(uid) })
}
