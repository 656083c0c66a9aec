package storetest

import (
	"context"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

var watchTests = []contract{
	{name: "every write wakes", run: testWatchWrites},
	{name: "nothing changed", run: testWatchNothing},
	{name: "close", run: testWatchClose},
	{name: "no lost wake-ups", run: testWatchLosesNothing},
}

// patience bounds waits that should be short.
const patience = 30 * time.Second

// wait waits for a wake-up.
func (e *env) wait(w *store.Watch) []store.MailboxID {
	e.Helper()
	select {
	case <-w.C:
		return w.Take()
	case <-time.After(patience):
		e.Fatal("not woken")
		return nil
	}
}

// awake takes a wake-up that is there already.
func awake(w *store.Watch) bool {
	select {
	case <-w.C:
		return true
	default:
		return false
	}
}

// testWatchWrites checks that when a write returns, the Watch has been woken already, and says which mailboxes.
func testWatchWrites(e *env) {
	e.fill("INBOX", 5)
	w := e.fixture.Store.Watch(e.account.ID())
	defer w.Close()
	inbox, trash := e.box("INBOX").ID, e.box("Trash").ID
	for _, test := range []struct {
		name  string
		do    func() error
		boxes []store.MailboxID // 0 for the tree
	}{
		{"Append", func() error {
			_, err := e.account.Append(e.ctx, inbox, e.draft(e.letter()))
			return err
		}, []store.MailboxID{inbox}},
		{"SetFlags", func() error {
			ch := store.FlagChange{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{`\Seen`}}
			_, err := e.account.SetFlags(e.ctx, inbox, set(1), ch)
			return err
		}, []store.MailboxID{inbox}},
		{"Copy", func() error {
			_, err := e.account.Copy(e.ctx, inbox, trash, set(1))
			return err
		}, []store.MailboxID{trash}},
		{"Move", func() error {
			_, err := e.account.Move(e.ctx, inbox, trash, set(1))
			return err
		}, []store.MailboxID{inbox, trash}},
		{"Expunge", func() error {
			_, err := e.account.Expunge(e.ctx, inbox, set(2), tester)
			return err
		}, []store.MailboxID{inbox}},
		{"Create", func() error { _, err := e.account.Create(e.ctx, "a/b"); return err }, []store.MailboxID{0}},
		{"Rename", func() error { return e.account.Rename(e.ctx, "a", "c") }, []store.MailboxID{0}},
		{"Subscribe", func() error { return e.account.Subscribe(e.ctx, "c", true) }, []store.MailboxID{0}},
		{"Delete", func() error { return e.account.Delete(e.ctx, "c/b") }, []store.MailboxID{0}},
		{"Rename INBOX", func() error { return e.account.Rename(e.ctx, "INBOX", "d") }, []store.MailboxID{0}},
	} {
		awake(w) // what earlier writes left
		w.Take()
		e.ok(test.do())
		if !awake(w) {
			e.Errorf("%s returned before the watch was woken", test.name)
		}
		got := w.Take()
		for _, box := range test.boxes {
			if !slices.Contains(got, box) && !slices.Contains(got, 0) {
				e.Errorf("%s: woken for %v, not for %d", test.name, got, box)
			}
		}
	}
}

func testWatchNothing(e *env) {
	_, neighbour := e.newAccount(0)
	w := e.fixture.Store.Watch(neighbour.ID())
	defer w.Close()
	e.add("INBOX")
	got := w.Take()
	if len(got) > 0 && !slices.Contains(got, 0) {
		e.Errorf("woken for %v of another account", got)
	}
}

func testWatchClose(e *env) {
	w, other := e.fixture.Store.Watch(e.account.ID()), e.fixture.Store.Watch(e.account.ID())
	defer other.Close()
	w.Close()
	w.Close()
	e.add("INBOX")
	if awake(w) {
		e.Error("woken after Close")
	}
	e.wait(other)
}

// testWatchLosesNothing has two sessions that only ever look when they are woken, while others write.
func testWatchLosesNothing(e *env) {
	const writers, each = 4, 15
	ctx, cancel := context.WithTimeout(e.ctx, patience)
	defer cancel()
	seen := make(chan int)
	for range 2 {
		w := e.fixture.Store.Watch(e.account.ID())
		s := e.open("INBOX")
		go func() {
			defer w.Close()
			n := 0
			for n < writers*each && ctx.Err() == nil {
				select {
				case <-w.C:
				case <-ctx.Done():
				}
				next, ch, err := e.account.Refresh(ctx, s)
				if err != nil {
					break
				}
				s, n = next, n+len(ch.Added)
			}
			seen <- n
		}()
	}
	box := e.box("INBOX").ID
	e.parallel(writers, func(int) error {
		for range each {
			if _, err := e.account.Append(e.ctx, box, e.draft("Subject: x\r\n\r\n")); err != nil {
				return err
			}
		}
		return nil
	})
	for range 2 {
		e.equal(<-seen, writers*each, "messages a watcher saw")
	}
}
