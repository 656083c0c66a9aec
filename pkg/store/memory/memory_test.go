package memory_test

import (
	"testing"

	"postern/pkg/store"
	"postern/pkg/store/memory"
	"postern/pkg/store/storetest"
)

func open(*testing.T) storetest.Fixture {
	s := memory.New()
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
