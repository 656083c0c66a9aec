package pgtest

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const sqlFill = `
with m as (
  insert into messages (account_id, mailbox_id, uid, modseq, blob_id, idate, savedate, size, hsize)
  select account_id, mailbox_id, i, 1 + i, i, 0, 0, 1000, 300
  from mailboxes, generate_series(1, $1::int) i
  where name = 'INBOX'
)
update mailbox_state
set uidnext = $1 + 1, modseq = $1 + 1, n_msgs = $1, n_unseen = $1, bytes = 1000 * $1
where mailbox_id = (select mailbox_id from mailboxes where name = 'INBOX')`

// FillInbox puts n messages, which have no bodies, into the INBOX of the database's only account: quicker than delivering
// them where a test is about large mailboxes. No store may have that INBOX open.
func FillInbox(t testing.TB, dsn string, n int) {
	t.Helper()
	conn := connect(t, dsn)
	if _, err := conn.Exec(t.Context(), sqlFill, n); err != nil {
		t.Fatal(err)
	}
}

// AwaitPacked waits until stores have packed all of n messages that were opened: they do so behind their sessions' backs.
func AwaitPacked(t testing.TB, dsn string, n int) {
	t.Helper()
	conn := connect(t, dsn)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		var packed int
		if err := conn.QueryRow(t.Context(), `select coalesce(sum(n), 0) from mailbox_index`).Scan(&packed); err != nil {
			t.Fatal(err)
		}
		if packed == n {
			return
		}
	}
}

func connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) }) //nolint:errcheck // the database is dropped
	return conn
}
