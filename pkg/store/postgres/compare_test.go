package postgres

import (
	"fmt"
	"testing"

	"postern/pkg/store"
	"postern/pkg/store/memory"
	"postern/pkg/store/storetest"
)

// TestCompare does the same random things to this store and to the model; every read must agree.
func TestCompare(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			m := memory.New()
			model := storetest.Fixture{
				Store:      m,
				NewAccount: func(address string, quota int64) store.AccountID { return m.AddAccount(address, "", quota) },
				AddAlias:   m.AddAlias,
				Sweep:      m.Sweep,
			}
			storetest.Compare(t, seed, model, contractFixture(t, openStore(t)))
		})
	}
}
