package postgres

import (
	"context"
	"testing"
	"time"

	"postern/pkg/store"
	"postern/pkg/store/storetest"
)

// TestContract holds the store to the promises of package store.
func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		return contractFixture(t, openStore(t, func(o *Options) { o.MaxMailboxes = storetest.MaxMailboxes }))
	})
}

func contractFixture(t *testing.T, s *Store) storetest.Fixture {
	ctx := context.Background()
	return storetest.Fixture{
		Store: s,
		NewAccount: func(address string, quota int64) store.AccountID {
			id, err := s.CreateAccount(ctx, address, "", quota)
			if err != nil {
				t.Error(err)
			}
			return id
		},
		AddAlias: func(address string, targets ...string) {
			if err := addAnyAlias(ctx, s, address, targets); err != nil {
				t.Error(err)
			}
		},
		Sweep: func() {
			if err := s.Sweep(ctx, time.Now().Add(365*24*time.Hour)); err != nil {
				t.Error(err)
			}
		},
	}
}

// addAnyAlias adds an alias without the checks of AddAlias, as two processes at once could: the contract has some that
// lead round and round.
func addAnyAlias(ctx context.Context, s *Store, address string, targets []string) error {
	names := append([]string{address}, targets...)
	for i, name := range names {
		var err error
		if names[i], err = canonicalAddress(name, true); err != nil {
			return err
		}
	}
	_, err := s.pool.Exec(ctx, sqlInsertAlias, names[0], names[1:])
	return err
}
