package storetest

import (
	"errors"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

var changesTests = []contract{
	{name: "nothing new", run: testRefreshNothing},
	{name: "each kind", run: testRefreshKinds},
	{name: "came and went", run: testRefreshCameAndWent},
	{name: "many versions", run: testRefreshMany},
	{name: "deleted mailbox", run: testRefreshDeleted},
	{name: "since", run: testSince},
	{name: "since what a client made up", run: testSinceMadeUp},
	{name: "since, of an older version", run: testSinceOlder},
	{name: "read what is gone", run: testReadGone},
	{name: "messages", run: testMessages},
	{name: "swept", run: testSwept},
}

func testRefreshNothing(e *env) {
	e.fill("INBOX", 2)
	s := e.open("INBOX")
	next, ch := e.refresh(s)
	if next != s {
		e.Error("another snapshot though nothing has changed")
	}
	if ch.Since != s.ModSeq() || ch.Until != s.ModSeq() || !ch.Complete || len(ch.Added)+len(ch.Flagged)+len(ch.Removed) > 0 {
		e.Errorf("changes: %+v", ch)
	}
	empty := e.open("Trash")
	if empty.Len() != 0 || empty.ModSeq() < 1 || empty.UIDNext() < 1 || empty.UIDValidity() < 1 {
		e.Errorf("an empty mailbox has %d messages, mod-sequence %d, UIDNEXT %d, UIDVALIDITY %d",
			empty.Len(), empty.ModSeq(), empty.UIDNext(), empty.UIDValidity())
	}
}

func testRefreshKinds(e *env) {
	e.fill("INBOX", 4)
	old := e.open("INBOX")
	e.set("INBOX", set(2), imap.StoreFlagsAdd, `\Seen`, "new")
	e.expunge("INBOX", 3)
	added := e.add("INBOX", `\Flagged`)
	s, ch := e.refresh(old)
	e.equal([]any{ch.Since, ch.Until, ch.Complete}, []any{old.ModSeq(), old.ModSeq() + 3, true}, "span")
	e.equal(s.ModSeq(), ch.Until, "mod-sequence of the snapshot")
	e.equal(uidsIn(ch.Added), []imap.UID{added}, "added")
	e.equal(uidsIn(ch.Flagged), []imap.UID{2}, "flagged")
	e.equal(uidsIn(ch.Removed), []imap.UID{3}, "removed")
	e.equal(names(ch.Flagged[0].Flags, s), `[\Seen new]`, "flags of the flagged")
	e.equal(ch.Flagged[0].ModSeq, old.ModSeq()+1, "mod-sequence of the flagged")
	e.equal(ch.Added[0].ModSeq, old.ModSeq()+3, "mod-sequence of the added")
	if m := ch.Removed[0].ModSeq; m < old.ModSeq()+2 || m > ch.Until {
		e.Errorf("mod-sequence of the removed: %d", m)
	}
	e.equal(uidsOf(s), []imap.UID{1, 2, 4, added}, "messages")
	e.equal(uidsOf(old), []imap.UID{1, 2, 3, 4}, "messages of the older snapshot")
	e.equal(old.Flags(1), store.FlagSet{}, "flags in the older snapshot")
}

func testRefreshCameAndWent(e *env) {
	e.fill("INBOX", 1)
	old := e.open("INBOX")
	uid := e.add("INBOX")
	e.set("INBOX", set(uid), imap.StoreFlagsAdd, `\Deleted`)
	e.expunge("INBOX", uid)
	s, ch := e.refresh(old)
	e.equal(len(ch.Added)+len(ch.Flagged), 0, "changes of a message that came and went")
	for _, r := range ch.Removed {
		if _, known := old.Find(r.UID); !known && r.UID != uid {
			e.Errorf("removed: %d", r.UID)
		}
	}
	e.equal([]any{s.Len(), s.UIDNext()}, []any{1, uid + 1}, "messages and UIDNEXT")
}

// testRefreshMany follows a mailbox from versions of every age.
func testRefreshMany(e *env) {
	var versions []*store.Snapshot
	for i := range 8 {
		versions = append(versions, e.open("INBOX"))
		uid := e.add("INBOX")
		e.set("INBOX", everything, imap.StoreFlagsSet, [][]imap.Flag{{`\Seen`}, {"a", "b"}, nil}[i%3]...)
		if i%3 == 2 {
			e.expunge("INBOX", uid-1)
		}
	}
	last := e.open("INBOX")
	for _, old := range versions {
		s, ch := e.refresh(old)
		e.equal(uidsOf(s), uidsOf(last), "messages")
		known := make(map[imap.UID]store.Entry)
		for i := range old.Len() {
			known[old.UID(i)] = old.Entry(i)
		}
		apply(e, known, ch)
		for i := range s.Len() {
			e.equal(known[s.UID(i)], last.Entry(i), "UID %d seen from mod-sequence %d", s.UID(i), old.ModSeq())
		}
		e.equal(len(known), s.Len(), "number of messages known")
	}
}

// apply lets changes happen to what is known, checking that each is possible.
func apply(e *env, known map[imap.UID]store.Entry, ch store.Changes) {
	e.Helper()
	for _, list := range [][]store.Entry{ch.Added, ch.Flagged, ch.Removed} {
		last := imap.UID(0)
		for _, entry := range list {
			if entry.UID <= last {
				e.Errorf("changes not ascending: %v", list)
			}
			last = entry.UID
			if entry.ModSeq <= ch.Since || entry.ModSeq > ch.Until {
				e.Errorf("UID %d changed at %d, not in (%d, %d]", entry.UID, entry.ModSeq, ch.Since, ch.Until)
			}
		}
	}
	for _, entry := range ch.Added {
		if _, ok := known[entry.UID]; ok {
			e.Errorf("UID %d added again", entry.UID)
		}
		known[entry.UID] = entry
	}
	for _, entry := range ch.Flagged {
		if _, ok := known[entry.UID]; !ok {
			e.Errorf("UID %d flagged, but not known", entry.UID)
		}
		known[entry.UID] = entry
	}
	for _, entry := range ch.Removed {
		delete(known, entry.UID)
	}
}

func testRefreshDeleted(e *env) {
	e.create("gone")
	e.fill("gone", 1)
	s := e.open("gone")
	e.ok(e.account.Delete(e.ctx, "gone"))
	_, _, err := e.account.Refresh(e.ctx, s)
	e.fails(err, store.ErrNotFound, "Refresh")
	e.create("gone")
	_, _, err = e.account.Refresh(e.ctx, s)
	e.fails(err, store.ErrNotFound, "Refresh after another was made")
}

// changed are the UIDs that Since reports as new or changed; it need not tell which.
func changed(ch store.Changes) []imap.UID {
	all := imap.UIDSetNum(uidsIn(ch.Added)...)
	all.AddNum(uidsIn(ch.Flagged)...)
	uids, _ := all.Nums()
	return uids
}

func testSince(e *env) {
	e.fill("INBOX", 100)
	at := e.box("INBOX").ModSeq
	e.set("INBOX", set(7), imap.StoreFlagsAdd, `\Seen`)
	e.expunge("INBOX", 8)
	added := e.add("INBOX")
	s := e.open("INBOX")
	ch, err := e.account.Since(e.ctx, s, at)
	e.ok(err)
	e.equal(changed(ch), []imap.UID{7, added}, "changed")
	e.equal(uidsIn(ch.Removed), []imap.UID{8}, "removed")
	e.equal([]any{ch.Since, ch.Until, ch.Complete}, []any{at, s.ModSeq(), true}, "span")
	if m := ch.Removed[0].ModSeq; m < at+2 || m > ch.Until {
		e.Errorf("removed at %d, not in [%d, %d]", m, at+2, ch.Until)
	}
}

func testSinceMadeUp(e *env) {
	e.fill("INBOX", 3)
	e.expunge("INBOX", 2)
	s := e.open("INBOX")
	for _, at := range []store.ModSeq{0, 1} {
		ch, err := e.account.Since(e.ctx, s, at)
		e.ok(err)
		e.equal(changed(ch), []imap.UID{1, 3}, "changed since %d", at)
		e.equal(ch.Complete, true, "complete since %d", at)
	}
	for _, at := range []store.ModSeq{s.ModSeq(), s.ModSeq() + 1, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
		ch, err := e.account.Since(e.ctx, s, at)
		e.ok(err)
		e.equal(len(ch.Added)+len(ch.Flagged)+len(ch.Removed), 0, "changes since %d", at)
	}
	empty := e.open("Trash")
	ch, err := e.account.Since(e.ctx, empty, 0)
	e.ok(err)
	e.equal(len(ch.Added)+len(ch.Flagged)+len(ch.Removed), 0, "changes of an empty mailbox")
}

func testSinceOlder(e *env) {
	e.fill("INBOX", 3)
	at := e.box("INBOX").ModSeq
	e.expunge("INBOX", 1)
	old := e.open("INBOX")
	e.expunge("INBOX", 2)
	e.set("INBOX", set(3), imap.StoreFlagsAdd, `\Seen`)
	ch, err := e.account.Since(e.ctx, old, at)
	e.ok(err)
	e.equal([]any{changed(ch), uidsIn(ch.Removed), ch.Until}, []any{[]imap.UID{}, []imap.UID{1}, old.ModSeq()},
		"changed, removed, until")
}

func testReadGone(e *env) {
	e.fill("INBOX", 3)
	old := e.open("INBOX")
	e.expunge("INBOX", 1, 3)
	for uid := range imap.UID(3) {
		_, octets := e.read(old, uid+1)
		if len(octets) == 0 {
			e.Errorf("UID %d cannot be read", uid+1)
		}
	}
}

func testMessages(e *env) {
	e.fill("INBOX", 40)
	e.expunge("INBOX", 5, 6, 7)
	s := e.open("INBOX")
	ask := imap.UIDSet{{Start: 30, Stop: 38}, {Start: 8, Stop: 4}, {Start: 31, Stop: 31}, {Start: 99, Stop: 1<<32 - 1}, {Start: 0, Stop: 0}}
	want := []imap.UID{4, 8, 30, 31, 32, 33, 34, 35, 36, 37, 38}
	for _, fields := range []store.Fields{0, store.WithPart, store.WithHeader, store.WithBody, 7} {
		var got []imap.UID
		for m, err := range e.account.Messages(e.ctx, s, ask, fields) {
			e.ok(err)
			got = append(got, m.UID)
			if (m.Part != nil) != (fields&store.WithPart != 0) && fields&store.WithPart != 0 {
				e.Errorf("UID %d with fields %b has tree %v", m.UID, fields, m.Part)
			}
			if len(got)%4 == 0 {
				e.equal(len(e.octets(m)), m.Size, "octets of UID %d", m.UID)
			}
		}
		e.equal(got, want, "messages with fields %b", fields)
	}
	for m, err := range e.account.Messages(e.ctx, s, everything, 7) {
		e.ok(err)
		e.equal(m.UID, 1, "the first, and then stop")
		break
	}
	for m, err := range e.account.Messages(e.ctx, s, nil, 7) {
		e.Errorf("of no set: %v, %v", m, err)
	}
}

func testSwept(e *env) {
	e.fill("INBOX", 3)
	e.expunge("INBOX", 1)
	e.set("INBOX", set(2), imap.StoreFlagsAdd, `\Seen`)
	old := e.open("INBOX")
	e.expunge("INBOX", 2)
	e.fixture.Sweep()
	s, ch := e.refresh(old)
	e.equal([]any{ch.Complete, uidsIn(ch.Removed)}, []any{true, []imap.UID{2}}, "Refresh needs no tombstones: complete, removed")
	ch, err := e.account.Since(e.ctx, s, 2)
	e.ok(err)
	e.equal(ch.Complete, false, "complete since before the sweep")
	e.equal(changed(ch), []imap.UID{}, "changed since before the sweep")
	at := s.ModSeq()
	e.expunge("INBOX", 3)
	s = e.open("INBOX")
	ch, err = e.account.Since(e.ctx, s, at)
	e.ok(err)
	e.equal([]any{ch.Complete, uidsIn(ch.Removed)}, []any{true, []imap.UID{3}}, "since the sweep: complete, removed")

	read := 0 // what has been swept fails alone, as something that is no longer there
	for m, err := range e.account.Messages(e.ctx, old, everything, 7) {
		if m == nil || err != nil && !errors.Is(err, store.ErrNotFound) {
			e.Fatalf("reading ended: %v", err)
		}
		read++
	}
	e.equal(read, old.Len(), "messages read through the older snapshot")
}
