package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// fillWith appends n small messages.
func fillWith(t testing.TB, a *account, box store.MailboxID, n int) {
	t.Helper()
	for n > 0 {
		drafts := make([]*store.Draft, min(n, 500))
		for i := range drafts {
			drafts[i] = draftOf(t, fmt.Sprintf("Subject: %d\r\n\r\nx", i))
		}
		appendTo(t, a, box, drafts...)
		n -= len(drafts)
	}
}

// odd is every other UID: as many ranges as messages.
func odd(n int) (set imap.UIDSet) {
	for uid := imap.UID(1); int(uid) <= n; uid += 2 {
		set = append(set, imap.UIDRange{Start: uid, Stop: uid})
	}
	return set
}

// TestWritesAreConstant holds that no write takes more statements for more messages.
func TestWritesAreConstant(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	var want []int64
	for _, n := range []int{4, 3000} {
		a, box := addAccount(t, s, fmt.Sprintf("user%d@example.org", n), 1<<40)
		archive := boxOf(t, a, "Archive").ID
		fillWith(t, a, box, n)
		var got []int64
		for _, set := range []imap.UIDSet{{{Start: 1, Stop: 1<<32 - 1}}, odd(n)} {
			got = append(got, a.writes(t, box, archive, set)...)
		}
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d messages take %v statements, 4 take %v", n, got, want)
		}
	}
}

// writes runs every kind of write on a set and counts the statements of each. In the end the messages are where they
// were.
func (a *account) writes(t *testing.T, box, other store.MailboxID, set imap.UIDSet) (counts []int64) {
	t.Helper()
	at := store.ModSeq(1)
	for _, do := range []func(ctx context.Context) error{
		func(ctx context.Context) error {
			_, err := a.SetFlags(ctx, box, set, store.FlagChange{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen, "$Label"}})
			return err
		},
		func(ctx context.Context) error {
			_, err := a.SetFlags(ctx, box, set, store.FlagChange{Op: imap.StoreFlagsSet, UnchangedSince: &at})
			return err
		},
		func(ctx context.Context) error {
			_, err := a.SetFlags(ctx, box, set, store.FlagChange{Op: imap.StoreFlagsDel, Flags: []imap.Flag{imap.FlagSeen, "$Label"}})
			return err
		},
		func(ctx context.Context) error { _, err := a.Copy(ctx, box, other, set); return err },
		func(ctx context.Context) error { _, err := a.Move(ctx, other, other, allUIDs); return err },
		func(ctx context.Context) error { _, err := a.Expunge(ctx, other, allUIDs, store.Actor{}); return err },
	} {
		var n atomic.Int64
		if err := do(context.WithValue(context.Background(), tally{}, &n)); err != nil {
			t.Fatal(err)
		}
		counts = append(counts, n.Load())
	}
	return counts
}

// TestSetForms gives the same messages as one range, several, single ones and ranges that hold more than there is.
func TestSetForms(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	a, box := addAccount(t, s, "ann@example.org", 0)
	fillWith(t, a, box, 30)
	const top = 1<<32 - 1
	for i, set := range []imap.UIDSet{
		{{Start: 5, Stop: 8}},
		{{Start: 8, Stop: 5}},
		{{Start: 7, Stop: 8}, {Start: 5, Stop: 7}},
		{{Start: 5, Stop: 5}, {Start: 7, Stop: 8}, {Start: 6, Stop: 6}},
		{{Start: 5, Stop: 6}, {Start: 7, Stop: 8}, {Start: 31, Stop: top}},
		{{Start: 0, Stop: 3}, {Start: 5, Stop: 8}, {Start: 9, Stop: 0}},
	} {
		flag := imap.Flag(fmt.Sprintf("$Set%d", i))
		res, err := a.SetFlags(context.Background(), box, set, store.FlagChange{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{flag}})
		if err != nil {
			t.Fatal(err)
		}
		var uids []imap.UID
		for _, e := range res.Changed {
			uids = append(uids, e.UID)
		}
		if fmt.Sprint(uids) != "[5 6 7 8]" {
			t.Errorf("%v names %v", set, uids)
		}
	}
}

