package postgres

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// TestUndeleteMessages takes messages back: with new UIDs, their octets, flags and keywords, once.
func TestUndeleteMessages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mail(plain("one", 10), plain("large", 700<<10), plain("three", 10))
	f.flag(uidRange(1, 2), imap.StoreFlagsAdd, imap.FlagSeen, imap.FlagDeleted, "$Label")
	f.copy(boxOf(t, f.a, "Archive").ID, uidRange(2, 2)) // a body that stays, shared
	was := [][]byte{octetsOf(t, f.a, store.Inbox, 1), octetsOf(t, f.a, store.Inbox, 2)}
	f.expunge(uidRange(1, 2))

	record := f.onlyRecord(t, store.Inbox)
	if record.Messages != 2 || record.Mailbox != store.Inbox {
		t.Errorf("%+v", record)
	}
	f.undelete(t, record, "", 2)
	snap := f.openInbox(f.a)
	if got := []imap.UID{snap.UID(0), snap.UID(1), snap.UID(2)}; !slices.Equal(got, []imap.UID{3, 4, 5}) {
		t.Fatalf("UIDs %v", got)
	}
	for i, octets := range was {
		if !slices.Equal(octetsOf(t, f.a, store.Inbox, imap.UID(4+i)), octets) {
			t.Errorf("message %d came back with other octets", i)
		}
		if got := snap.Flags(1 + i).Names(snap.Keywords()); !slices.Equal(got, []imap.Flag{imap.FlagSeen, "$Label"}) {
			t.Errorf("message %d came back with %v", i, got)
		}
	}
	if _, err := f.s.Undelete(t.Context(), f.a.id, record, ""); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a second time: %v", err)
	}
}

// TestUndeleteTwice lets the sweeper come by at each step: a message that was restored and expunged again can be restored
// for the whole period again, and what lives is never swept.
func TestUndeleteTwice(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mail(plain("one", 10))
	octets := octetsOf(t, f.a, store.Inbox, 1)
	first := time.Now()
	f.expunge(uidRange(1, 1))
	f.undelete(t, f.onlyRecord(t, store.Inbox), "", 1)
	if err := f.s.Sweep(t.Context(), first.Add(2*DefaultUndelete)); err != nil {
		t.Fatal(err)
	}
	f.expunge(uidRange(2, 2))
	if err := f.s.Sweep(t.Context(), first.Add(DefaultUndelete-time.Minute)); err != nil {
		t.Fatal(err)
	}
	f.undelete(t, f.onlyRecord(t, store.Inbox), "Found/again", 1)
	if !slices.Equal(octetsOf(t, f.a, "Found/again", 1), octets) {
		t.Error("other octets")
	}
	f.expunge(uidRange(1, 1)) // of INBOX, where nothing is
	if err := f.a.Delete(t.Context(), "Found/again"); err != nil {
		t.Fatal(err)
	}
}

// TestUndeleteTooLate gives back what there is: not what has no octets, nor what the sweeper has counted off.
func TestUndeleteTooLate(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mail(plain("one", 10))
	f.flag(uidRange(1, 1), imap.StoreFlagsAdd, "nowhere-else")
	f.expunge(uidRange(1, 1))
	record := f.onlyRecord(t, store.Inbox)
	f.exec(`delete from bodies`)
	f.undelete(t, record, "Empty", 0)
	if n := f.number(`select count(*) from mailboxes where name = 'Empty' and keywords <> '{}'`); n != 0 {
		t.Error("keywords of messages that have not come, which no session would hear of")
	}

	texts := make([]string, 1500)
	for i := range texts {
		texts[i] = plain("many", 1)
	}
	f.mail(texts...)
	f.copy(boxOf(t, f.a, "Archive").ID, allUIDs)
	f.expunge(allUIDs)
	record = f.onlyRecord(t, store.Inbox)
	f.exec(`update blob_gc set due = now() where chunk = 0`) // a thousand of them
	f.sweep(time.Second)
	f.undelete(t, record, "", 500)
	f.sweep(2 * DefaultUndelete)
	for what, sql := range stressCounts {
		if n := f.number(sql); n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
}

func (f *fixture) onlyRecord(t *testing.T, mailbox string) Expunged {
	t.Helper()
	list, err := f.s.ListExpunged(t.Context(), f.a.id, mailbox, time.Now().Add(-time.Hour))
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	return list[0]
}

func (f *fixture) undelete(t *testing.T, e Expunged, into string, want int) {
	t.Helper()
	if n, err := f.s.Undelete(t.Context(), f.a.id, e, into); n != want || err != nil {
		t.Fatalf("%d restored, %v, want %d", n, err, want)
	}
}
