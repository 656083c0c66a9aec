package storetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

var mailboxTests = []contract{
	{name: "a new account", run: testMailboxDefaults},
	{name: "create", run: testMailboxCreate},
	{name: "create refused", run: testMailboxCreateRefused},
	{name: "special use", run: testMailboxUse},
	{name: "bounds", run: testMailboxBounds},
	{name: "branches", run: testMailboxBranches},
	{name: "delete", run: testMailboxDelete},
	{name: "UIDVALIDITY grows", run: testMailboxValidity},
	{name: "names", run: testMailboxNames},
	{name: "subscribe", run: testMailboxSubscribe},
	{name: "accounts apart", run: testMailboxAccounts},
}

func (e *env) names() []string {
	e.Helper()
	list, err := e.account.Mailboxes(e.ctx)
	e.ok(err)
	var names []string
	for _, b := range list {
		names = append(names, b.Name)
	}
	return names
}

func testMailboxDefaults(e *env) {
	list, err := e.account.Mailboxes(e.ctx)
	e.ok(err)
	e.equal(e.names(), "[Archive Drafts INBOX Junk Sent Trash]", "mailboxes")
	for _, b := range list {
		i := slices.IndexFunc(store.DefaultMailboxes, func(d store.DefaultMailbox) bool { return d.Name == b.Name })
		e.equal(b.Use, store.DefaultMailboxes[i].Use, "special use of %s", b.Name)
		if !b.Subscribed || b.Messages != 0 || b.UIDNext != 1 || b.ModSeq < 1 || b.UIDValidity < 1 || b.ID == 0 {
			e.Errorf("%+v", b)
		}
	}
	subscribed, err := e.account.Subscriptions(e.ctx)
	e.ok(err)
	e.equal(subscribed, e.names(), "subscriptions")
	_, err = e.fixture.Store.Account(e.ctx, 1<<60)
	e.fails(err, store.ErrNotFound, "no such account")
}

func testMailboxCreate(e *env) {
	b := e.create("a/b/c")
	if b.Name != "a/b/c" || b.Subscribed || b.UIDNext != 1 || b.ModSeq < 1 || b.Use != nil {
		e.Errorf("%+v", b)
	}
	e.equal(e.names(), "[Archive Drafts INBOX Junk Sent Trash a a/b a/b/c]", "mailboxes, in name order")
	e.equal(e.box("a/b/c"), b, "read again")
	e.add("a") // a parent made on the way is a mailbox like any other
	e.create("/a/d/")
	e.create("inbox/below")
	e.equal(e.box("Inbox/below").Name, "INBOX/below", "below INBOX")
	e.equal(e.box("a/d").Name, "a/d", "without delimiters at the ends")
}

func testMailboxCreateRefused(e *env) {
	e.create("a")
	for _, name := range []string{"a", "/a", "a/", "INBOX", "inbox", "Sent"} {
		_, err := e.account.Create(e.ctx, name)
		e.fails(err, store.ErrExists, "Create(%q)", name)
	}
	for _, name := range []string{"", "/", "a//b", "x*", "%", "a\x00", "a\r\nb", "\xff", strings.Repeat("x", 256)} {
		_, err := e.account.Create(e.ctx, name)
		e.fails(err, store.ErrName, "Create(%q)", name)
	}
	for _, name := range []string{"nothing", "A", "a/b", "*"} {
		_, err := e.account.Mailbox(e.ctx, name)
		e.fails(err, store.ErrNotFound, "Mailbox(%q)", name)
		_, _, err = e.account.Open(e.ctx, name)
		e.fails(err, store.ErrNotFound, "Open(%q)", name)
	}
}

func testMailboxUse(e *env) {
	for _, use := range []imap.MailboxAttr{`\Sent`, `\sent`, `\Nonsense`, `\All`} {
		_, err := e.account.Create(e.ctx, "mine", use)
		e.fails(err, store.ErrUse, "Create with %s", use)
	}
	e.ok(e.account.Delete(e.ctx, "Sent"))
	e.ok(e.account.Delete(e.ctx, "Junk"))
	b, err := e.account.Create(e.ctx, "mine", `\junk`, `\Sent`)
	e.ok(err)
	want := []imap.MailboxAttr{imap.MailboxAttrJunk, imap.MailboxAttrSent}
	e.equal(b.Use, want, "special uses")
	e.ok(e.account.Rename(e.ctx, "mine", "renamed"))
	e.equal(e.box("renamed").Use, want, "special uses after renaming")
	_, err = e.account.Create(e.ctx, "other", `\Junk`)
	e.fails(err, store.ErrUse, "Create with a use taken since")
}

