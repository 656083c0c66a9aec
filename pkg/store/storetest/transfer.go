package storetest

import (
	"strings"
	"sync"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

var transferTests = []contract{
	{name: "copy to another account", run: testTransferCopy},
	{name: "all or none", run: testTransferWhole},
	{name: "move to another account", run: testTransferMove},
	{name: "large messages", run: testTransferLarge},
	{name: "flags denied", run: testTransferDenied},
	{name: "flags denied within the account", run: testTransferWithin},
	{name: "quota", run: testTransferQuota},
	{name: "nothing", run: testTransferNothing},
	{name: "in both directions at once", run: testTransferCrossing},
	{name: "counters", run: testTransferCounters},
	{name: "counters at once", run: testTransferCountersAtOnce},
}

// with is the test as seen from another account.
func (e *env) with(address string, a store.Account) *env {
	other := *e
	other.address, other.account = address, a
	return &other
}

// somebody makes a further account.
func (e *env) somebody(quota int64) *env {
	e.Helper()
	return e.with(e.newAccount(quota))
}

// transferTo copies or moves messages of INBOX to a mailbox of another account.
func (e *env) transferTo(to *env, name string, move bool, uids imap.UIDSet, denied ...store.Rights) (imap.CopyData, error) {
	e.Helper()
	t := store.Transfer{
		From: e.box("INBOX").ID, To: store.Place{Account: to.account.ID(), Mailbox: to.box(name).ID},
		UIDs: uids, Move: move, By: tester,
	}
	for _, r := range denied {
		t.Denied |= r
	}
	return e.account.Transfer(e.ctx, t)
}

// testTransferWhole has some of the messages gone.
func testTransferWhole(e *env) {
	bob := e.somebody(0)
	first, second := e.add("INBOX"), e.add("INBOX")
	e.expunge("INBOX", second)
	for _, move := range []bool{false, true} {
		for _, to := range []store.Place{
			{Account: e.account.ID(), Mailbox: e.box("Archive").ID}, {Account: bob.account.ID(), Mailbox: bob.box("Archive").ID},
		} {
			t := store.Transfer{From: e.box("INBOX").ID, To: to, UIDs: set(first, second), Move: move, Whole: true, By: tester}
			_, err := e.account.Transfer(e.ctx, t)
			e.fails(err, store.ErrExpunged, "Transfer of what is not there")
			t.UIDs = set(first)
			if !move {
				_, err = e.account.Transfer(e.ctx, t)
				e.ok(err)
			}
		}
	}
	e.equal([]uint32{e.box("INBOX").Messages, e.box("Archive").Messages, bob.box("Archive").Messages}, []uint32{1, 1, 1}, "messages")
}

func testTransferCopy(e *env) {
	bob := e.somebody(0)
	e.add("INBOX", `\Seen`, "work", "later")
	first := e.add("INBOX", `\Flagged`, "later")
	e.add("INBOX")
	_, err := e.account.Copy(e.ctx, e.box("INBOX").ID, e.box("INBOX").ID, set(first)) // UID 4 shares the octets of 2
	e.ok(err)
	bob.add("Archive", "other", "later")
	mine, his := e.fixture.Store.Watch(e.account.ID()), e.fixture.Store.Watch(bob.account.ID())
	defer mine.Close()
	defer his.Close()

	data, err := e.transferTo(bob, "Archive", false, set(4, 2, 1, 99))
	e.ok(err)
	e.equal(data.SourceUIDs, "1:2,4", "source")
	e.equal(data.DestUIDs, "2:4", "destination")
	e.equal(data.UIDValidity, bob.box("Archive").UIDValidity, "UIDVALIDITY")
	e.equal(awake(his), true, "the other account's watch woken")
	e.equal(his.Take(), []store.MailboxID{bob.box("Archive").ID}, "of what")
	e.equal(awake(mine), false, "this account's watch woken")

	theirs, ours := bob.open("Archive"), e.open("INBOX")
	for i, uid := range []imap.UID{1, 2, 4} {
		was, octets := e.read(ours, uid)
		is, copied := bob.read(theirs, imap.UID(i+2))
		e.equal(copied, octets, "octets of UID %d", uid)
		e.equal([]any{is.Size, is.Received, names(is.Flags, theirs)}, []any{was.Size, was.Received, names(was.Flags, ours)},
			"size, date and flags of UID %d", uid)
		e.equal(is.ModSeq, theirs.ModSeq(), "mod-sequence of UID %d", uid)
	}
	two, _ := bob.read(theirs, 3)
	three, _ := bob.read(theirs, 4)
	e.equal(two.ID, three.ID, "copies share an id")
	if was, _ := e.read(ours, 2); was.ID == two.ID {
		e.Error("messages of two accounts have one id")
	}
	e.expunge("INBOX", 1, 2, 3, 4)
	e.fixture.Sweep()
	if _, octets := bob.read(bob.open("Archive"), 4); !strings.Contains(octets, "letter") {
		e.Errorf("after the source has gone: %q", octets)
	}
	bob.expunge("Archive", 3)
	bob.fixture.Sweep()
	if _, octets := bob.read(bob.open("Archive"), 4); !strings.Contains(octets, "letter") {
		e.Errorf("after a copy has gone: %q", octets)
	}
	bob.checkCounts()
}

func testTransferMove(e *env) {
	bob := e.somebody(0)
	e.fill("INBOX", 5)
	e.set("INBOX", set(2), imap.StoreFlagsAdd, `\Deleted`, "x")
	before := e.open("INBOX")
	mine, his := e.fixture.Store.Watch(e.account.ID()), e.fixture.Store.Watch(bob.account.ID())
	defer mine.Close()
	defer his.Close()
	data, err := e.transferTo(bob, "INBOX", true, set(2, 3, 5, 99))
	e.ok(err)
	e.equal(data.SourceUIDs, "2:3,5", "source")
	e.equal(data.DestUIDs, "1:3", "destination")
	e.equal(awake(mine) && awake(his), true, "both watches woken")
	e.equal(e.uids("INBOX"), "[1 4]", "left")
	e.equal(bob.uids("INBOX"), "[1 2 3]", "moved")
	e.equal(bob.flags("INBOX", 1), `[\Deleted x]`, "flags")
	_, ch := e.refresh(before)
	e.equal(uidsIn(ch.Removed), "[2 3 5]", "removed")
	bob.checkCounts()
}

func testTransferLarge(e *env) {
	bob := e.somebody(0)
	bodies := []string{
		"Subject: large\r\n\r\n" + strings.Repeat("0123456789abcdef\r\n", 60_000),
		"X-Large: " + strings.Repeat("y", 300_000) + "\r\nSubject: large header\r\n\r\n" + strings.Repeat("z", 300_000),
		"Subject: small\r\n\r\nx",
		"",
	}
	for _, octets := range bodies {
		_, err := e.account.Append(e.ctx, e.box("INBOX").ID, e.draft(octets))
		e.ok(err)
	}
	_, err := e.transferTo(bob, "Sent", false, everything)
	e.ok(err)
	s := bob.open("Sent")
	for i, octets := range bodies {
		m, copied := bob.read(s, imap.UID(i+1))
		if copied != octets || m.Part == nil {
			e.Errorf("message %d: %d octets, want %d", i, len(copied), len(octets))
		}
	}
	bob.checkCounts()
}

func testTransferDenied(e *env) {
	bob := e.somebody(0)
	for range 3 {
		e.add("INBOX", `\Seen`, `\Deleted`, `\Answered`, "work")
	}
	for i, step := range []struct {
		denied store.Rights
		want   string
	}{
		{store.RightWrite, `[\Deleted \Seen]`},
		{store.RightSeen, `[\Answered \Deleted work]`},
		{store.AllRights, `[]`},
	} {
		_, err := e.transferTo(bob, "INBOX", i == 1, set(imap.UID(i+1)), step.denied)
		e.ok(err)
		e.equal(bob.flags("INBOX", imap.UID(i+1)), step.want, "flags without %v", step.denied)
	}
	b := bob.box("INBOX")
	e.equal([]uint32{b.Messages, b.Unseen, b.Deleted}, []uint32{3, 2, 2}, "messages, unseen, deleted")
	e.equal(bob.open("INBOX").Keywords(), "[work]", "keywords")
	bob.checkCounts()
}

func testTransferWithin(e *env) {
	for range 4 {
		e.add("INBOX", `\Seen`, `\Deleted`, `\Answered`, "work")
	}
	_, err := e.transferTo(e, "Sent", false, set(1), store.RightSeen, store.RightWrite)
	e.ok(err)
	e.equal(e.flags("Sent", 1), `[\Deleted]`, "flags of a copy")
	_, err = e.transferTo(e, "Sent", true, set(2), store.RightDeleteMsgs)
	e.ok(err)
	e.equal(e.flags("Sent", 2), `[\Answered \Seen work]`, "flags of what was moved")
	_, err = e.transferTo(e, "INBOX", true, set(3), store.RightSeen|store.RightDeleteMsgs)
	e.ok(err)
	e.equal(e.flags("INBOX", 5), `[\Answered work]`, "flags of what was moved within a mailbox")
	e.equal(e.uids("INBOX"), "[1 4 5]", "messages of INBOX")
}

func testTransferQuota(e *env) {
	bob := e.somebody(10_000)
	_, err := e.account.Append(e.ctx, e.box("INBOX").ID, e.sized(6000), e.sized(6000))
	e.ok(err)
	_, err = e.transferTo(bob, "INBOX", true, everything)
	e.fails(err, store.ErrOverQuota, "two that do not fit together")
	e.equal(e.quota().Used, 12_000, "used by the source")
	e.equal(bob.quota(), store.Quota{Limit: 10_000, Mailboxes: 6}, "used by the destination")
	_, err = e.transferTo(bob, "INBOX", true, set(2))
	e.ok(err)
	e.equal([]any{e.quota().Used, bob.quota().Used}, []int64{6000, 6000}, "used by both")
	_, err = e.transferTo(bob, "INBOX", false, set(1))
	e.fails(err, store.ErrOverQuota, "a copy of another")
	bob.checkCounts()
}

func testTransferNothing(e *env) {
	bob := e.somebody(0)
	e.add("INBOX")
	for _, uids := range []imap.UIDSet{nil, set(7)} {
		data, err := e.transferTo(bob, "INBOX", true, uids)
		e.ok(err)
		e.equal([]any{data.SourceUIDs, data.UIDValidity}, []any{"", bob.box("INBOX").UIDValidity}, "nothing to move")
	}
	e.equal([]any{e.box("INBOX").ModSeq, bob.box("INBOX").ModSeq}, []any{2, 1}, "mod-sequences")
	for _, t := range []store.Transfer{
		{From: nowhere, To: store.Place{Account: bob.account.ID(), Mailbox: bob.box("INBOX").ID}},
		{From: e.box("INBOX").ID, To: store.Place{Account: bob.account.ID(), Mailbox: nowhere}},
		{From: e.box("INBOX").ID, To: store.Place{Account: bob.account.ID(), Mailbox: e.box("INBOX").ID}},
		{From: e.box("INBOX").ID, To: store.Place{Account: 1 << 60, Mailbox: bob.box("INBOX").ID}},
	} {
		t.UIDs = set(1)
		_, err := e.account.Transfer(e.ctx, t)
		e.fails(err, store.ErrNotFound, "from %v to %v", t.From, t.To)
	}
	e.equal(e.uids("INBOX"), "[1]", "the message")
}

// testTransferCrossing moves messages to and fro between two accounts: none is lost or doubled.
func testTransferCrossing(e *env) {
	const n, rounds = 6, 10
	bob := e.somebody(0)
	e.fill("INBOX", n)
	bob.sent = n // other letters
	bob.fill("INBOX", n)
	var wg sync.WaitGroup
	for _, way := range [][2]*env{{e, bob}, {bob, e}} {
		for range 2 {
			wg.Go(func() {
				for range rounds {
					if _, err := way[0].transferTo(way[1], "INBOX", true, everything); err != nil {
						e.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	subjects := make(map[string]bool)
	for _, side := range []*env{e, bob} {
		s := side.open("INBOX")
		for _, uid := range uidsOf(s) {
			_, octets := side.read(s, uid)
			subjects[octets] = true
		}
	}
	e.equal(len(e.uids("INBOX"))+len(bob.uids("INBOX")), 2*n, "messages")
	e.equal(len(subjects), 2*n, "different ones")
	bob.checkCounts()
}
