package storetest

import (
	"fmt"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

var copyTests = []contract{
	{name: "copies everything", run: testCopyKeeps},
	{name: "what is there", run: testCopySets},
	{name: "within a mailbox", run: testCopyWithin},
	{name: "keywords", run: testCopyKeywords},
	{name: "refusals", run: testCopyRefusals},
}

func testCopyKeeps(e *env) {
	e.fill("INBOX", 2)
	e.fill("Archive", 3)
	e.set("INBOX", set(2), imap.StoreFlagsAdd, `\Seen`, `\Deleted`, "label")
	from, to := e.box("INBOX"), e.box("Archive")
	data, err := e.account.Copy(e.ctx, from.ID, to.ID, set(1, 2))
	e.ok(err)
	e.equal([]any{data.UIDValidity, data.SourceUIDs, data.DestUIDs}, []any{to.UIDValidity, "1:2", "4:5"}, "UIDVALIDITY, UIDs")
	e.equal(e.box("INBOX"), from, "the source")
	e.equal(e.box("Archive").ModSeq, to.ModSeq+1, "mod-sequence")

	s, d := e.open("INBOX"), e.open("Archive")
	original, want := e.read(s, 2)
	m, got := e.read(d, 5)
	e.equal(got, want, "octets")
	e.equal([]any{m.ID, m.Received, m.Size, m.ModSeq}, []any{original.ID, original.Received, original.Size, to.ModSeq + 1},
		"EMAILID, INTERNALDATE, size, mod-sequence")
	e.equal(e.flags("Archive", 5), `[\Deleted \Seen label]`, "flags")
	e.equal(s.Row(1).Header, d.Row(4).Header, "header size")

	e.expunge("INBOX", 2)
	e.fixture.Sweep()
	if _, got := e.read(d, 5); got != want {
		e.Errorf("after the original was expunged and swept: %q", got)
	}
	e.expunge("Archive", 5)
	if _, got := e.read(e.open("INBOX"), 1); got == "" {
		e.Error("a neighbour has gone too")
	}
}

func testCopySets(e *env) {
	e.fill("INBOX", 10)
	e.expunge("INBOX", 4, 5)
	from, to := e.box("INBOX").ID, e.box("Archive").ID
	data, err := e.account.Copy(e.ctx, from, to, imap.UIDSet{{Start: 99, Stop: 9}, {Start: 6, Stop: 2}, {Start: 3, Stop: 3}, {Start: 0, Stop: 0}})
	e.ok(err)
	e.equal([]any{data.SourceUIDs, data.DestUIDs}, []any{"2:3,6,9:10", "1:5"}, "UIDs")
	for i, source := range []imap.UID{2, 3, 6, 9, 10} {
		_, want := e.read(e.open("INBOX"), source)
		_, got := e.read(e.open("Archive"), imap.UID(i+1))
		e.equal(got, want, "copy of UID %d", source)
	}
	at := e.box("Archive")
	for _, uids := range []imap.UIDSet{nil, set(4), {{Start: 11, Stop: 1<<32 - 1}}} {
		data, err := e.account.Copy(e.ctx, from, to, uids)
		e.ok(err)
		e.equal([]any{data.SourceUIDs, data.DestUIDs}, []any{"", ""}, "UIDs of nothing")
	}
	e.equal(e.box("Archive"), at, "the target after copies of nothing")
}

func testCopyWithin(e *env) {
	e.fill("INBOX", 2)
	before := e.box("INBOX")
	data, err := e.account.Copy(e.ctx, before.ID, before.ID, everything)
	e.ok(err)
	e.equal([]any{data.SourceUIDs, data.DestUIDs, e.box("INBOX").ModSeq}, []any{"1:2", "3:4", before.ModSeq + 1}, "UIDs, mod-sequence")
	e.equal(e.uids("INBOX"), []imap.UID{1, 2, 3, 4}, "messages")
	e.expunge("INBOX", 1)
	if _, octets := e.read(e.open("INBOX"), 3); octets == "" {
		e.Error("the copy went with the original")
	}
}

func testCopyKeywords(e *env) {
	e.add("Archive", "x", "y")
	e.add("INBOX", "c", "Y", "z")
	e.add("INBOX", "unused")
	_, err := e.account.Copy(e.ctx, e.box("INBOX").ID, e.box("Archive").ID, set(1))
	e.ok(err)
	e.equal(e.flags("Archive", 2), `[c y z]`, "flags, by name")
	e.equal(len(e.open("Archive").Keywords()), 4, "keywords of the target: only those in use")
	for i := range store.MaxKeywords - 4 {
		e.set("Archive", set(1), imap.StoreFlagsAdd, imap.Flag(fmt.Sprintf("key%d", i)))
	}
	at := e.box("Archive")
	for _, transfer := range []func() error{
		func() error {
			_, err := e.account.Copy(e.ctx, e.box("INBOX").ID, at.ID, everything)
			return err
		},
		func() error {
			_, err := e.account.Move(e.ctx, e.box("INBOX").ID, at.ID, everything)
			return err
		},
	} {
		e.fails(transfer(), store.ErrTooManyKeywords, "one keyword more")
		e.equal(e.box("Archive"), at, "the target after the refusal")
		e.equal(e.uids("INBOX"), []imap.UID{1, 2}, "the source after the refusal")
	}
}

func testCopyRefusals(e *env) {
	e.fill("INBOX", 1)
	inbox := e.box("INBOX").ID
	_, err := e.account.Copy(e.ctx, inbox, nowhere, everything)
	e.fails(err, store.ErrNotFound, "to nowhere")
	_, err = e.account.Copy(e.ctx, nowhere, inbox, everything)
	e.fails(err, store.ErrNotFound, "from nowhere")
	_, err = e.account.Move(e.ctx, inbox, nowhere, everything)
	e.fails(err, store.ErrNotFound, "move to nowhere")
	_, err = e.account.Move(e.ctx, nowhere, inbox, everything)
	e.fails(err, store.ErrNotFound, "move from nowhere")
	_, neighbour := e.newAccount(0)
	theirs, err := neighbour.Mailbox(e.ctx, "INBOX")
	e.ok(err)
	_, err = e.account.Copy(e.ctx, inbox, theirs.ID, everything)
	e.fails(err, store.ErrNotFound, "to another account's mailbox")
	_, err = neighbour.Copy(e.ctx, inbox, theirs.ID, everything)
	e.fails(err, store.ErrNotFound, "from another account's mailbox")
}
