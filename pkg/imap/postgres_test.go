package imap

import (
	"flag"
	"testing"

	"postern/pkg/store"
)

var overPostgres = flag.Bool("pg", false, "play transcripts over PostgreSQL")

func openPostgres(t testing.TB) (store.Store, store.AccountID) {
	t.Fatal("not yet")
	return nil, 0
}
