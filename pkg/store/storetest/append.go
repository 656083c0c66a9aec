package storetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

var appendTests = []contract{
	{name: "keeps everything", run: testAppendKeeps},
	{name: "in order, one mod-sequence", run: testAppendOrder},
	{name: "puts the prefix before", run: testAppendPrefix},
	{name: "any octets", run: testAppendOctets},
	{name: "large message in windows", run: testAppendLarge},
	{name: "delivery twice", run: testAppendTwice},
	{name: "keywords", run: testAppendKeywords},
	{name: "refusals", run: testAppendRefusals},
	{name: "UIDs are not reused", run: testAppendUIDs},
}

func testAppendKeeps(e *env) {
	before := time.Now().Add(-time.Minute)
	octets := e.letter()
	uids, err := e.account.Append(e.ctx, e.box("INBOX").ID, e.draft(octets, `\Seen`, `\Draft`, "$Label"))
	e.ok(err)
	s := e.open("inbox")
	m, got := e.read(s, uids[0])
	e.equal(got, octets, "octets")
	e.equal(m.Received.UTC(), received, "INTERNALDATE")
	e.equal(m.Size, len(octets), "size")
	e.equal(names(m.Flags, s), `[$Label \Draft \Seen]`, "flags")
	e.equal([]any{m.UID, m.ModSeq}, []any{uids[0], s.ModSeq()}, "UID and mod-sequence")
	e.equal(octets[m.Part.Body:m.Part.End], strings.SplitAfter(octets, "\r\n\r\n")[1], "body by the MIME tree")
	if m.Saved.Before(before) || m.Saved.After(time.Now().Add(time.Minute)) {
		e.Errorf("saved at %v", m.Saved)
	}
	if m.ID == 0 {
		e.Error("no id")
	}
	r := s.Row(0)
	e.equal([]any{r.Header, r.Padding}, []any{m.Part.Body, 0}, "header size and padding")
}

func testAppendOrder(e *env) {
	before := e.box("INBOX")
	uids, err := e.account.Append(e.ctx, before.ID, e.draft(e.letter()), e.draft(e.letter()), e.draft(e.letter()))
	e.ok(err)
	n := before.UIDNext
	e.equal(uids, []imap.UID{n, n + 1, n + 2}, "UIDs")
	after := e.box("INBOX")
	e.equal([]any{after.UIDNext, after.ModSeq, after.Messages}, []any{n + 3, before.ModSeq + 1, 3}, "after three at once")
	s := e.open("INBOX")
	for i := range 3 {
		e.equal(s.Entry(i).ModSeq, after.ModSeq, "mod-sequence of message %d", i)
		if _, octets := e.read(s, uids[i]); !strings.Contains(octets, fmt.Sprintf("Text of letter %d.", i+1)) {
			e.Errorf("message %d is %q", i, octets)
		}
	}
	none, err := e.account.Append(e.ctx, before.ID)
	e.ok(err)
	e.equal([]any{len(none), e.box("INBOX").ModSeq}, []any{0, after.ModSeq}, "nothing appended")
}

func testAppendPrefix(e *env) {
	octets := e.letter()
	d := e.draft(octets)
	d.Prefix = []byte("Return-Path: <ann@example.org>\r\nDelivered-To: x\r\n")
	other := *d
	other.Prefix = []byte("Delivered-To: someone else\r\n")
	uids, err := e.account.Append(e.ctx, e.box("INBOX").ID, d, &other)
	e.ok(err)
	s := e.open("INBOX")
	for i, d := range []*store.Draft{d, &other} {
		m, got := e.read(s, uids[i])
		e.equal(got, string(d.Prefix)+octets, "octets")
		e.equal(m.Size, len(got), "size")
		e.equal(got[m.Part.Body:], "Text of letter 1.\r\n", "body by the MIME tree")
		e.equal(s.Row(i).Header, m.Part.Body, "header size")
	}
}

func testAppendOctets(e *env) {
	for _, octets := range []string{
		"",
		"\r\n",
		"no header at all",
		"Subject: no body\r\n",
		"Subject: no end",
		"\r\nno header\r\n",
		"Subject: \x00NUL\x00\r\n\r\n\x00\r\n",
		"Subject: \xff\xfe\r\n\r\n8 bit \x80\xe9\r\n",
		"Subject: " + strings.Repeat("x", 100_000) + "\r\n\r\ny\r\n",
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b--\r\n",
	} {
		d := e.draft(octets)
		uids, err := e.account.Append(e.ctx, e.box("INBOX").ID, d)
		e.ok(err)
		s := e.open("INBOX")
		m, got := e.read(s, uids[0])
		e.equal(fmt.Sprintf("%q", got), fmt.Sprintf("%q", octets), "octets")
		i, _ := s.Find(uids[0])
		e.equal([]any{m.Size, s.Padding(i)}, []any{d.Size(), d.Padding()}, "size and padding of %.20q", octets)
		e.equal(tree(e, m.Part.AppendBinary), tree(e, d.Part().AppendBinary), "MIME tree of %.20q", octets)
	}
}

