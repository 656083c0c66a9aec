package lmtp

import (
	"bytes"
	"context"
	"flag"
	"testing"

	"postern/pkg/store"
	"postern/pkg/store/memory"
	"postern/pkg/store/postgres"
	"postern/pkg/store/postgres/pgtest"
)

var pg = flag.Bool("pg", false, "run the tests over PostgreSQL instead of store/memory")

func TestMain(m *testing.M) { pgtest.Main(m) }

// backend is a store in which a test can set the scene.
type backend interface {
	store.Store
	AddAccount(address, secret string, quota int64) store.AccountID
	AddAlias(address string, targets ...string)
}

func newBackend(t *testing.T) backend {
	t.Helper()
	if !*pg {
		return memory.New()
	}
	s, err := postgres.Open(t.Context(), postgres.Options{
		URL: pgtest.New(t), MasterKey: bytes.Repeat([]byte("k"), 32), MaxConns: 8, Undelete: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return overPostgres{s, t}
}

// overPostgres gives a PostgreSQL store the methods of the one in memory.
type overPostgres struct {
	*postgres.Store
	t *testing.T
}

func (s overPostgres) AddAccount(address, secret string, quota int64) store.AccountID {
	id, err := s.CreateAccount(context.Background(), address, secret, quota)
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

func (s overPostgres) AddAlias(address string, targets ...string) {
	if err := s.Store.AddAlias(context.Background(), address, targets...); err != nil {
		s.t.Fatal(err)
	}
}
