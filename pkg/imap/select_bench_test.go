package imap

import (
	"bufio"
	"context"
	"io"
	"testing"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// BenchmarkSelect is what SELECT of 100,000 messages costs beyond the store's one statement.
func BenchmarkSelect(b *testing.B) {
	const n = 100_000
	rows := make([]store.Row, n)
	for i := range rows {
		rows[i] = store.Row{UID: imap.UID(i + 1), ModSeq: 2, Flags: store.FlagSet{System: store.FlagSeen}}
	}
	rows[n-1].Flags = store.FlagSet{}
	box := store.Mailbox{ID: 1, Name: "INBOX", UIDValidity: 1, UIDNext: n + 1, ModSeq: 2, Messages: n, Unseen: 1}
	opened := &openAccount{box: box, snap: store.NewSnapshot(box, nil, rows)}
	c := &conn{
		srv: &Server{Accounts: &watchedStore{}}, account: opened, state: authenticated,
		enc: wire.NewEncoder(bufio.NewWriterSize(io.Discard, writeBuffer)),
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.selectMailbox(b.Context(), selectRequest{mailbox: "INBOX"}); err != nil {
			b.Fatal(err)
		}
	}
}

// watchedStore is a store that can be watched, and nothing else be done with.
type watchedStore struct {
	store.Store
	hub store.Hub
}

func (s *watchedStore) Watch(id store.AccountID) *store.Watch { return s.hub.Watch(id) }

// openAccount is an account in which one mailbox can be opened, and nothing else be done.
type openAccount struct {
	store.Account
	box  store.Mailbox
	snap *store.Snapshot
}

func (a *openAccount) ID() store.AccountID { return 1 }

func (a *openAccount) Open(context.Context, string) (store.Mailbox, *store.Snapshot, error) {
	return a.box, a.snap, nil
}
