package storetest

import (
	"fmt"
	"slices"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/order"
	"postern/pkg/store"
)

var keysTests = []contract{
	{name: "as KeyFields says", run: testKeys},
	{name: "of an older version", run: testKeysOlder},
	{name: "of copies", run: testKeysCopies},
	{name: "of those asked for", run: testKeysSome},
}

// keysOf shows the keys of messages, by way of Keys.
func (e *env) keysOf(s *store.Snapshot, uids ...imap.UID) []string {
	e.Helper()
	keys, err := e.account.Keys(e.ctx, s, uids)
	e.ok(err)
	if len(keys) != len(uids) {
		e.Fatalf("%d keys of %d messages", len(keys), len(uids))
	}
	return showKeys(keys)
}

func showKeys(keys []order.Key) []string {
	shown := make([]string, len(keys))
	for i, k := range keys {
		shown[i] = fmt.Sprintf("%+v", k.Fields())
	}
	return shown
}

// definedKeys shows the keys that messages have by definition.
func (e *env) definedKeys(s *store.Snapshot, uids ...imap.UID) []string {
	e.Helper()
	var shown []string
	for m, err := range e.account.Messages(e.ctx, s, imap.UIDSetNum(uids...), store.KeysNeed) {
		e.ok(err)
		f, err := store.KeyFields(m)
		e.ok(err)
		shown = append(shown, fmt.Sprintf("%+v", f))
	}
	return shown
}

// keyMail has what keys are made of.
func keyMail(e *env, name string, n int) {
	e.Helper()
	var drafts []*store.Draft
	for i := range n {
		d := e.draft(fmt.Sprintf("From: =?utf-8?q?Zo=C3=AB?= <zoe%d@example.org>\r\nTo: a@example.org\r\nCc: c%d@example.org\r\n"+
			"Subject: Re: [list] number %d\r\nDate: Mon, %d Mar 2026 10:00:00 +0000\r\nMessage-ID: <%d@x>\r\nReferences: <%d@x>\r\n <%d@x>\r\n\r\nText.\r\n",
			i%7, i%5, i, 1+i%28, i, i-2, i-1))
		if i%3 == 0 {
			d.Prefix = []byte("Return-Path: <x@example.org>\r\nDelivered-To: y@example.org\r\n")
		}
		drafts = append(drafts, d)
	}
	_, err := e.account.Append(e.ctx, e.box(name).ID, drafts...)
	e.ok(err)
}

func testKeys(e *env) {
	searchMail(e, "INBOX")
	keyMail(e, "INBOX", 30)
	for range 3 { // with what was kept of the last time
		s := e.open("INBOX")
		e.equal(e.keysOf(s, uidsOf(s)...), e.definedKeys(s, uidsOf(s)...), "keys of %d messages", s.Len())
		e.add("INBOX")
	}
}

func testKeysOlder(e *env) {
	keyMail(e, "INBOX", 10)
	s := e.open("INBOX")
	want := e.definedKeys(s, uidsOf(s)...)
	e.expunge("INBOX", 1, 5, 9)
	keyMail(e, "INBOX", 3)
	e.equal(e.keysOf(s, uidsOf(s)...), want, "keys of an older version")
	now := e.open("INBOX")
	e.equal(e.keysOf(now, uidsOf(now)...), e.definedKeys(now, uidsOf(now)...), "keys of the new version")
	e.equal(e.keysOf(s, uidsOf(s)...), want, "keys of an older version, again")
}

func testKeysCopies(e *env) {
	keyMail(e, "INBOX", 6)
	from, to := e.box("INBOX").ID, e.box("Archive").ID
	_, err := e.account.Copy(e.ctx, from, to, set(2, 4))
	e.ok(err)
	_, err = e.account.Move(e.ctx, from, to, set(1, 6))
	e.ok(err)
	for _, name := range []string{"INBOX", "Archive"} {
		s := e.open(name)
		e.equal(e.keysOf(s, uidsOf(s)...), e.definedKeys(s, uidsOf(s)...), "keys in %s", name)
	}
}

func testKeysSome(e *env) {
	keyMail(e, "INBOX", 12)
	s := e.open("INBOX")
	for _, uids := range [][]imap.UID{{3}, {2, 3, 11}, nil, {1, 12}} {
		e.equal(e.keysOf(s, uids...), e.definedKeys(s, uids...), "keys of %v", uids)
	}
	none := fmt.Sprintf("%+v", order.Key{}.Fields())
	got := e.keysOf(s, 4, 99)
	e.equal(got[1], none, "keys of a message that is not there")
	if slices.Contains(got[:1], none) {
		e.Errorf("message 4 has no keys")
	}
	empty := e.open("Archive")
	e.equal(e.keysOf(empty), "[]", "keys in an empty mailbox")
}

// keys compares the keys of a session's messages.
func (c *comparison) keys() {
	if len(c.sessions) == 0 {
		return
	}
	s := pick(c, c.sessions)
	both(c, fmt.Sprintf("Keys(%q)", s.name), func(w *world, i int) ([]order.Key, error) {
		return w.account.Keys(c.ctx, s.snaps[i], uidsOf(s.snaps[i]))
	}, func(_ *world, keys []order.Key) string { return fmt.Sprint(showKeys(keys)) })
}
