// Package memory keeps mail in memory, as plainly as possible: one lock, no caches worth the name, everything counted
// anew when asked. It is the executable model of what package store promises, for tests; no program is built on it.
package memory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"postern/pkg/auth"
	"postern/pkg/store"
)

// Store is a store.Store and an auth.Directory.
type Store struct {
	// Now is the clock; nil means time.Now. It must be set before the Store is used.
	Now func() time.Time
	// MaxMailboxes is how many an account can have; 0 means store.DefaultMaxMailboxes. It must be set before, too.
	MaxMailboxes int

	hub store.Hub

	mu       sync.Mutex // guards all below, the accounts and their mailboxes included
	accounts map[store.AccountID]*account
	users    map[string]*account // by address
	aliases  map[string][]string
	lastID   int64
	down     bool
}

var (
	_ store.Store    = (*Store)(nil)
	_ store.Account  = (*account)(nil)
	_ auth.Directory = (*Store)(nil)
)

// New returns an empty Store.
func New() *Store {
	return &Store{
		accounts: make(map[store.AccountID]*account),
		users:    make(map[string]*account),
		aliases:  make(map[string][]string),
	}
}

// AddAccount makes an account with the default mailboxes. secret is a password hash in PHC form, or empty; quota is in
// octets, 0 for none. It panics when the address is none, or taken.
func (s *Store) AddAccount(address, secret string, quota int64) store.AccountID {
	parsed, ok := store.ParseAddress(address)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok || s.users[parsed.String()] != nil {
		panic(fmt.Sprintf("memory: cannot add account %q", address))
	}
	a := &account{
		store: s, id: store.AccountID(s.nextID()), address: parsed.String(), secret: secret, limits: store.Limits{Octets: quota},
		boxes: make(map[store.MailboxID]*mailbox), subscribed: make(map[string]bool),
		octets: make(map[store.MessageID]*octets), delivered: make(map[string]time.Time),
		annotations: make(annotations),
	}
	s.accounts[a.id], s.users[a.address] = a, a
	for _, d := range store.DefaultMailboxes {
		a.add(d.Name, d.Use)
		a.subscribed[d.Name] = true
	}
	return a.id
}

// AddAlias sends mail for an address, or for "@domain", to accounts or other aliases.
func (s *Store) AddAlias(address string, targets ...string) {
	parsed, ok := store.ParseAddress(address)
	if !ok {
		panic(fmt.Sprintf("memory: cannot add alias %q", address))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aliases[parsed.String()] = targets
}

// SetDisabled switches an account's logins off or on.
func (s *Store) SetDisabled(id store.AccountID, disabled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[id].disabled = disabled
}

// SetCapabilities says which capabilities of IMAP are not there for an account, with commas between.
func (s *Store) SetCapabilities(id store.AccountID, disable string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[id].disable = disable
}

// SetDown makes every call fail with store.ErrUnavailable, as if the database were away, or ends that.
func (s *Store) SetDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// Sweep forgets what a store may forget in time: tombstones, the octets of messages that are in no mailbox, and which
// deliveries there were.
func (s *Store) Sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.accounts {
		a.sweep()
	}
}

// Account implements store.Store.
func (s *Store) Account(ctx context.Context, id store.AccountID) (store.Account, error) {
	var a *account
	err := s.do(ctx, "open account", func() error {
		a = s.accounts[id]
		if a == nil {
			return store.ErrNotFound
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// SetLimits implements store.Store.
func (s *Store) SetLimits(ctx context.Context, id store.AccountID, l store.Limits) error {
	return s.do(ctx, "set limits", func() error {
		a := s.accounts[id]
		if a == nil {
			return store.ErrNotFound
		}
		a.limits = l
		return nil
	})
}

// Watch implements store.Store.
func (s *Store) Watch(id store.AccountID) *store.Watch { return s.hub.Watch(id) }

// do runs one operation under the lock.
func (s *Store) do(ctx context.Context, op string, f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := store.ErrUnavailable
	if !s.down && ctx.Err() == nil {
		err = f()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

func (s *Store) nextID() int64 {
	s.lastID++
	return s.lastID
}

func (s *Store) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}
