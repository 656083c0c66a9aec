//go:build !race

package pop3

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"iter"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/allocs"
	"postern/pkg/store"
)

// steadyAccount has a maildrop whose messages all are one.
type steadyAccount struct {
	store.Account
	m store.Message
}

func (a *steadyAccount) Messages(_ context.Context, have *store.Snapshot, uids imap.UIDSet, _ store.Fields) iter.Seq2[*store.Message, error] {
	return func(yield func(*store.Message, error) bool) {
		for _, places := range have.Indices(uids) {
			for i := places[0]; i < places[1]; i++ {
				m := a.m
				m.UID = have.UID(i)
				if !yield(&m, nil) {
					return
				}
			}
		}
	}
}

// TestBudget: what lists and messages allocate. The lists are of 1,000 messages.
func TestBudget(t *testing.T) {
	const n = 1000
	text := append([]byte("Subject: a\r\n\r\n"), bytes.Repeat([]byte(".A line that begins with a dot.\r\n"), 600)...)
	rows := make([]store.Row, n)
	for i := range rows {
		rows[i] = store.Row{UID: imap.UID(2*i + 1), ModSeq: 1, Size: int64(len(text)), Header: 14}
	}
	box := store.Mailbox{ID: 1, Name: "INBOX", UIDValidity: 7, UIDNext: 2*n + 1, ModSeq: 1}
	snap := store.NewSnapshot(box, nil, rows)
	a := &steadyAccount{m: store.Message{Size: int64(len(text)), Body: bytes.NewReader(text)}}
	c := &conn{server: &Server{}, out: bufio.NewWriterSize(io.Discard, writeBuffer), drop: &maildrop{box: box, snap: snap, view: snap.View()}}
	c.drop.account, c.drop.ahead = a, ahead{drop: c.drop, timeout: time.Minute}
	for name, list := range map[string]func(context.Context, uint32) error{"UIDL": c.uidl, "LIST": c.list} {
		allocs.Check(t, name, allocs.Most{Objects: 5, Octets: 128}, func() {
			if err := list(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
		})
	}
	next := uint32(0)
	allocs.Check(t, "RETR of 20 KB", allocs.Most{Objects: 7, Octets: 720}, func() {
		next = next%n + 1
		if err := c.retr(t.Context(), next); err != nil {
			t.Fatal(err)
		}
	})
}
