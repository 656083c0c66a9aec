package storetest

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/message"
	"postern/pkg/store"
)

// tester is the account by which what is expunged is recorded.
var tester = store.Actor{Session: "storetest", Protocol: "test"}

// received is the INTERNALDATE of what e.add adds.
var received = time.Date(2026, 3, 4, 5, 6, 7, 890e6, time.UTC)

// ok ends the test at an error.
func (e *env) ok(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// fails checks that err is the one that is promised.
func (e *env) fails(err, want error, what string, args ...any) {
	e.Helper()
	if !errors.Is(err, want) {
		e.Errorf("%s: %v, want %q", fmt.Sprintf(what, args...), err, want)
	}
}

// equal compares by what is printed.
func (e *env) equal(got, want any, what string, args ...any) {
	e.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		e.Errorf("%s: %s, want %s", fmt.Sprintf(what, args...), g, w)
	}
}

// spool makes a message ready for Append.
func spool(t testing.TB, octets string) *message.Spooled {
	t.Helper()
	s, err := message.Spool(strings.NewReader(octets), message.SpoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// letter returns a small message, each time another.
func (e *env) letter() string {
	e.sent++
	return fmt.Sprintf("From: ann@example.org\r\nSubject: letter %d\r\n\r\nText of letter %d.\r\n", e.sent, e.sent)
}

func (e *env) draft(octets string, flags ...imap.Flag) *store.Draft {
	e.Helper()
	return &store.Draft{Spooled: spool(e.T, octets), Flags: flags, Received: received}
}

// box returns a mailbox as it is now.
func (e *env) box(name string) store.Mailbox {
	e.Helper()
	b, err := e.account.Mailbox(e.ctx, name)
	e.ok(err)
	return b
}

// create makes a mailbox.
func (e *env) create(name string) store.Mailbox {
	e.Helper()
	b, err := e.account.Create(e.ctx, name)
	e.ok(err)
	return b
}

// add appends a letter to a mailbox.
func (e *env) add(name string, flags ...imap.Flag) imap.UID {
	e.Helper()
	uids, err := e.account.Append(e.ctx, e.box(name).ID, e.draft(e.letter(), flags...))
	e.ok(err)
	if len(uids) != 1 || uids[0] == 0 {
		e.Fatalf("Append returned %v", uids)
	}
	return uids[0]
}

// fill appends n letters.
func (e *env) fill(name string, n int) {
	e.Helper()
	drafts := make([]*store.Draft, n)
	for i := range drafts {
		drafts[i] = e.draft(e.letter())
	}
	_, err := e.account.Append(e.ctx, e.box(name).ID, drafts...)
	e.ok(err)
}

func (e *env) open(name string) *store.Snapshot {
	e.Helper()
	_, s, err := e.account.Open(e.ctx, name)
	e.ok(err)
	return s
}

func (e *env) refresh(s *store.Snapshot) (*store.Snapshot, store.Changes) {
	e.Helper()
	next, ch, err := e.account.Refresh(e.ctx, s)
	e.ok(err)
	return next, ch
}

func (e *env) set(name string, uids imap.UIDSet, op imap.StoreFlagsOp, flags ...imap.Flag) store.FlagResult {
	e.Helper()
	r, err := e.account.SetFlags(e.ctx, e.box(name).ID, uids, store.FlagChange{Op: op, Flags: flags})
	e.ok(err)
	return r
}

func (e *env) expunge(name string, uids ...imap.UID) []imap.UID {
	e.Helper()
	gone, err := e.account.Expunge(e.ctx, e.box(name).ID, imap.UIDSetNum(uids...), tester)
	e.ok(err)
	return gone
}

// uids lists the messages of a mailbox.
func (e *env) uids(name string) []imap.UID {
	e.Helper()
	return uidsOf(e.open(name))
}

func uidsOf(s *store.Snapshot) []imap.UID {
	uids := make([]imap.UID, s.Len())
	for i := range uids {
		uids[i] = s.UID(i)
	}
	return uids
}

func uidsIn(entries []store.Entry) []imap.UID {
	uids := make([]imap.UID, len(entries))
	for i := range entries {
		uids[i] = entries[i].UID
	}
	return uids
}

// flags returns a message's flags, sorted.
func (e *env) flags(name string, uid imap.UID) []imap.Flag {
	e.Helper()
	s := e.open(name)
	i, ok := s.Find(uid)
	if !ok {
		e.Fatalf("no UID %d in %s", uid, name)
	}
	return names(s.Flags(i), s)
}

func names(f store.FlagSet, s *store.Snapshot) []imap.Flag {
	list := f.Names(s.Keywords())
	slices.Sort(list)
	return list
}

// read returns a message with its MIME tree and its octets.
func (e *env) read(s *store.Snapshot, uid imap.UID) (*store.Message, string) {
	e.Helper()
	for m, err := range e.account.Messages(e.ctx, s, imap.UIDSetNum(uid), store.WithPart|store.WithHeader|store.WithBody) {
		e.ok(err)
		return m, e.octets(m)
	}
	e.Fatalf("no UID %d", uid)
	return nil, ""
}

func (e *env) octets(m *store.Message) string {
	e.Helper()
	b, err := io.ReadAll(io.NewSectionReader(m.Body, 0, m.Size+1))
	e.ok(err)
	return string(b)
}

// checkCounts counts everything the account says it has.
func (e *env) checkCounts() {
	e.Helper()
	list, err := e.account.Mailboxes(e.ctx)
	e.ok(err)
	var quota store.Quota
	for _, b := range list {
		b.HasChildren = false
		opened, s, err := e.account.Open(e.ctx, b.Name)
		e.ok(err)
		alone := e.box(b.Name)
		e.equal(opened, b, "%s as Open and as Mailboxes says", b.Name)
		e.equal(alone, b, "%s as Mailbox and as Mailboxes says", b.Name)
		var count store.Mailbox
		for i := range s.Len() {
			count.Messages++
			count.Size += s.Size(i)
			if s.Flags(i).System&store.FlagSeen == 0 {
				count.Unseen++
			}
			if s.Flags(i).System&store.FlagDeleted != 0 {
				count.Deleted++
			}
		}
		e.equal([]any{b.Messages, b.Unseen, b.Deleted, b.Size}, []any{count.Messages, count.Unseen, count.Deleted, count.Size},
			"messages, unseen, deleted, octets of %s", b.Name)
		e.equal([]any{s.Mailbox(), s.UIDValidity(), s.UIDNext(), s.ModSeq()}, []any{b.ID, b.UIDValidity, b.UIDNext, b.ModSeq},
			"id, UIDVALIDITY, UIDNEXT, mod-sequence of %s", b.Name)
		quota.Used += count.Size
		quota.Messages += int64(count.Messages)
	}
	q, err := e.account.Quota(e.ctx)
	e.ok(err)
	e.equal([]int64{q.Used, q.Messages}, []int64{quota.Used, quota.Messages}, "quota used")
}

func set(uids ...imap.UID) imap.UIDSet { return imap.UIDSetNum(uids...) }

// everything names all UIDs there can be.
var everything = imap.UIDSet{{Start: 1, Stop: 1<<32 - 1}}

// nowhere is a mailbox no account has.
const nowhere store.MailboxID = 1 << 60