func tree(e *env, appendBinary func([]byte) ([]byte, error)) []byte {
	e.Helper()
	b, err := appendBinary(nil)
	e.ok(err)
	return b
}

func testAppendLarge(e *env) {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	b.WriteString("Subject: large\r\n\r\n")
	for b.Len() < 1_500_000 {
		fmt.Fprintf(&b, "%x %s\r\n", r.Uint64(), strings.Repeat("z", r.IntN(60)))
	}
	octets := b.String()
	d := e.draft(octets)
	d.Prefix = []byte("Delivered-To: x\r\n")
	octets = string(d.Prefix) + octets
	uids, err := e.account.Append(e.ctx, e.box("INBOX").ID, d)
	e.ok(err)
	s := e.open("INBOX")
	m, got := e.read(s, uids[0])
	if got != octets {
		e.Fatal("the octets are not the same")
	}
	for range 50 {
		off := r.IntN(len(octets))
		p := make([]byte, r.IntN(400_000))
		n, err := m.Body.ReadAt(p, int64(off))
		if want := octets[off:min(len(octets), off+len(p))]; string(p[:n]) != want || (n < len(p)) != (err != nil) {
			e.Fatalf("ReadAt(%d octets, %d) = %d, %v", len(p), off, n, err)
		}
	}
}

func testAppendTwice(e *env) {
	inbox := e.box("INBOX").ID
	draft := func(key string) *store.Draft {
		d := e.draft("Subject: the same\r\n\r\n")
		d.DeliveryKey = []byte(key)
		return d
	}
	first, err := e.account.Append(e.ctx, inbox, draft("a"))
	e.ok(err)
	at := e.box("INBOX").ModSeq
	again, err := e.account.Append(e.ctx, inbox, draft("a"))
	e.ok(err)
	e.equal([]any{again, e.box("INBOX").ModSeq}, []any{[]imap.UID{0}, at}, "UIDs and mod-sequence of the second delivery")
	other, err := e.account.Append(e.ctx, inbox, draft("b"), draft("a"), draft(""), draft(""), draft("b"))
	e.ok(err)
	n := first[0]
	e.equal(other, []imap.UID{n + 1, 0, n + 2, n + 3, 0}, "UIDs of new, old and keyless deliveries")
	e.expunge("INBOX", n)
	gone, err := e.account.Append(e.ctx, e.box("Junk").ID, draft("a"))
	e.ok(err)
	e.equal(gone, []imap.UID{0}, "delivery again, to another mailbox, after the first was expunged")
	_, neighbour := e.newAccount(0)
	box, err := neighbour.Mailbox(e.ctx, "INBOX")
	e.ok(err)
	theirs, err := neighbour.Append(e.ctx, box.ID, draft("a"))
	e.ok(err)
	e.equal(theirs, []imap.UID{1}, "delivery to another account")
}

func testAppendKeywords(e *env) {
	box := e.box("INBOX").ID
	var flags []imap.Flag
	for i := range store.MaxKeywords {
		flags = append(flags, imap.Flag(fmt.Sprintf("key%d", i)))
	}
	uids, err := e.account.Append(e.ctx, box, e.draft(e.letter(), flags...))
	e.ok(err)
	e.equal(len(e.flags("INBOX", uids[0])), store.MaxKeywords, "number of keywords")
	_, err = e.account.Append(e.ctx, box, e.draft(e.letter()), e.draft(e.letter(), "onemore"))
	e.fails(err, store.ErrTooManyKeywords, "one keyword more")
	e.equal(e.uids("INBOX"), uids, "messages after the refusal")
	e.add("INBOX", "KEY5")
	e.equal(e.flags("INBOX", uids[0]+1), `[key5]`, "a known keyword in capitals")
}

func testAppendRefusals(e *env) {
	_, err := e.account.Append(e.ctx, nowhere, e.draft(e.letter()))
	e.fails(err, store.ErrNotFound, "no such mailbox")
	for _, flag := range []imap.Flag{`\Recent`, `\Nonsense`, "two words", ""} {
		_, err = e.account.Append(e.ctx, e.box("INBOX").ID, e.draft(e.letter(), flag))
		e.fails(err, store.ErrName, "flag %q", flag)
	}
	e.equal(len(e.uids("INBOX")), 0, "messages")
}

func testAppendUIDs(e *env) {
	first := e.add("INBOX")
	e.expunge("INBOX", first)
	if next := e.add("INBOX"); next <= first {
		e.Errorf("UID %d after %d was expunged", next, first)
	}
}
