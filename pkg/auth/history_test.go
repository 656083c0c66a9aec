package auth

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// book is a History in memory.
type book struct{ records []Record }

func (b *book) AddLogins(_ context.Context, records []Record) ([]Record, error) {
	b.records = append(b.records, records...)
	return records[:1], nil
}

// TestHistory takes down what there is of logins, the same once, and of an attack not more than is good.
func TestHistory(t *testing.T) {
	t.Parallel()
	kept := new(book)
	var told []Record
	s := newStage(t, func(o *Options) {
		o.History, o.Novel = kept, func(_ context.Context, r Record) { told = append(told, r) }
	})
	for range 3 {
		if _, err := s.Login(t.Context(), Peer{Addr: home, TLS: true, Protocol: "imap", Client: "Mutt\x00\r\n" + strings.Repeat("x", 1000)}, alice, right); err != nil {
			t.Fatal(err)
		}
	}
	s.want(ErrDenied, home, "ghost@example.org", right)
	if err := s.ledger.write(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := Record{
		Account: 1, User: alice, At: s.clock(), Count: 3, Addr: home, Protocol: "imap", Mechanism: "LOGIN",
		Client: "Mutt" + strings.Repeat("x", maxProgram-4), Result: "ok",
	}
	if len(kept.records) != 1 || kept.records[0] != want || len(told) != 1 {
		t.Errorf("history %+v, told %+v", kept.records, told)
	}
	kept.records = nil
	for i := range 1000 {
		_ = s.login(somewhere(i), alice, fmt.Sprint("guess ", i)) // refused, one way or another
	}
	s.want(nil, home, alice, right)
	if err := s.ledger.write(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(kept.records); n != ledgerFailures+1 {
		t.Errorf("%d records of an attack", n)
	}
}
