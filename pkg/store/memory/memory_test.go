package memory_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/message"
	"postern/pkg/store"
	"postern/pkg/store/memory"
	"postern/pkg/store/storetest"
)

func open(*testing.T) storetest.Fixture {
	s := memory.New()
	s.MaxMailboxes = storetest.MaxMailboxes
	return storetest.Fixture{
		Store: s,
		NewAccount: func(address string, quota int64) store.AccountID {
			return s.AddAccount(address, "", quota)
		},
		AddAlias: s.AddAlias,
		Sweep:    s.Sweep,
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, open)
}

// TestCompare compares the model with itself, which tests the comparison.
func TestCompare(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		storetest.Compare(t, seed, open(t), open(t))
	}
}

func TestCredential(t *testing.T) {
	t.Parallel()
	s := memory.New()
	id := s.AddAccount("Ann@Example.org", "$hash", 0)
	c, err := s.Credential(t.Context(), "ann@EXAMPLE.org")
	if err != nil || c.Account != id || c.User != "ann@example.org" || c.Secret != "$hash" || c.Disabled {
		t.Errorf("%+v, %v", c, err)
	}
	s.SetDisabled(id, true)
	if c, err = s.Credential(t.Context(), "ann@example.org"); err != nil || !c.Disabled {
		t.Errorf("disabled: %+v, %v", c, err)
	}
	for _, user := range []string{"bob@example.org", "ann", "ann+x@example.org", ""} {
		if _, err := s.Credential(t.Context(), user); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%q: %v", user, err)
		}
	}
}

func TestDown(t *testing.T) {
	t.Parallel()
	s := memory.New()
	a, err := s.Account(t.Context(), s.AddAccount("ann@example.org", "", 0))
	if err != nil {
		t.Fatal(err)
	}
	s.SetDown(true)
	if _, err := a.Mailboxes(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("down: %v", err)
	}
	s.SetDown(false)
	if _, err := a.Mailboxes(t.Context()); err != nil {
		t.Errorf("up again: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Mailboxes(ended); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

// TestDeliveryForgotten delivers the same again a day later.
func TestDeliveryForgotten(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := memory.New()
	s.Now = func() time.Time { return now }
	a, err := s.Account(t.Context(), s.AddAccount("ann@example.org", "", 0))
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := a.Mailbox(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	spooled, err := message.Spool(strings.NewReader("Subject: x\r\n\r\n"), message.SpoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		later time.Duration
		want  imap.UID
	}{{0, 1}, {23 * time.Hour, 0}, {time.Hour, 2}} {
		now = now.Add(test.later)
		uids, err := a.Append(t.Context(), inbox.ID, &store.Draft{Spooled: spooled, DeliveryKey: []byte("key")})
		if err != nil || uids[0] != test.want {
			t.Errorf("%v later: %v, %v", test.later, uids, err)
		}
	}
}
