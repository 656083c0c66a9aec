package storetest

import "github.com/emersion/go-imap/v2"

var moveTests = []contract{
	{name: "moves everything", run: testMoveKeeps},
	{name: "forty of a hundred", run: testMoveForty},
	{name: "within a mailbox", run: testMoveWithin},
	{name: "there and back", run: testMoveBack},
}

func testMoveKeeps(e *env) {
	e.fill("INBOX", 4)
	e.set("INBOX", set(2), imap.StoreFlagsAdd, `\Seen`, `\Deleted`, "label")
	from, to := e.open("INBOX"), e.box("Archive")
	original, want := e.read(from, 2)
	data, err := e.account.Move(e.ctx, from.Mailbox(), to.ID, set(2, 3))
	e.ok(err)
	e.equal([]any{data.UIDValidity, data.SourceUIDs, data.DestUIDs}, []any{to.UIDValidity, "2:3", "1:2"}, "UIDVALIDITY, UIDs")
	next, ch := e.refresh(from)
	e.equal([]any{next.ModSeq(), uidsIn(ch.Removed), uidsOf(next)}, []any{from.ModSeq() + 1, "[2 3]", "[1 4]"}, "the source")
	m, got := e.read(e.open("Archive"), 1)
	e.equal(got, want, "octets")
	e.equal([]any{m.ID, m.Received, m.ModSeq}, []any{original.ID, original.Received, to.ModSeq + 1}, "EMAILID, INTERNALDATE, mod-sequence")
	e.equal(e.flags("Archive", 1), `[\Deleted \Seen label]`, "flags")
	e.fixture.Sweep()
	if _, got := e.read(e.open("Archive"), 1); got != want {
		e.Errorf("octets after a sweep: %q", got)
	}
	ch, err = e.account.Since(e.ctx, next, next.ModSeq())
	e.ok(err)
	e.equal(len(ch.Removed), 0, "removed since")
}

func testMoveForty(e *env) {
	e.fill("INBOX", 100)
	e.expunge("INBOX", uidRange(41, 100)...)
	data, err := e.account.Move(e.ctx, e.box("INBOX").ID, e.box("Trash").ID, imap.UIDSet{{Start: 1, Stop: 100}})
	e.ok(err)
	e.equal([]any{data.SourceUIDs, data.DestUIDs}, []any{"1:40", "1:40"}, "UIDs")
	e.equal([]any{e.box("INBOX").Messages, e.box("Trash").Messages}, []any{0, 40}, "messages")
	before := e.box("INBOX")
	data, err = e.account.Move(e.ctx, before.ID, e.box("Trash").ID, imap.UIDSet{{Start: 1, Stop: 100}})
	e.ok(err)
	e.equal([]any{data.SourceUIDs, data.DestUIDs}, []any{"", ""}, "UIDs of a second move")
	e.equal(e.box("INBOX"), before, "the source after a second move")
}

func uidRange(from, to imap.UID) []imap.UID {
	var uids []imap.UID
	for uid := from; uid <= to; uid++ {
		uids = append(uids, uid)
	}
	return uids
}

func testMoveWithin(e *env) {
	e.fill("INBOX", 3)
	e.set("INBOX", set(2), imap.StoreFlagsAdd, "label")
	before := e.open("INBOX")
	_, want := e.read(before, 2)
	data, err := e.account.Move(e.ctx, before.Mailbox(), before.Mailbox(), set(2))
	e.ok(err)
	e.equal([]any{data.SourceUIDs, data.DestUIDs}, []any{"2", "4"}, "UIDs")
	s, ch := e.refresh(before)
	e.equal([]any{s.ModSeq(), uidsOf(s)}, []any{before.ModSeq() + 1, "[1 3 4]"}, "mod-sequence, messages")
	e.equal([]any{uidsIn(ch.Added), uidsIn(ch.Removed)}, []any{"[4]", "[2]"}, "added, removed")
	e.equal(e.flags("INBOX", 4), `[label]`, "flags")
	e.fixture.Sweep()
	if _, got := e.read(s, 4); got != want {
		e.Errorf("octets: %q", got)
	}
}

// testMoveBack moves copies and originals about; every message stays readable.
func testMoveBack(e *env) {
	e.fill("INBOX", 2)
	inbox, trash := e.box("INBOX").ID, e.box("Trash").ID
	for range 3 {
		_, err := e.account.Copy(e.ctx, inbox, trash, everything)
		e.ok(err)
		_, err = e.account.Move(e.ctx, inbox, trash, everything)
		e.ok(err)
		gone := e.uids("Trash")
		e.expunge("Trash", gone[:len(gone)/2]...)
		_, err = e.account.Move(e.ctx, trash, inbox, everything)
		e.ok(err)
		e.fixture.Sweep()
		s := e.open("INBOX")
		e.equal(s.Len(), 2, "messages")
		for i := range s.Len() {
			e.read(s, s.UID(i))
		}
	}
}
