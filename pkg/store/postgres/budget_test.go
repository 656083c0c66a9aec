//go:build !race

package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"

	"postern/pkg/allocs"
	"postern/pkg/message"
	"postern/pkg/store"
)

// TestBudget: what one message costs in this process, on its way in and when sessions learn of it. The store's background work
// counts too, now and then: the figures leave it room.
func TestBudget(t *testing.T) {
	f := newFixture(t)
	s, err := message.Spool(strings.NewReader("Subject: a\r\nFrom: Ann <ann@example.org>\r\n\r\n"+lots(20_000)), message.SpoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	draft := func() *store.Draft {
		n++
		return &store.Draft{Spooled: s, DeliveryKey: fmt.Appendf(nil, "delivery %d", n)}
	}
	allocs.Check(t, "sealing a message of 20 KB", allocs.Most{Objects: 22, Octets: 3 << 10}, func() {
		d := &delivery{ctx: t.Context(), a: f.a, box: f.inbox}
		if err := f.a.prepare(t.Context(), d, []*store.Draft{draft()}); err != nil {
			t.Fatal(err)
		}
		f.s.release(d)
	})
	allocs.Check(t, "storing a message of 20 KB", allocs.Most{Objects: 160, Octets: 16 << 10}, func() {
		if _, err := f.a.Append(t.Context(), f.inbox, draft()); err != nil {
			t.Fatal(err)
		}
	})
	batchBudget(t, f, draft)
	newsBudget(t, f)
}

// batchBudget: deliveries are laid out in columns.
func batchBudget(t *testing.T, f *fixture, draft func() *store.Draft) {
	const together = 16
	batch := make([]*delivery, together)
	for i := range batch {
		d := &delivery{ctx: t.Context(), a: f.a, box: f.inbox}
		if err := f.a.prepare(t.Context(), d, []*store.Draft{draft()}); err != nil {
			t.Fatal(err)
		}
		batch[i] = d
	}
	allocs.Check(t, "laying out 16 deliveries", allocs.Most{Objects: 75, Octets: 6 << 10}, func() {
		var b pgx.Batch
		queueMany(&b, batch)
	})
}

// newsBudget: changes are read and applied to a mailbox of 10,000.
func newsBudget(t *testing.T, f *fixture) {
	f.fill(10_000)
	base := f.openInbox(f.a)
	uid := base.UID(5) // one that has no flags
	f.flag(uidRange(uid, uid), imap.StoreFlagsSet, imap.FlagFlagged)
	d, err := f.s.readDelta(t.Context(), boxKey{f.a.id, f.inbox}, base)
	if err != nil {
		t.Fatal(err)
	}
	allocs.Check(t, "applying a change of flags", allocs.Most{Objects: 30, Octets: 80 << 10}, func() {
		if _, ch, ok := d.apply(base, 0); !ok || len(ch.Flagged) != 1 {
			t.Fatal("wrong changes")
		}
	})
	snap := f.openInbox(f.a)
	allocs.Check(t, "a session that learns of it", allocs.Most{Objects: 90, Octets: 32 << 10}, func() {
		if _, ch, err := f.a.Refresh(t.Context(), base); err != nil || len(ch.Flagged) != 1 {
			t.Fatal(ch, err)
		}
	})
	allocs.Check(t, "SELECT of it", allocs.Most{Objects: 70, Octets: 32 << 10}, func() {
		if got := f.openInbox(f.a); got != snap {
			t.Fatal("another version")
		}
	})
}
