package storetest

import (
	"fmt"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

var flagsTests = []contract{
	{name: "add, remove, replace", run: testFlagsOps},
	{name: "no change, no mod-sequence", run: testFlagsNoChange},
	{name: "unchanged since", run: testFlagsUnchangedSince},
	{name: "keywords", run: testFlagsKeywords},
	{name: "too many keywords", run: testFlagsTooMany},
	{name: "sets", run: testFlagsSets},
	{name: "refusals", run: testFlagsRefusals},
}

func testFlagsOps(e *env) {
	e.fill("INBOX", 3)
	for i, step := range []struct {
		uids    imap.UIDSet
		op      imap.StoreFlagsOp
		flags   []imap.Flag
		changed []imap.UID
		after   string // of message 2
	}{
		{set(1, 2), imap.StoreFlagsAdd, []imap.Flag{`\Seen`, "a"}, []imap.UID{1, 2}, `[\Seen a]`},
		{set(2, 3), imap.StoreFlagsAdd, []imap.Flag{`\Deleted`}, []imap.UID{2, 3}, `[\Deleted \Seen a]`},
		{everything, imap.StoreFlagsAdd, []imap.Flag{`\Seen`}, []imap.UID{3}, `[\Deleted \Seen a]`},
		{everything, imap.StoreFlagsDel, []imap.Flag{"A", `\Flagged`}, []imap.UID{1, 2}, `[\Deleted \Seen]`},
		{set(2), imap.StoreFlagsSet, []imap.Flag{`\Flagged`, `\Answered`, `\Draft`, "b"}, []imap.UID{2}, `[\Answered \Draft \Flagged b]`},
		{everything, imap.StoreFlagsSet, nil, []imap.UID{1, 2, 3}, `[]`},
	} {
		at := e.box("INBOX").ModSeq
		r := e.set("INBOX", step.uids, step.op, step.flags...)
		e.equal(uidsIn(r.Changed), step.changed, "step %d: changed", i)
		e.equal(len(r.Modified), 0, "step %d: modified", i)
		s := e.open("INBOX")
		e.equal(s.ModSeq(), at+1, "step %d: mod-sequence", i)
		for _, entry := range r.Changed {
			j, _ := s.Find(entry.UID)
			e.equal(entry, s.Entry(j), "step %d: entry", i)
			e.equal(fmt.Sprint(entry.Flags.Names(r.Keywords)), fmt.Sprint(entry.Flags.Names(s.Keywords())), "step %d: names", i)
		}
		e.equal(e.flags("INBOX", 2), step.after, "step %d: flags", i)
		e.checkCounts()
	}
}

func testFlagsNoChange(e *env) {
	e.add("INBOX", `\Seen`, "a")
	at := e.box("INBOX").ModSeq
	for _, r := range []store.FlagResult{
		e.set("INBOX", everything, imap.StoreFlagsAdd, `\Seen`, "A"),
		e.set("INBOX", everything, imap.StoreFlagsDel, `\Deleted`, "unknown"),
		e.set("INBOX", everything, imap.StoreFlagsSet, "a", `\seen`),
		e.set("INBOX", everything, imap.StoreFlagsAdd),
		e.set("INBOX", set(77), imap.StoreFlagsAdd, `\Deleted`),
		e.set("INBOX", nil, imap.StoreFlagsAdd, `\Deleted`),
	} {
		e.equal([]any{len(r.Changed), len(r.Modified)}, []any{0, 0}, "changed and modified")
	}
	e.equal(e.box("INBOX").ModSeq, at, "mod-sequence")
}

func testFlagsUnchangedSince(e *env) {
	e.fill("INBOX", 4)
	at := e.box("INBOX").ModSeq
	e.set("INBOX", set(2, 3), imap.StoreFlagsAdd, `\Flagged`)
	store1 := func(since store.ModSeq, flags ...imap.Flag) store.FlagResult {
		r, err := e.account.SetFlags(e.ctx, e.box("INBOX").ID, imap.UIDSet{{Start: 1, Stop: 3}, {Start: 9, Stop: 9}},
			store.FlagChange{Op: imap.StoreFlagsAdd, Flags: flags, UnchangedSince: &since})
		e.ok(err)
		return r
	}
	r := store1(at, `\Seen`)
	e.equal([]any{uidsIn(r.Changed), r.Modified}, []any{[]imap.UID{1}, set(2, 3)}, "changed, modified")
	r = store1(at+2, `\Seen`)
	e.equal([]any{uidsIn(r.Changed), r.Modified}, []any{[]imap.UID{2, 3}, imap.UIDSet(nil)}, "changed, modified with the latest")
	r = store1(0, `\Draft`)
	e.equal([]any{uidsIn(r.Changed), r.Modified}, []any{[]imap.UID{}, set(1, 2, 3)}, "changed, modified with 0")
	r = store1(at, `\Flagged`)
	e.equal(r.Modified, set(1, 2, 3), "modified even if nothing would change")
	r = store1(1<<63, `\Draft`)
	e.equal(uidsIn(r.Changed), []imap.UID{1, 2, 3}, "changed with a mod-sequence from the future")
}

func testFlagsKeywords(e *env) {
	e.fill("INBOX", 2)
	e.set("INBOX", set(1), imap.StoreFlagsAdd, "$Forwarded", "NonJunk")
	e.set("INBOX", set(2), imap.StoreFlagsAdd, "nonjunk")
	e.equal(e.flags("INBOX", 2), `[NonJunk]`, "the first spelling is kept")
	s := e.open("INBOX")
	e.equal(len(s.Keywords()), 2, "number of keywords")
	e.set("INBOX", everything, imap.StoreFlagsSet)
	r := e.set("INBOX", set(1), imap.StoreFlagsAdd, "third")
	e.equal(r.Changed[0].Flags.Names(r.Keywords), `[third]`, "a keyword after others were removed")
	e.equal(names(s.Flags(0), s), `[$Forwarded NonJunk]`, "the older snapshot")
}

func testFlagsTooMany(e *env) {
	e.fill("INBOX", 2)
	for i := range store.MaxKeywords {
		e.set("INBOX", set(1), imap.StoreFlagsAdd, imap.Flag(fmt.Sprintf("key%d", i)))
	}
	e.equal(len(e.flags("INBOX", 1)), store.MaxKeywords, "number of keywords")
	at := e.box("INBOX").ModSeq
	_, err := e.account.SetFlags(e.ctx, e.box("INBOX").ID, everything,
		store.FlagChange{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{`\Seen`, "key64"}})
	e.fails(err, store.ErrTooManyKeywords, "one keyword more")
	e.equal(e.box("INBOX").ModSeq, at, "mod-sequence after the refusal")
	e.set("INBOX", set(2), imap.StoreFlagsAdd, "KEY62", "key0")
	e.equal(e.flags("INBOX", 2), `[key0 key62]`, "known keywords, the last bit included")
}

func testFlagsSets(e *env) {
	e.fill("INBOX", 6)
	for _, test := range []struct {
		uids imap.UIDSet
		want []imap.UID
	}{
		{imap.UIDSet{{Start: 5, Stop: 2}}, []imap.UID{2, 3, 4, 5}},
		{imap.UIDSet{{Start: 3, Stop: 4}, {Start: 1, Stop: 3}, {Start: 3, Stop: 3}}, []imap.UID{1, 2, 3, 4}},
		{imap.UIDSet{{Start: 6, Stop: 1<<32 - 1}}, []imap.UID{6}},
		{imap.UIDSet{{Start: 0, Stop: 0}, {Start: 2, Stop: 0}, {Start: 0, Stop: 2}}, []imap.UID{}},
		{imap.UIDSet{{Start: 7, Stop: 100}}, []imap.UID{}},
		{everything, []imap.UID{1, 2, 3, 4, 5, 6}},
	} {
		r := e.set("INBOX", test.uids, imap.StoreFlagsAdd, `\Seen`)
		e.equal(uidsIn(r.Changed), test.want, "changed by %v", test.uids)
		e.set("INBOX", everything, imap.StoreFlagsSet)
	}
}

func testFlagsRefusals(e *env) {
	e.fill("INBOX", 1)
	change := func(box store.MailboxID, flag imap.Flag, op imap.StoreFlagsOp) error {
		_, err := e.account.SetFlags(e.ctx, box, everything, store.FlagChange{Op: op, Flags: []imap.Flag{flag}})
		return err
	}
	e.fails(change(nowhere, `\Seen`, imap.StoreFlagsAdd), store.ErrNotFound, "no such mailbox")
	for _, op := range []imap.StoreFlagsOp{imap.StoreFlagsAdd, imap.StoreFlagsDel, imap.StoreFlagsSet} {
		for _, flag := range []imap.Flag{`\Recent`, `\Other`, "a b", "", "\x00", "é"} {
			e.fails(change(e.box("INBOX").ID, flag, op), store.ErrName, "flag %q", flag)
		}
	}
}
