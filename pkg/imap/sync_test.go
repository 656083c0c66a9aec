package imap

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"

	"postern/pkg/store"
)

// askedStore counts how often its accounts are asked what is new.
type askedStore struct {
	store.Store
	times atomic.Int64
}

func (s *askedStore) Account(ctx context.Context, id store.AccountID) (store.Account, error) {
	a, err := s.Store.Account(ctx, id)
	return &askedAccount{a, s}, err
}

type askedAccount struct {
	store.Account
	store *askedStore
}

func (a *askedAccount) Refresh(ctx context.Context, have *store.Snapshot) (*store.Snapshot, store.Changes, error) {
	a.store.times.Add(1)
	return a.Account.Refresh(ctx, have)
}

func (a *askedAccount) RefreshTo(ctx context.Context, have *store.Snapshot, at store.ModSeq) (*store.Snapshot, store.Changes, error) {
	a.store.times.Add(1)
	return a.Account.RefreshTo(ctx, have, at)
}

// TestStoreAsksOnce: STORE reads the mailbox once after the change, and yet the client hears of what others have done, with this
// command or the next.
func TestStoreAsksOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asked := &askedStore{Store: w.server.Accounts}
	w.server.Accounts = asked
	w.inbox(t, 3, "Subject: x\r\n\r\n")
	other := w.login(t)
	other.exchange(t, "a SELECT INBOX")
	c := w.login(t)
	c.exchange(t, "a SELECT INBOX")
	for _, tt := range []struct {
		before, command string // another session's, and then ours
		want            []string
	}{
		{"a NOOP", `b STORE 1 +FLAGS (\Seen)`, []string{`* 1 FETCH (FLAGS (\Seen))`, "b OK Stored."}},
		{`a STORE 2 +FLAGS (\Answered)`, `b STORE 1 +FLAGS (\Draft)`, []string{
			`* 1 FETCH (FLAGS (\Seen \Draft))`, `* 2 FETCH (FLAGS (\Answered))`, "b OK Stored.",
		}},
		{"a NOOP", `b STORE 1 -FLAGS.SILENT (\Draft)`, []string{"b OK Stored."}},
	} {
		other.exchange(t, tt.before)
		before := asked.times.Load()
		if got := c.exchange(t, tt.command); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q", tt.command, got)
		}
		if n := asked.times.Load() - before; n != 1 {
			t.Errorf("%s asked %d times", tt.command, n)
		}
	}
	other.exchange(t, `c STORE 3 +FLAGS (\Flagged)`)
	if got := c.exchange(t, "c NOOP"); !slices.Equal(got, []string{`* 3 FETCH (FLAGS (\Flagged))`, got[len(got)-1]}) {
		t.Errorf("%q", got)
	}
	c.exchange(t, "d STORE 1 BOGUS (x)")
	other.exchange(t, `d STORE 3 -FLAGS (\Flagged)`)
	if got := c.exchange(t, "e NOOP"); !slices.Equal(got, []string{`* 3 FETCH (FLAGS ())`, got[len(got)-1]}) {
		t.Errorf("%q", got)
	}
}
