package storetest

import (
	"strings"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

var renameTests = []contract{
	{name: "keeps everything", run: testRenameKeeps},
	{name: "a tree", run: testRenameTree},
	{name: "refusals", run: testRenameRefusals},
	{name: "INBOX", run: testRenameInbox},
}

func testRenameKeeps(e *env) {
	e.create("old")
	e.fill("old", 3)
	e.set("old", set(2), imap.StoreFlagsAdd, "label")
	before, s := e.box("old"), e.open("old")
	e.ok(e.account.Rename(e.ctx, "old", "new/place/"))
	after := e.box("new/place")
	before.Name = after.Name
	e.equal(after, before, "the mailbox")
	_, err := e.account.Mailbox(e.ctx, "old")
	e.fails(err, store.ErrNotFound, "the old name")
	next, _ := e.refresh(s)
	e.equal(uidsOf(next), []imap.UID{1, 2, 3}, "a session goes on")
	e.equal(e.box("new").Messages, 0, "a parent was made")
	e.create("old")
}

func testRenameTree(e *env) {
	for _, name := range []string{"a/b/c", "a/d", "ab", "a b"} {
		e.create(name)
	}
	e.add("a/b/c")
	id := e.box("a/b/c").ID
	e.ok(e.account.Rename(e.ctx, "a", "x/y"))
	e.equal(e.names(), "[Archive Drafts INBOX Junk Sent Trash a b ab x x/y x/y/b x/y/b/c x/y/d]", "mailboxes")
	e.equal(e.box("x/y/b/c").ID, id, "id")
	e.ok(e.account.Rename(e.ctx, "x/y/b", "x/y/bb"))
	e.equal(e.box("x/y/bb/c").Messages, 1, "messages")
	e.ok(e.account.Rename(e.ctx, "x/y/d", "inbox/d"))
	e.equal(e.box("INBOX/d").Name, "INBOX/d", "below INBOX")
	e.ok(e.account.Rename(e.ctx, "x", "x_"))
	e.ok(e.account.Rename(e.ctx, "x_", "%_"[1:]))
	e.equal(e.box("_/y/bb/c").ID, id, "id after more renaming")
}

func testRenameRefusals(e *env) {
	e.create("a/b")
	e.create("deep/" + strings.Repeat("x", 255) + "/" + strings.Repeat("x", 255) + "/" + strings.Repeat("x", 255))
	for _, test := range []struct {
		from, to string
		want     error
	}{
		{"nothing", "x", store.ErrNotFound},
		{"a", "Sent", store.ErrExists},
		{"a", "a", store.ErrExists},
		{"a", "INBOX", store.ErrExists},
		{"INBOX", "a/b", store.ErrExists},
		{"a", "a/c", store.ErrName},
		{"a", "a/b/c", store.ErrName},
		{"a", "x//y", store.ErrName},
		{"a", "x*", store.ErrName},
		{"a", "", store.ErrName},
		{"deep", strings.Repeat("y", 250), store.ErrName},
	} {
		e.fails(e.account.Rename(e.ctx, test.from, test.to), test.want, "Rename(%q, %q)", test.from, test.to)
	}
	e.equal(len(e.names()), 6+2+4, "mailboxes")
}

func testRenameInbox(e *env) {
	e.fill("INBOX", 3)
	e.expunge("INBOX", 1)
	e.set("INBOX", set(3), imap.StoreFlagsAdd, `\Seen`, "label")
	e.create("INBOX/below")
	before := e.open("INBOX")
	_, want := e.read(before, 3)
	e.ok(e.account.Rename(e.ctx, "inbox", "saved/mail"))
	inbox, saved := e.box("INBOX"), e.open("saved/mail")
	e.equal([]any{inbox.ID, inbox.UIDValidity, inbox.Messages, inbox.UIDNext}, []any{before.Mailbox(), before.UIDValidity(), 0, 4}, "INBOX")
	s, ch := e.refresh(before)
	e.equal([]any{s.Len(), uidsIn(ch.Removed)}, []any{0, "[2 3]"}, "a session hears of it")
	e.equal(saved.Len(), 2, "messages moved")
	_, got := e.read(saved, saved.UID(1))
	e.equal(got, want, "octets")
	e.equal(names(saved.Flags(1), saved), `[\Seen label]`, "flags")
	e.equal(e.box("INBOX/below").Name, "INBOX/below", "what is below stays")
	if next := e.add("INBOX"); next != 4 {
		e.Errorf("the next UID in INBOX is %d", next)
	}
	e.ok(e.account.Rename(e.ctx, "INBOX", "INBOX/archive"))
	e.equal(e.box("INBOX/archive").Messages, 1, "messages moved below INBOX")
	e.ok(e.account.Rename(e.ctx, "INBOX", "empty"))
	e.equal(e.box("empty").Messages, 0, "messages of an empty INBOX")
}
