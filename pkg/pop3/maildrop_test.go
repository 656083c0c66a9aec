package pop3

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// hugeStore has one account with one mailbox of a million messages and no octets.
type hugeStore struct {
	store.Store
	snap     *store.Snapshot
	expunged imap.UIDSet
}

type hugeAccount struct {
	store.Account
	s *hugeStore
}

const huge = 1_000_000

func newHugeStore() *hugeStore {
	rows := make([]store.Row, huge)
	for i := range rows {
		rows[i] = store.Row{UID: imap.UID(2*i + 1), ModSeq: 1, Size: 1000, Header: 100, Padding: uint8(i % 2)}
	}
	return &hugeStore{snap: store.NewSnapshot(hugeBox, nil, rows)}
}

var hugeBox = store.Mailbox{ID: 1, Name: "INBOX", UIDValidity: 4294967295, UIDNext: 2*huge + 1, ModSeq: 1}

func (s *hugeStore) Account(context.Context, store.AccountID) (store.Account, error) {
	return hugeAccount{s: s}, nil
}

func (a hugeAccount) Open(context.Context, string) (store.Mailbox, *store.Snapshot, error) {
	return hugeBox, a.s.snap, nil
}

func (a hugeAccount) LockMaildrop(context.Context) (*store.Lease, error) {
	return &store.Lease{Lost: make(chan struct{}), Release: func() {}}, nil
}

func (a hugeAccount) Expunge(_ context.Context, _ store.MailboxID, uids imap.UIDSet, _ store.Actor) ([]imap.UID, error) {
	a.s.expunged = uids
	return nil, nil
}

// TestMillion: a maildrop of a million messages is listed as it is written.
func TestMillion(t *testing.T) {
	t.Parallel()
	s := newHugeStore()
	w := newWorld(t, func(server *Server) { server.Accounts = s })
	c := w.login()
	c.say("STAT")
	if got := c.hear("+OK"); got != "+OK 1000000 1001000000\r\n" {
		t.Errorf("STAT: %q", got)
	}
	c.say("UIDL")
	c.hear("+OK")
	line, n := "", 0
	for ; line != ".\r\n"; n++ {
		b, err := c.in.ReadSlice('\n')
		if err != nil {
			t.Fatal(err)
		}
		if n == huge-1 && string(b) != "1000000 4294967295.1999999\r\n" {
			t.Errorf("the last line is %q", b)
		}
		if len(b) == 3 {
			line = string(b)
		}
	}
	if n != huge+1 {
		t.Errorf("UIDL: %d lines", n)
	}
	for n := 1; n <= huge; n += huge / 100 {
		c.say(fmt.Sprintf("DELE %d", n))
		c.hear("+OK")
	}
	c.say("QUIT")
	c.hear("+OK")
	if nums, _ := s.expunged.Nums(); len(nums) != 100 || nums[1] != 20001 {
		t.Errorf("expunged %v", s.expunged)
	}
}

// BenchmarkListing is UIDL of a million messages; its allocations do not depend on their number.
func BenchmarkListing(b *testing.B) {
	s := newHugeStore()
	c := &conn{out: bufio.NewWriterSize(io.Discard, writeBuffer), drop: &maildrop{box: hugeBox, snap: s.snap, view: s.snap.View()}}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.uidl(b.Context(), 0); err != nil {
			b.Fatal(err)
		}
	}
}

// TestUIDLLength: RFC 1939 §7 allows 1 to 70 characters of 0x21 to 0x7E.
func TestUIDLLength(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("S: a\r\n\r\nb\r\n")
	c := w.login()
	c.say("UIDL 1")
	_, uidl, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(c.hear("+OK")), "+OK "), " ")
	if len(uidl) == 0 || len(uidl) > 70 || strings.ContainsFunc(uidl, func(r rune) bool { return r < 0x21 || r > 0x7E }) {
		t.Errorf("UIDL is %q", uidl)
	}
}

func TestMarkAll(t *testing.T) {
	t.Parallel()
	s := newHugeStore()
	d := &maildrop{snap: s.snap, view: s.snap.View(), octets: 1, all: 1}
	for n := uint32(1); n <= huge; n++ {
		i, err := d.find(n)
		if err != nil {
			t.Fatal(err)
		}
		d.mark(n, i)
	}
	if d.count() != 0 {
		t.Errorf("%d are left", d.count())
	}
	if nums, ok := d.markedUIDs().Nums(); !ok || len(nums) != huge {
		t.Errorf("%d are marked", len(nums))
	}
	if d.unmarkAll(); d.count() != huge || d.isMarked(1) {
		t.Error("RSET left something")
	}
}
