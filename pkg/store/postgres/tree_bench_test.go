package postgres

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// folders makes n mailboxes below ten others, with a message counted in each.
func (f *fixture) folders(n int) {
	f.Helper()
	err := f.a.writeTree(f.Context(), "fill tree", func(tx pgx.Tx) error {
		names := []string{}
		for i := range 10 {
			names = append(names, fmt.Sprintf("top-%d", i))
		}
		for i := range n - len(names) {
			names = append(names, fmt.Sprintf("top-%d/folder-%05d", i%10, i))
		}
		return f.a.insertMailboxes(f.Context(), tx, names, make([]int16, len(names)))
	})
	if err != nil {
		f.Fatal(err)
	}
	f.exec(`update mailbox_state set n_msgs = 3, n_unseen = 1, uidnext = 4, bytes = 1000`)
	f.exec(`insert into subscriptions select account_id, name from mailboxes on conflict do nothing`)
	f.exec(`vacuum analyze mailboxes, mailbox_state, subscriptions`)
}

// BenchmarkTree is what is done to the tree of an account with 10,000 mailboxes.
func BenchmarkTree(b *testing.B) {
	f := newFixture(b)
	f.folders(10_000)
	ctx, n := f.Context(), 0
	for _, op := range []struct {
		name string
		do   func() error
	}{
		{"Mailboxes", func() error { _, err := f.a.Mailboxes(ctx); return err }},
		{"Mailboxes-one", func() error {
			_, err := f.a.Mailboxes(ctx, store.Branch{Top: "top-3/folder-00003"}, store.Branch{Top: store.Inbox})
			return err
		}},
		{"Mailboxes-level", func() error { _, err := f.a.Mailboxes(ctx, store.Branch{Depth: store.OneBelow}); return err }},
		{"Mailboxes-below", func() error {
			_, err := f.a.Mailboxes(ctx, store.Branch{Top: "top-3", Depth: store.OneBelow})
			return err
		}},
		{"Mailbox", func() error { _, err := f.a.Mailbox(ctx, "top-3/folder-00003"); return err }},
		{"Create", func() error { _, err := f.a.Create(ctx, fmt.Sprintf("top-1/new-%d", n)); return err }},
		{"Create-use", func() error {
			_, err := f.a.Create(ctx, fmt.Sprintf("top-2/new-%d", n), `\Sent`)
			if errors.Is(err, store.ErrUse) {
				return nil
			}
			return err
		}},
		{"Subscribe", func() error { return f.a.Subscribe(ctx, fmt.Sprintf("top-1/new-%d", n), true) }},
		{"Subscriptions", func() error { _, err := f.a.Subscriptions(ctx); return err }},
		{"Rename-one", func() error { return f.a.Rename(ctx, fmt.Sprintf("top-1/new-%d", n), fmt.Sprintf("other/%d", n)) }},
		{"Rename-1000", func() error { return f.a.Rename(ctx, fmt.Sprintf("top-4%s", was(n)), fmt.Sprintf("top-4%s", was(n+1))) }},
		{"Delete", func() error { return f.a.Delete(ctx, fmt.Sprintf("other/%d", n)) }},
	} {
		b.Run(op.name, func(b *testing.B) {
			n = 0
			for b.Loop() {
				if err := op.do(); err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrExists) {
					b.Fatal(err)
				}
				n++
			}
		})
	}
}

// was is the end of a name that is changed again and again.
func was(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("-%d", n)
}
