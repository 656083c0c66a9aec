package storetest

import (
	"postern/pkg/store"
)

var threadTests = []contract{
	{name: "joins", run: testThreadJoins},
	{name: "stays", run: testThreadStays},
}

const (
	threadRoot  = "Message-ID: <root@example.org>\r\n\r\nx\r\n"
	threadReply = "Message-ID: <reply@example.org>\r\nReferences: <root@example.org>\r\n\r\nx\r\n"
	threadNone  = "Subject: neither\r\n\r\nx\r\n"
)

// testThreadJoins: a message says itself which conversation it is part of, whatever comes first and where.
func testThreadJoins(e *env) {
	_, err := e.account.Append(e.ctx, e.box("INBOX").ID, e.draft(threadReply), e.draft(threadNone), e.draft(threadNone))
	e.ok(err)
	_, err = e.account.Append(e.ctx, e.box("Archive").ID, e.draft(threadRoot))
	e.ok(err)
	in, archive := e.open("INBOX"), e.open("Archive")
	e.equal(in.Row(0).Thread, archive.Row(0).Thread, "thread of reply and root")
	first, second := in.Row(1), in.Row(2)
	if first.Thread == 0 || first.Thread == second.Thread || first.Thread == in.Row(0).Thread {
		e.Errorf("threads of messages that name none: %d, %d; of another: %d", first.Thread, second.Thread, in.Row(0).Thread)
	}
	got, err := e.account.Search(e.ctx, in, &store.Criteria{ThreadID: []string{store.ThreadID(archive.Row(0).Thread)}})
	e.ok(err)
	e.equal(got, "[1]", "messages of the thread")
}

// testThreadStays: through copies and moves.
func testThreadStays(e *env) {
	_, err := e.account.Append(e.ctx, e.box("INBOX").ID, e.draft(threadReply), e.draft(threadNone))
	e.ok(err)
	in := e.open("INBOX")
	_, err = e.account.Copy(e.ctx, in.Mailbox(), e.box("Archive").ID, set(1, 2))
	e.ok(err)
	_, err = e.account.Move(e.ctx, in.Mailbox(), e.box("Trash").ID, set(1, 2))
	e.ok(err)
	for _, name := range []string{"Archive", "Trash"} {
		s := e.open(name)
		for i := range s.Len() {
			e.equal([]any{s.Row(i).Thread, s.Row(i).ID}, []any{in.Row(i).Thread, in.Row(i).ID}, "thread and id in %s", name)
			id, thread, saved := s.Identity(i)
			e.equal([]any{id, thread, saved}, []any{s.Row(i).ID, s.Row(i).Thread, s.Message(i).Saved}, "identity in %s", name)
		}
	}
}
