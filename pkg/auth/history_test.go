package auth

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// book is a History in memory.
type book struct{ records []Record }

func (b *book) AddLogins(_ context.Context, records []Record) ([]Record, error) {
	b.records = append(b.records, records...)
	return records[:1], nil
}

func (b *book) Places(context.Context, time.Time, int) ([]Record, error) { return b.records, nil }

// TestRecall: after a restart the ban of an account does not hold where its owner was before.
func TestRecall(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(o *Options) { o.History = &book{records: []Record{{User: alice, Addr: home}}} })
	s.recall(t.Context())
	for i := range 100 {
		_ = s.login(somewhere(i), alice, fmt.Sprint("guess ", i)) // refused, one way or another
	}
	s.want(nil, home, alice, right)
	s.want(ErrThrottled, somewhere(200), alice, right)
}

// TestNamedLater: what a client says of itself after its login goes into the history, too.
func TestNamedLater(t *testing.T) {
	t.Parallel()
	kept := new(book)
	s := newStage(t, func(o *Options) { o.History = kept })
	p := Peer{Addr: home, TLS: true, Protocol: "imap"}
	for range 2 {
		id, err := s.Login(t.Context(), p, alice, right)
		if err != nil {
			t.Fatal(err)
		}
		stay := s.Keep(id, p, func() {})
		if err := s.ledger.write(t.Context(), s.clock(), false); err != nil {
			t.Fatal(err)
		}
		stay.Client("Mutt 2\r")
		stay.Client("Mutt 3")
	}
	if err := s.ledger.write(t.Context(), s.clock(), false); err != nil {
		t.Fatal(err)
	}
	for _, r := range kept.records {
		if r.Client != "Mutt 2" || r.Count != 1 {
			t.Errorf("%+v", r)
		}
	}
	if len(kept.records) != 2 {
		t.Errorf("%d records", len(kept.records))
	}
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
	if err := s.ledger.write(t.Context(), s.clock(), true); err != nil {
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
	if err := s.ledger.write(t.Context(), s.clock(), true); err != nil {
		t.Fatal(err)
	}
	if n := len(kept.records); n != ledgerFailures+1 {
		t.Errorf("%d records of an attack", n)
	}
}
