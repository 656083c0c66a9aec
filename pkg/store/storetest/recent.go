package storetest

import (
	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

var recentTests = []contract{
	{name: "claimed once", run: testRecent},
}

func testRecent(e *env) {
	box := e.box("INBOX").ID
	claim := func(upTo, want imap.UID) {
		e.Helper()
		from, err := e.account.ClaimRecent(e.ctx, box, upTo)
		e.ok(err)
		e.equal(min(from, upTo), want, "ClaimRecent(%d)", upTo)
	}
	claim(1, 1)
	e.fill("INBOX", 3)
	e.equal(e.box("INBOX").Recent, 3, "recent after three arrived")
	at := e.box("INBOX").ModSeq
	claim(3, 1)
	e.equal(e.box("INBOX").Recent, 1, "recent after two were claimed")
	claim(3, 3)
	claim(2, 2)
	claim(4, 3)
	e.equal([]any{e.box("INBOX").Recent, e.box("INBOX").ModSeq}, []any{0, at}, "recent and mod-sequence after all were claimed")
	e.fill("INBOX", 2)
	e.equal(e.box("INBOX").Recent, 2, "recent after two more arrived")
	e.expunge("INBOX", 5)
	e.equal(e.box("INBOX").Recent, 1, "recent after one of them was expunged")
	claim(6, 4)
	_, err := e.account.ClaimRecent(e.ctx, nowhere, 1)
	e.fails(err, store.ErrNotFound, "no such mailbox")
}
