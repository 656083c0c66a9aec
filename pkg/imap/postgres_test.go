package imap

import (
	"bytes"
	"flag"
	"fmt"
	"sync/atomic"
	"testing"

	"postern/pkg/store"
	"postern/pkg/store/memory"
	"postern/pkg/store/postgres"
	"postern/pkg/store/postgres/pgtest"
)

var overPostgres = flag.Bool("pg", false, "play transcripts over PostgreSQL")

func TestMain(m *testing.M) { pgtest.Main(m) }

// accounts makes accounts for tests, each with a store it may share with others.
type accounts func(t testing.TB) (store.Store, store.AccountID)

// inMemory gives each test a store of its own.
func inMemory(testing.TB) (store.Store, store.AccountID) {
	s := memory.New()
	return s, s.AddAccount(testUser, "", 0)
}

// inPostgres opens one store until t ends and makes accounts in it.
func inPostgres(t testing.TB) accounts {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Options{URL: pgtest.New(t), MasterKey: bytes.Repeat([]byte("k"), 32)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	var made atomic.Int64
	return func(t testing.TB) (store.Store, store.AccountID) {
		t.Helper()
		id, err := s.CreateAccount(t.Context(), fmt.Sprintf("user%d@example.org", made.Add(1)), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		return s, id
	}
}