// TestUndelete looks at what is kept of expunged messages, with and without an undelete period.
func TestUndelete(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		undelete time.Duration
		records  int
		due      string
	}{
		"default": {0, 3, "13 days"},
		"none":    {-1, 0, "14 minutes"},
		"an hour": {time.Hour, 3, "59 minutes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, s := context.Background(), openStore(t, func(o *Options) { o.Undelete = c.undelete })
			a, box := addAccount(t, s, "ann@example.org", 0)
			appendTo(t, a, box, draftOf(t, letter("label", 1), "$Label", imap.FlagSeen))
			fillWith(t, a, box, 2200)
			if _, err := a.Create(ctx, "Doomed"); err != nil {
				t.Fatal(err)
			}
			doomed := boxOf(t, a, "Doomed").ID
			if _, err := a.Move(ctx, box, doomed, imap.UIDSetNum(2, 3)); err != nil {
				t.Fatal(err)
			}
			if _, err := a.Expunge(ctx, box, imap.UIDSetNum(1), store.Actor{Session: "s1", Protocol: "imap"}); err != nil {
				t.Fatal(err)
			}
			if _, err := a.Expunge(ctx, box, allUIDs, store.Actor{Session: "s2", Protocol: "pop3"}); err != nil {
				t.Fatal(err)
			}
			if err := a.Delete(ctx, "Doomed"); err != nil {
				t.Fatal(err)
			}
			if n := counted(t, s, "select count(*) from expunged"); n != c.records {
				t.Errorf("%d records of expunges, want %d", n, c.records)
			}
			const sql = `
select count(*)
from expunged
where session = 's1' and protocol = 'imap' and name = 'INBOX' and uids = '{1}' and flags[1] = 1 and kws = '{1}'
  and keywords = '{$Label}' and cardinality(blobs) = 1`
			if n := counted(t, s, sql); n != min(c.records, 1) {
				t.Errorf("the first expunge is recorded %d times", n)
			}
			if n := counted(t, s, "select sum(cardinality(blobs)) from blob_gc where due > now() + $1::text::interval", c.due); n != 2201 {
				t.Errorf("%d bodies are due later than in %s", n, c.due)
			}
			if n := counted(t, s, "select max(cardinality(blobs)) from blob_gc"); n > 1000 {
				t.Errorf("%d bodies in one row", n)
			}
		})
	}
}

