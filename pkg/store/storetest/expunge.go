package storetest

import (
	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

var expungeTests = []contract{
	{name: "whatever the flags", run: testExpunge},
	{name: "one mod-sequence", run: testExpungeModSeq},
	{name: "nothing", run: testExpungeNothing},
	{name: "all", run: testExpungeAll},
}

func testExpunge(e *env) {
	e.fill("INBOX", 6)
	e.set("INBOX", set(2), imap.StoreFlagsAdd, `\Deleted`, `\Seen`)
	gone, err := e.account.Expunge(e.ctx, e.box("INBOX").ID,
		imap.UIDSet{{Start: 5, Stop: 4}, {Start: 2, Stop: 2}, {Start: 4, Stop: 4}, {Start: 80, Stop: 90}, {Start: 0, Stop: 0}}, tester)
	e.ok(err)
	e.equal(gone, []imap.UID{2, 4, 5}, "removed")
	e.equal(e.uids("INBOX"), []imap.UID{1, 3, 6}, "left")
}

func testExpungeModSeq(e *env) {
	e.fill("INBOX", 5)
	before := e.open("INBOX")
	e.expunge("INBOX", 1, 3, 5)
	s, ch := e.refresh(before)
	e.equal([]any{s.ModSeq(), s.UIDNext()}, []any{before.ModSeq() + 1, before.UIDNext()}, "mod-sequence, UIDNEXT")
	e.equal(uidsIn(ch.Removed), []imap.UID{1, 3, 5}, "removed")
	for _, r := range ch.Removed {
		e.equal([]any{r.ModSeq, r.Flags}, []any{s.ModSeq(), store.FlagSet{}}, "entry of UID %d", r.UID)
	}
}

func testExpungeNothing(e *env) {
	e.fill("INBOX", 2)
	before := e.box("INBOX")
	for _, uids := range []imap.UIDSet{nil, {{Start: 3, Stop: 1<<32 - 1}}, {{Start: 0, Stop: 0}}, {{Start: 1, Stop: 0}}} {
		gone, err := e.account.Expunge(e.ctx, before.ID, uids, tester)
		e.ok(err)
		e.equal(len(gone), 0, "removed by %v", uids)
	}
	e.equal(e.box("INBOX"), before, "the mailbox")
	_, err := e.account.Expunge(e.ctx, nowhere, everything, tester)
	e.fails(err, store.ErrNotFound, "no such mailbox")
}

func testExpungeAll(e *env) {
	e.fill("INBOX", 20)
	gone, err := e.account.Expunge(e.ctx, e.box("INBOX").ID, everything, tester)
	e.ok(err)
	e.equal(gone, uidRange(1, 20), "removed")
	after := e.box("INBOX")
	e.equal([]any{after.Messages, after.Unseen, after.Size, after.UIDNext}, []any{0, 0, 0, 21}, "counts")
	gone, err = e.account.Expunge(e.ctx, after.ID, everything, tester)
	e.ok(err)
	e.equal([]any{len(gone), e.box("INBOX").ModSeq}, []any{0, after.ModSeq}, "removed again")
}
