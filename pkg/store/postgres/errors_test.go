package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"postern/pkg/listen/freeport"
	"postern/pkg/store"
	"postern/pkg/store/postgres/pgtest"
)

func TestFailed(t *testing.T) {
	t.Parallel()
	other := errors.New("other")
	for _, c := range []struct{ err, want error }{
		{pgx.ErrNoRows, store.ErrNotFound},
		{&pgconn.PgError{Code: "57P01"}, store.ErrUnavailable},
		{&pgconn.PgError{Code: "57014"}, store.ErrUnavailable},
		{&pgconn.PgError{Code: "53300"}, store.ErrUnavailable},
		{&pgconn.PgError{Code: "08006"}, store.ErrUnavailable},
		{&pgconn.PgError{Code: "25006"}, store.ErrUnavailable},
		{&pgconn.PgError{Code: "40P01"}, store.ErrUnavailable},
		{&pgconn.PgError{Code: "23502", TableName: "messages", ColumnName: "uid"}, store.ErrNotFound},
		{&pgconn.PgError{Code: "23502", TableName: "messages", ColumnName: "kw"}, nil},
		{&pgconn.PgError{Code: "42601"}, nil},
		{fmt.Errorf("read: %w", io.ErrUnexpectedEOF), store.ErrUnavailable},
		{&net.OpError{Op: "dial", Err: other}, store.ErrUnavailable},
		{context.DeadlineExceeded, store.ErrUnavailable},
		{context.Canceled, nil},
		{store.ErrOverQuota, store.ErrOverQuota},
		{other, nil},
	} {
		got := failed("op", c.err)
		for _, s := range []error{store.ErrNotFound, store.ErrUnavailable, store.ErrOverQuota} {
			if errors.Is(got, s) != errors.Is(c.want, s) {
				t.Errorf("failed(%v) = %v, want %v", c.err, got, c.want)
			}
		}
		if !errors.Is(got, c.err) {
			t.Errorf("failed(%v) has lost its cause", c.err)
		}
	}
	if failed("op", nil) != nil {
		t.Error("no error has become one")
	}
}

// TestUnavailable meets the real ways in which a database is away.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	s := reopen(t, url)
	a, box := addAccount(t, s, "ann@example.org", 0)
	past, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	nobody := freeport.For(t)
	_, refused := Open(context.Background(), Options{URL: "postgres://u@" + nobody + "/x?sslmode=disable", MasterKey: masterKey})
	_, late := a.Append(past, box, draftOf(t, "A: b\r\n\r\n"))
	_, lateRead := a.Mailboxes(past)
	s.Close()
	_, closed := a.Append(context.Background(), box, draftOf(t, "A: b\r\n\r\n"))
	_, closedRead := a.Mailboxes(context.Background())
	for name, err := range map[string]error{
		"connection refused": refused, "deadline": late, "deadline, reading": lateRead, "closed": closed, "closed, reading": closedRead,
	} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