func testMailboxBounds(e *env) {
	deep := strings.Repeat("d/", 99) + "d"
	_, err := e.account.Create(e.ctx, deep+"/d")
	e.fails(err, store.ErrName, "Create of 101 levels")
	e.create(deep)
	e.fails(e.account.Rename(e.ctx, "d", "x/d"), store.ErrName, "Rename to 101 levels")
	e.ok(e.account.Rename(e.ctx, "d/d", "e"))
	second := strings.Repeat("f/", 98) + "f"
	e.create(second)
	free := MaxMailboxes - len(e.names())
	_, err = e.account.Create(e.ctx, strings.Repeat("g/", free)+"g")
	e.fails(err, store.ErrTooManyMailboxes, "Create of one too many")
	e.create(strings.Repeat("g/", free-2) + "g")
	e.fails(e.account.Rename(e.ctx, "Sent", "h/h/Sent"), store.ErrTooManyMailboxes, "Rename that makes too many parents")
	e.ok(e.account.Rename(e.ctx, "Sent", "h/Sent"))
	e.fails(e.account.Rename(e.ctx, "INBOX", "old"), store.ErrTooManyMailboxes, "Rename of INBOX, which makes one")
	e.equal(len(e.names()), MaxMailboxes, "mailboxes")
	e.ok(e.account.Delete(e.ctx, "Junk"))
	e.ok(e.account.Rename(e.ctx, "INBOX", "old"))
}

