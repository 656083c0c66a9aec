package storetest

import (
	"strings"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

var quotaTests = []contract{
	{name: "none", run: testQuotaNone},
	{name: "limit", run: testQuotaLimit, quota: 10_000},
	{name: "what frees", run: testQuotaFrees, quota: 10_000},
	{name: "route", run: testQuotaRoute, quota: 1000},
	{name: "messages", run: testQuotaMessages},
	{name: "mailboxes", run: testQuotaMailboxes},
}

func (e *env) quota() store.Quota {
	e.Helper()
	q, err := e.account.Quota(e.ctx)
	e.ok(err)
	return q
}

// sized returns a draft of n octets.
func (e *env) sized(n int) *store.Draft {
	e.Helper()
	const head = "Subject: x\r\n\r\n"
	return e.draft(head + strings.Repeat("y", n-len(head)))
}

func testQuotaNone(e *env) {
	e.equal(e.quota(), store.Quota{Mailboxes: 6}, "an empty account")
	_, err := e.account.Append(e.ctx, e.box("INBOX").ID, e.sized(100_000))
	e.ok(err)
	e.equal(e.quota(), store.Quota{Used: 100_000, Messages: 1, Mailboxes: 6}, "after a message")
}

func testQuotaLimit(e *env) {
	inbox, trash := e.box("INBOX").ID, e.box("Trash").ID
	_, err := e.account.Append(e.ctx, inbox, e.sized(4000))
	e.ok(err)
	_, err = e.account.Append(e.ctx, inbox, e.sized(3000), e.sized(3001))
	e.fails(err, store.ErrOverQuota, "two that do not fit together")
	e.equal(e.quota(), store.Quota{Limit: 10_000, Used: 4000, Messages: 1, Mailboxes: 6}, "after the refusal")
	_, err = e.account.Append(e.ctx, inbox, e.sized(6000))
	e.ok(err)
	e.equal(e.quota().Used, 10_000, "full to the last octet")
	d := e.sized(20)
	_, err = e.account.Append(e.ctx, trash, d)
	e.fails(err, store.ErrOverQuota, "Append to another mailbox")
	_, err = e.account.Copy(e.ctx, inbox, trash, set(1))
	e.fails(err, store.ErrOverQuota, "Copy")
	data, err := e.account.Copy(e.ctx, inbox, trash, set(99))
	e.ok(err)
	e.equal(data.SourceUIDs, "", "Copy of nothing")

	e.set("INBOX", everything, imap.StoreFlagsAdd, `\Seen`, "key")
	_, err = e.account.Move(e.ctx, inbox, trash, set(1))
	e.ok(err)
	e.equal(e.quota().Used, 10_000, "after a move")
	e.expunge("Trash", 1)
	e.equal(e.quota(), store.Quota{Limit: 10_000, Used: 6000, Messages: 1, Mailboxes: 6}, "after an expunge")
}

func testQuotaFrees(e *env) {
	fill := func() {
		e.Helper()
		_, err := e.account.Append(e.ctx, e.box("Trash").ID, e.sized(5000), e.sized(5000))
		e.ok(err)
	}
	fill()
	e.expunge("Trash", e.uids("Trash")...)
	fill()
	e.ok(e.account.Delete(e.ctx, "Trash"))
	e.equal(e.quota().Used, 0, "after the mailbox was deleted")
	e.create("Trash")
	fill()
	d := e.sized(100)
	d.Prefix = []byte("Delivered-To: x\r\n")
	_, err := e.account.Append(e.ctx, e.box("INBOX").ID, d)
	e.fails(err, store.ErrOverQuota, "Append")
}

func testQuotaRoute(e *env) {
	target := func() store.Target {
		e.Helper()
		r, err := e.fixture.Store.Route(e.ctx, e.address)
		e.ok(err)
		return r.Targets[0]
	}
	e.equal(target().OverQuota, false, "over quota when empty")
	_, err := e.account.Append(e.ctx, e.box("INBOX").ID, e.sized(999))
	e.ok(err)
	e.equal(target().OverQuota, false, "over quota with an octet left")
	e.expunge("INBOX", 1)
	_, err = e.account.Append(e.ctx, e.box("INBOX").ID, e.sized(1000))
	e.ok(err)
	e.equal(target().OverQuota, true, "over quota when full")
	e.expunge("INBOX", 2)
	e.equal(target().OverQuota, false, "over quota after an expunge")
}

func (e *env) limits(l store.Limits) {
	e.Helper()
	e.ok(e.fixture.Store.SetLimits(e.ctx, e.account.ID(), l))
}

func testQuotaMessages(e *env) {
	e.limits(store.Limits{Messages: 3})
	inbox, trash := e.box("INBOX").ID, e.box("Trash").ID
	_, err := e.account.Append(e.ctx, inbox, e.sized(20), e.sized(20), e.sized(20), e.sized(20))
	e.fails(err, store.ErrOverQuota, "Append of four")
	e.fill("INBOX", 2)
	_, err = e.account.Copy(e.ctx, inbox, trash, everything)
	e.fails(err, store.ErrOverQuota, "Copy of two where one fits")
	_, err = e.account.Copy(e.ctx, inbox, trash, set(1))
	e.ok(err)
	e.equal(e.quota(), store.Quota{Used: e.quota().Used, Messages: 3, MessageLimit: 3, Mailboxes: 6}, "when full")
	_, err = e.account.Append(e.ctx, inbox, e.sized(20))
	e.fails(err, store.ErrOverQuota, "Append when full")
	d := e.sized(20)
	d.Flags = []imap.Flag{"keyword"}
	_, err = e.account.Append(e.ctx, inbox, d)
	e.fails(err, store.ErrOverQuota, "Append with a keyword when full")
	r, err := e.fixture.Store.Route(e.ctx, e.address)
	e.ok(err)
	e.equal(r.Targets[0].OverQuota, true, "over quota by Route")
	_, err = e.account.Move(e.ctx, inbox, trash, set(1))
	e.ok(err)
	bob := e.somebody(0)
	bob.add("INBOX")
	_, err = bob.transferTo(e, "INBOX", true, everything)
	e.fails(err, store.ErrOverQuota, "Transfer from another account")
	e.expunge("Trash", 1)
	_, err = bob.transferTo(e, "INBOX", true, everything)
	e.ok(err)
	e.limits(store.Limits{Octets: 10})
	_, err = e.account.Append(e.ctx, inbox, e.sized(20))
	e.fails(err, store.ErrOverQuota, "Append with a limit below what there is")
	e.limits(store.Limits{})
	e.add("INBOX")
	e.fails(e.fixture.Store.SetLimits(e.ctx, 1<<60, store.Limits{}), store.ErrNotFound, "SetLimits of no account")
}

func testQuotaMailboxes(e *env) {
	e.limits(store.Limits{Mailboxes: 8})
	_, err := e.account.Create(e.ctx, "a/b/c")
	e.fails(err, store.ErrOverQuota, "Create of three")
	e.create("a/b")
	e.equal(e.quota(), store.Quota{Mailboxes: 8, MailboxLimit: 8}, "when full")
	_, err = e.account.Create(e.ctx, "x")
	e.fails(err, store.ErrOverQuota, "Create when full")
	e.fails(e.account.Rename(e.ctx, "a/b", "x/b"), store.ErrOverQuota, "Rename below what is missing")
	e.fails(e.account.Rename(e.ctx, "INBOX", "x"), store.ErrOverQuota, "Rename of INBOX")
	e.ok(e.account.Rename(e.ctx, "a/b", "b"))
	e.ok(e.account.Delete(e.ctx, "b"))
	e.create("x")
	_, err = e.account.Create(e.ctx, "x")
	e.fails(err, store.ErrExists, "Create of what is there when full")
}