// TestSharedBody copies a message about and expunges the copies one by one: their references are counted off when they are
// due, and the body goes with the last.
func TestSharedBody(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), openStore(t, func(o *Options) { o.Undelete = -1 })
	a, box := addAccount(t, s, "ann@example.org", 0)
	archive, trash := boxOf(t, a, "Archive").ID, boxOf(t, a, "Trash").ID
	appendTo(t, a, box, draftOf(t, letter("shared", 1)))
	for _, step := range []struct {
		name  string
		do    func() error
		refs  int // at once
		later int // rows in the queue
		left  int // references when they are due
	}{
		{"copy", func() error { _, err := a.Copy(ctx, box, archive, allUIDs); return err }, 2, 0, 2},
		{"copy within", func() error { _, err := a.Copy(ctx, archive, archive, allUIDs); return err }, 3, 0, 3},
		{"copy both copies", func() error { _, err := a.Copy(ctx, archive, trash, allUIDs); return err }, 5, 0, 5},
		{"move", func() error { _, err := a.Move(ctx, trash, box, allUIDs); return err }, 5, 0, 5},
		{"expunge", func() error { _, err := a.Expunge(ctx, box, allUIDs, store.Actor{}); return err }, 5, 1, 2},
		{"expunge one", func() error { _, err := a.Expunge(ctx, archive, imap.UIDSetNum(2), store.Actor{}); return err }, 2, 1, 1},
		{"delete the mailbox", func() error { return a.Delete(ctx, "Archive") }, 1, 1, 0},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if n := counted(t, s, "select refs from blob_refs"); n != step.refs {
			t.Errorf("%s: %d references, want %d", step.name, n, step.refs)
		}
		if n := counted(t, s, "select count(*) from blob_gc"); n != step.later {
			t.Errorf("%s: %d rows in the queue, want %d", step.name, n, step.later)
		}
		if err := s.Sweep(ctx, time.Now().Add(-time.Second)); err != nil {
			t.Fatal(err)
		}
		if n := counted(t, s, "select refs from blob_refs"); n != step.refs {
			t.Errorf("%s: %d references before they are due, want %d", step.name, n, step.refs)
		}
		if err := s.Sweep(ctx, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if n := counted(t, s, "select coalesce(sum(refs), 0) from blob_refs"); n != step.left {
			t.Errorf("%s: %d references in the end, want %d", step.name, n, step.left)
		}
	}
	if n := counted(t, s, "select (select count(*) from bodies) + (select count(*) from blob_refs)"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// TestCrossingMoves moves the same messages to and fro from many goroutines: none deadlocks for good, none is lost.
func TestCrossingMoves(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), openStore(t)
	a, box := addAccount(t, s, "ann@example.org", 0)
	archive, trash := boxOf(t, a, "Archive").ID, boxOf(t, a, "Trash").ID
	fillWith(t, a, box, 40)
	boxes := []store.MailboxID{box, archive, trash}
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			for n := range 10 {
				from, to := boxes[(w+n)%3], boxes[(w+n+1+w%2)%3]
				if _, err := a.Move(ctx, from, to, allUIDs); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := counted(t, s, "select count(distinct blob_id) from messages"); n != 40 {
		t.Errorf("%d messages, want 40", n)
	}
	const sql = `
select count(*)
from mailbox_state s
where n_msgs <> (select count(*) from messages m where m.account_id = s.account_id and m.mailbox_id = s.mailbox_id)
  or uidnext <= (select coalesce(max(uid), 0) from messages m where m.account_id = s.account_id and m.mailbox_id = s.mailbox_id)`
	if n := counted(t, s, sql); n != 0 {
		t.Errorf("%d mailboxes have wrong counters", n)
	}
}

// TestQuotaOfCopy: a copy is refused as a whole.
func TestQuotaOfCopy(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), openStore(t)
	text := letter("a", 40)
	a, box := addAccount(t, s, "ann@example.org", int64(3*len(text)))
	appendTo(t, a, box, draftOf(t, text), draftOf(t, text))
	archive := boxOf(t, a, "Archive").ID
	if _, err := a.Copy(ctx, box, archive, allUIDs); !errors.Is(err, store.ErrOverQuota) {
		t.Errorf("copy of two: %v", err)
	}
	if _, err := a.Copy(ctx, box, archive, imap.UIDSetNum(2)); err != nil {
		t.Errorf("copy of one: %v", err)
	}
	if _, err := a.Move(ctx, box, archive, allUIDs); err != nil {
		t.Errorf("move when full: %v", err)
	}
	if _, err := a.Append(ctx, box, draftOf(t, text)); !errors.Is(err, store.ErrOverQuota) {
		t.Errorf("append when full: %v", err)
	}
	if r, err := s.Route(ctx, "ann@example.org"); err != nil || !r.Targets[0].OverQuota {
		t.Errorf("route when full: %+v, %v", r, err)
	}
	if err := s.SetQuota(ctx, a.id, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Append(ctx, box, draftOf(t, text)); err != nil {
		t.Errorf("append without a limit: %v", err)
	}
	if r, err := s.Route(ctx, "ann@example.org"); err != nil || r.Targets[0].OverQuota {
		t.Errorf("route without a limit: %+v, %v", r, err)
	}
}

// TestUIDValidityGrows: a mailbox made again is another one, within the same second too.
func TestUIDValidityGrows(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), openStore(t)
	a, _ := addAccount(t, s, "ann@example.org", 0)
	var last store.Mailbox
	for range 5 {
		box, err := a.Create(ctx, "Again/"+strings.Repeat("x", 3))
		if err != nil {
			t.Fatal(err)
		}
		if box.UIDValidity <= last.UIDValidity || box.ID == last.ID {
			t.Errorf("%+v after %+v", box, last)
		}
		last = box
		if err := a.Delete(ctx, box.Name); err != nil {
			t.Fatal(err)
		}
	}
}