// in lists mailboxes in branches, with "+" behind those that others are below.
func (e *env) in(branches ...store.Branch) string {
	e.Helper()
	list, err := e.account.Mailboxes(e.ctx, branches...)
	e.ok(err)
	var names []string
	for _, b := range list {
		name := b.Name
		if b.HasChildren {
			name += "+"
			b.HasChildren = false
		}
		e.equal(b, e.box(b.Name), "the mailbox by itself")
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

func testMailboxBranches(e *env) {
	for _, name := range []string{"a/b/c", "a/b/d", "a b", "a0", "a/b0", "a/b c", "a/ä/ü", "INBOX/x"} {
		e.create(name)
	}
	e.fill("a/b/c", 2)
	e.add("INBOX")
	for _, test := range []struct {
		in   []store.Branch
		want string
	}{
		{nil, "Archive, Drafts, INBOX+, INBOX/x, Junk, Sent, Trash, a+, a b, a/b+, a/b c, a/b/c, a/b/d, a/b0, a/ä+, a/ä/ü, a0"},
		{[]store.Branch{{Depth: store.OneBelow}}, "Archive, Drafts, INBOX+, Junk, Sent, Trash, a+, a b, a0"},
		{[]store.Branch{{}}, ""},
		{[]store.Branch{{Top: "a/b"}}, "a/b+"},
		{[]store.Branch{{Top: "a/b", Depth: store.OneBelow}}, "a/b+, a/b/c, a/b/d"},
		{[]store.Branch{{Top: "a", Depth: store.OneBelow}}, "a+, a/b+, a/b c, a/b0, a/ä+"},
		{[]store.Branch{{Top: "a", Depth: store.AllBelow}}, "a+, a/b+, a/b c, a/b/c, a/b/d, a/b0, a/ä+, a/ä/ü"},
		{[]store.Branch{{Top: "a/ä", Depth: store.AllBelow}}, "a/ä+, a/ä/ü"},
		{[]store.Branch{{Top: "a0", Depth: store.AllBelow}, {Top: "INBOX"}, {Top: "nowhere", Depth: store.AllBelow}}, "INBOX+, a0"},
		{[]store.Branch{{Top: "a/b", Depth: store.AllBelow}, {Top: "a/b/c"}, {Top: "a", Depth: store.OneBelow}}, "a+, a/b+, a/b c, a/b/c, a/b/d, a/b0, a/ä+"},
		{[]store.Branch{{Top: "a/b/c", Depth: store.OneBelow}, {Depth: store.OneBelow}}, "Archive, Drafts, INBOX+, Junk, Sent, Trash, a+, a b, a/b/c, a0"},
	} {
		e.equal(e.in(test.in...), test.want, "%+v", test.in)
	}
	e.equal(e.in(append([]store.Branch{{Top: "a"}}, store.Branch{Depth: store.AllBelow})...), e.in(), "all")
	e.ok(e.account.Delete(e.ctx, "a/b/c"))
	e.ok(e.account.Rename(e.ctx, "a/b/d", "d"))
	e.equal(e.in(store.Branch{Top: "a/b"}, store.Branch{Top: "d"}), "a/b, d", "when nothing is below any more")
}

func testMailboxDelete(e *env) {
	e.create("a/b")
	e.fill("a/b", 3)
	e.fails(e.account.Delete(e.ctx, "a"), store.ErrHasChildren, "Delete with children")
	e.fails(e.account.Delete(e.ctx, "inbox"), store.ErrName, "Delete INBOX")
	e.fails(e.account.Delete(e.ctx, "x"), store.ErrNotFound, "Delete of nothing")
	e.ok(e.account.Subscribe(e.ctx, "a/b", true))
	box := e.box("a/b").ID
	e.ok(e.account.Delete(e.ctx, "/a/b"))
	e.ok(e.account.Delete(e.ctx, "a"))
	e.equal(e.names(), "[Archive Drafts INBOX Junk Sent Trash]", "mailboxes")
	_, err := e.account.Append(e.ctx, box, e.draft(e.letter()))
	e.fails(err, store.ErrNotFound, "Append to a deleted mailbox")
	subscribed, err := e.account.Subscriptions(e.ctx)
	e.ok(err)
	if !slices.Contains(subscribed, "a/b") {
		e.Error("the subscription went with the mailbox")
	}
	e.equal(e.create("a/b").Subscribed, true, "subscribed after making it again")
}

func testMailboxValidity(e *env) {
	var last uint32
	ids := make(map[store.MailboxID]bool)
	for range 5 {
		b := e.create("again")
		if b.UIDValidity <= last || ids[b.ID] {
			e.Errorf("UIDVALIDITY %d after %d, id %d", b.UIDValidity, last, b.ID)
		}
		last, ids[b.ID] = b.UIDValidity, true
		e.fill("again", 2)
		e.ok(e.account.Delete(e.ctx, "again"))
	}
	e.create("a")
	e.ok(e.account.Rename(e.ctx, "a", "b"))
	if a, b := e.create("a"), e.box("b"); a.UIDValidity <= b.UIDValidity {
		e.Errorf("UIDVALIDITY %d for a name whose mailbox had %d", a.UIDValidity, b.UIDValidity)
	}
}

func testMailboxNames(e *env) {
	for _, name := range []string{"受信箱/下書き", "a & b", `"quoted\"`, "😀", "re\u0301sume\u0301", "inboxes", "&-", "~x", "#news", strings.Repeat("x", 255)} {
		b := e.create(name)
		if b.Name != e.box(name).Name {
			e.Errorf("%q became %q", name, b.Name)
		}
		e.add(name)
	}
	e.equal(e.box("résumé").Name, "résumé", "the composed form of a name")
}

func testMailboxSubscribe(e *env) {
	e.ok(e.account.Subscribe(e.ctx, "Trash", false))
	e.ok(e.account.Subscribe(e.ctx, "Trash", false))
	e.ok(e.account.Subscribe(e.ctx, "does/not/exist", true))
	e.ok(e.account.Subscribe(e.ctx, "does/not/exist/", true))
	e.ok(e.account.Subscribe(e.ctx, "inbox", false))
	list, err := e.account.Subscriptions(e.ctx)
	e.ok(err)
	e.equal(list, "[Archive Drafts Junk Sent does/not/exist]", "subscriptions")
	e.equal([]bool{e.box("INBOX").Subscribed, e.box("Trash").Subscribed, e.box("Sent").Subscribed}, []bool{false, false, true},
		"INBOX, Trash, Sent subscribed")
	e.fails(e.account.Subscribe(e.ctx, "a\x00b", true), store.ErrName, "Subscribe to no name")

	for i := len(list); i < store.SubscriptionsPerMailbox*MaxMailboxes; i++ {
		e.ok(e.account.Subscribe(e.ctx, fmt.Sprint("name", i), true))
	}
	e.fails(e.account.Subscribe(e.ctx, "INBOX", true), store.ErrTooManySubscribed, "Subscribe to one too many")
	e.ok(e.account.Subscribe(e.ctx, "Sent", true)) // again
	e.ok(e.account.Subscribe(e.ctx, "Sent", false))
	e.ok(e.account.Subscribe(e.ctx, "INBOX", true))
}

func testMailboxAccounts(e *env) {
	_, neighbour := e.newAccount(0)
	e.create("mine")
	_, err := neighbour.Mailbox(e.ctx, "mine")
	e.fails(err, store.ErrNotFound, "another account's mailbox")
	mine := e.box("mine").ID
	_, err = neighbour.Append(e.ctx, mine, e.draft(e.letter()))
	e.fails(err, store.ErrNotFound, "Append to another account's mailbox")
	_, err = neighbour.Expunge(e.ctx, mine, everything, tester)
	e.fails(err, store.ErrNotFound, "Expunge another account's mailbox")
	_, err = neighbour.ClaimRecent(e.ctx, mine, 1)
	e.fails(err, store.ErrNotFound, "ClaimRecent in another account's mailbox")
}
