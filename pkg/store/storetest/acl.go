package storetest

import (
	"fmt"
	"strings"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

var aclTests = []contract{
	{name: "list of rights", run: testACLList},
	{name: "who has which rights", run: testACLRights},
	{name: "what is not to be known", run: testACLHidden},
	{name: "shared mailboxes", run: testACLShared},
	{name: "shared branches", run: testACLBranches},
	{name: "inheritance", run: testACLInherited},
	{name: "a mailbox goes", run: testACLDelete},
	{name: "full", run: testACLFull},
	{name: "watch", run: testACLWatch},
	{name: "flags denied", run: testACLFlags},
}

// aclChange is what SETACL with an identifier and rights such as "+lr" asks for.
func (e *env) aclChange(identifier, rights string) store.ACLChange {
	e.Helper()
	entry, err := store.ParseIdentifier(identifier)
	e.ok(err)
	ch := store.ACLChange{ACLEntry: entry}
	if rights != "" && strings.Contains("+-", rights[:1]) {
		ch.Op, rights = imap.RightModification(rights[0]), rights[1:]
	}
	ch.Rights, err = store.ParseRights(rights)
	e.ok(err)
	return ch
}

// grant changes a mailbox's list of rights.
func (e *env) grant(name, identifier, rights string) {
	e.Helper()
	e.ok(e.account.SetACL(e.ctx, e.box(name).ID, e.aclChange(identifier, rights)))
}

func (e *env) acl(name string) string {
	e.Helper()
	list, err := e.account.ACL(e.ctx, e.box(name).ID)
	e.ok(err)
	var words []string
	for _, entry := range list {
		words = append(words, fmt.Sprint(entry, " ", entry.Rights))
	}
	return strings.Join(words, ", ")
}

// shared is what another account finds under a name.
func (e *env) shared(with store.Account, names ...string) string {
	e.Helper()
	s, err := with.Shared(e.ctx, e.address, names...)
	if err != nil {
		e.fails(err, store.ErrNotFound, "Shared(%q)", names)
		return ""
	}
	e.equal([]any{s.Owner, s.Address}, []any{e.account.ID(), e.address}, "whose it is")
	e.equal(s.Mailbox, e.box(s.Name), "the mailbox as others see it")
	rights, err := with.SharedRights(e.ctx, store.Place{Account: s.Owner, Mailbox: s.ID})
	e.ok(err)
	e.equal(rights, s.Rights, "rights by SharedRights and Shared")
	return s.Name + " " + s.Rights.String()
}

func testACLList(e *env) {
	e.equal(e.acl("INBOX"), "", "of a new mailbox")
	for _, step := range []struct{ identifier, rights, want string }{
		{"Bob@Example.ORG", "rl", "bob@example.org lr"},
		{"anyone", "p", "anyone p, bob@example.org lr"},
		{"-anyone", "w", "-anyone w, anyone p, bob@example.org lr"},
		{"bob@example.org", "+si", "-anyone w, anyone p, bob@example.org lrsi"},
		{"bob@example.org", "-lx", "-anyone w, anyone p, bob@example.org rsi"},
		{"bob@example.org", "a", "-anyone w, anyone p, bob@example.org a"},
		{"@example.net", "l", "@example.net l, -anyone w, anyone p, bob@example.org a"},
		{"ANYONE", "-p", "@example.net l, -anyone w, bob@example.org a"},
		{"nobody@example.org", "-p", "@example.net l, -anyone w, bob@example.org a"},
		{"nobody@example.org", "+", "@example.net l, -anyone w, bob@example.org a"},
		{"bob@example.org", "", "@example.net l, -anyone w"},
	} {
		e.grant("INBOX", step.identifier, step.rights)
		e.equal(e.acl("INBOX"), step.want, "after %s %s", step.identifier, step.rights)
	}
	e.equal(e.acl("Sent"), "", "of another mailbox")
	_, err := e.account.ACL(e.ctx, nowhere)
	e.fails(err, store.ErrNotFound, "ACL of no mailbox")
	e.fails(e.account.SetACL(e.ctx, nowhere, e.aclChange("anyone", "l")), store.ErrNotFound, "SetACL of no mailbox")
}

func testACLRights(e *env) {
	address, bob := e.newAccount(0)
	domain := address[strings.LastIndexByte(address, '@'):]
	e.equal(bob.Address(), address, "Address")
	for _, step := range []struct{ identifier, rights, want string }{
		{address, "lr", "INBOX lr"},
		{"anyone", "lp", "INBOX lrp"},
		{"-" + address, "l", "INBOX rp"},
		{"-anyone", "rp", ""},
		{domain, "ws", "INBOX sw"},
		{"-" + domain, "w", "INBOX s"},
		{"@example.net", "lrswipkxtea", "INBOX s"},
		{e.address, "lrswipkxtea", "INBOX s"},
	} {
		e.grant("INBOX", step.identifier, step.rights)
		e.equal(e.shared(bob, "inbox"), step.want, "after %s %s", step.identifier, step.rights)
	}
}

func testACLHidden(e *env) {
	_, bob := e.newAccount(0)
	e.create("a")
	e.create("a/b")
	e.grant("a", "anyone", "lk")
	for _, test := range []struct {
		want  string
		names []string
	}{
		{"a lk", []string{"a"}},
		{"a lk", []string{"/a/"}},
		{"a lk", []string{"a/x/y", "a/x", "a"}},
		{"", []string{"a/x/y", "INBOX", "a"}}, // INBOX is there, and not to be known
		{"", []string{"INBOX"}},
		{"", []string{"nowhere"}},
		{"", []string{"a//b", ""}},
		{"", nil},
	} {
		e.equal(e.shared(bob, test.names...), test.want, "Shared(%q)", test.names)
	}
	// It was made before anything was granted above it.
	e.equal(e.shared(bob, "a/b", "a"), "", "a mailbox without rights below one that has some")
	for _, owner := range []string{bob.Address(), "nobody@example.org", "", "x"} {
		_, err := bob.Shared(e.ctx, owner, "INBOX")
		e.fails(err, store.ErrNotFound, "Shared of %q", owner)
	}
	_, err := bob.SharedRights(e.ctx, store.Place{Account: e.account.ID(), Mailbox: nowhere})
	e.fails(err, store.ErrNotFound, "rights to no mailbox")
	_, err = bob.SharedRights(e.ctx, store.Place{Account: 1 << 60, Mailbox: e.box("INBOX").ID})
	e.fails(err, store.ErrNotFound, "rights to a mailbox of no account")
}

// others lists what of this test's account another account is shown.
func (e *env) others(a store.Account) string {
	e.Helper()
	list, err := a.SharedMailboxes(e.ctx, "")
	e.ok(err)
	return e.ours(list)
}

func (e *env) ours(list []store.Shared) string {
	e.Helper()
	var words []string
	for _, s := range list {
		if s.Owner == e.account.ID() {
			e.equal(s.Mailbox, e.box(s.Name), "the mailbox as others see it")
			words = append(words, s.Name+" "+s.Rights.String())
		}
	}
	return strings.Join(words, ", ")
}

func testACLShared(e *env) {
	address, bob := e.newAccount(0)
	_, carol := e.newAccount(0)
	e.equal(e.others(bob), "", "at first")
	e.add("INBOX")
	e.create("受信箱")
	e.grant("INBOX", address, "lr")
	e.grant("Sent", address, "rw")
	e.grant("受信箱", address, "l")
	e.grant("Archive", "anyone", "lrs")
	e.grant("Archive", "-"+address, "s")
	e.grant("Trash", "anyone", "lr")
	e.grant("Trash", "-"+address, "l")
	e.equal(e.others(bob), "Archive lr, INBOX lr, 受信箱 l", "of bob")
	e.equal(e.others(carol), "Archive lrs, Trash lr", "of carol")
	e.equal(e.others(e.account), "", "of the owner")
	e.ok(e.account.Rename(e.ctx, "Archive", "Old/Archive"))
	e.equal(e.others(bob), "INBOX lr, Old/Archive lr, 受信箱 l", "after a rename")
}

func testACLBranches(e *env) {
	address, bob := e.newAccount(0)
	for _, name := range []string{"a/b/c", "a0"} {
		e.create(name)
		e.grant(name, address, "l")
	}
	e.grant("INBOX", address, "lr")
	for _, test := range []struct {
		owner string
		in    []store.Branch
		want  string
	}{
		{e.address, nil, "INBOX lr, a/b/c l, a0 l"},
		{"", []store.Branch{{Depth: store.OneBelow}}, "INBOX lr, a0 l"},
		{e.address, []store.Branch{{Top: "a", Depth: store.OneBelow}}, ""},
		{e.address, []store.Branch{{Top: "a/b", Depth: store.OneBelow}}, "a/b/c l"},
		{e.address, []store.Branch{{Top: "a", Depth: store.AllBelow}, {Top: "INBOX"}}, "INBOX lr, a/b/c l"},
		{e.address, []store.Branch{{Depth: store.AllBelow}}, "INBOX lr, a/b/c l, a0 l"},
		{address, nil, ""},
		{"nobody@example.org", nil, ""},
	} {
		list, err := bob.SharedMailboxes(e.ctx, test.owner, test.in...)
		e.ok(err)
		e.equal(e.ours(list), test.want, "of %q in %+v", test.owner, test.in)
	}
}

func testACLInherited(e *env) {
	e.create("a")
	e.grant("a", "bob@example.org", "lk")
	e.grant("a", "-anyone", "x")
	e.create("a/b/c")
	for _, name := range []string{"a/b", "a/b/c"} {
		e.equal(e.acl(name), "-anyone x, bob@example.org lk", "of %s", name)
	}
	e.grant("a/b", "bob@example.org", "")
	e.create("a/b/d")
	e.equal(e.acl("a/b/d"), "-anyone x", "below what was changed")
	e.equal(e.acl("a"), "-anyone x, bob@example.org lk", "above")
	e.ok(e.account.Rename(e.ctx, "a/b/d", "a/new/d"))
	e.equal(e.acl("a/new/d"), "-anyone x", "of what was renamed")
	e.equal(e.acl("a/new"), "-anyone x, bob@example.org lk", "of what was made for it")
	e.create("ab")
	e.equal(e.acl("ab"), "", "of one beside it")
}

func testACLDelete(e *env) {
	address, bob := e.newAccount(0)
	e.create("a")
	e.grant("a", address, "lr")
	e.ok(e.account.Delete(e.ctx, "a"))
	e.equal(e.shared(bob, "a"), "", "when deleted")
	e.create("a")
	e.equal(e.shared(bob, "a"), "", "when made again")
	e.equal(e.acl("a"), "", "when made again")
}

func testACLFull(e *env) {
	for i := range store.MaxACL {
		e.grant("INBOX", fmt.Sprintf("user%d@example.net", i), "l")
	}
	inbox := e.box("INBOX").ID
	e.fails(e.account.SetACL(e.ctx, inbox, e.aclChange("more@example.net", "l")), store.ErrACLFull, "one more")
	e.grant("INBOX", "more@example.net", "-l")
	e.grant("INBOX", "user7@example.net", "+r")
	e.grant("INBOX", "user7@example.net", "")
	e.grant("INBOX", "more@example.net", "l")
}

func testACLWatch(e *env) {
	w := e.fixture.Store.Watch(e.account.ID())
	defer w.Close()
	e.grant("INBOX", "anyone", "l")
	e.equal(awake(w), true, "woken by SetACL")
	e.equal(w.Take(), []store.MailboxID{0}, "of what")
}

func testACLFlags(e *env) {
	uid := e.add("INBOX", `\Seen`, `\Flagged`, "work")
	all := store.RightSeen | store.RightWrite | store.RightDeleteMsgs
	for _, step := range []struct {
		op     imap.StoreFlagsOp
		flags  []imap.Flag
		denied store.Rights
		want   string
	}{
		{imap.StoreFlagsSet, nil, all, `[\Flagged \Seen work]`},
		{imap.StoreFlagsSet, []imap.Flag{`\Deleted`, "new"}, store.RightWrite, `[\Deleted \Flagged work]`},
		{imap.StoreFlagsSet, []imap.Flag{`\Seen`, `\Draft`, "new"}, store.RightSeen, `[\Draft new]`},
		{imap.StoreFlagsSet, []imap.Flag{`\Seen`, `\Deleted`}, store.RightDeleteMsgs | store.RightWrite, `[\Draft \Seen new]`},
		{imap.StoreFlagsAdd, []imap.Flag{`\Deleted`, `\Flagged`, "x"}, store.RightWrite, `[\Deleted \Draft \Seen new]`},
		{imap.StoreFlagsDel, []imap.Flag{`\Deleted`, `\Seen`, "new"}, store.RightDeleteMsgs, `[\Deleted \Draft]`},
	} {
		before := e.open("INBOX")
		r, err := e.account.SetFlags(e.ctx, e.box("INBOX").ID, set(uid), store.FlagChange{Op: step.op, Flags: step.flags, Denied: step.denied})
		e.ok(err)
		e.equal(e.flags("INBOX", uid), step.want, "%v %v without %v", step.op, step.flags, step.denied)
		after, ch := e.refresh(before)
		e.equal(names(after.Flags(0), after), step.want, "refreshed after %v %v without %v", step.op, step.flags, step.denied)
		for _, entry := range ch.Flagged {
			e.equal(names(entry.Flags, after), step.want, "announced after %v %v without %v", step.op, step.flags, step.denied)
		}
		e.equal(len(r.Changed), len(ch.Flagged), "changed")
	}
	e.equal(e.open("INBOX").Keywords(), "[work new]", "keywords")
}
