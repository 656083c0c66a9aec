package pgtest

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	sqlFill = `
with s as (
  update mailbox_state s
  set uidnext = s.uidnext + $2::int, modseq = s.modseq + $2::int, n_msgs = s.n_msgs + $2::int, bytes = s.bytes + 1000 * $2::bigint
  from accounts a
  join mailboxes m using (account_id)
  where a.address = $1 and m.name = 'INBOX' and s.account_id = m.account_id and s.mailbox_id = m.mailbox_id
  returning s.account_id, s.mailbox_id, s.uidnext - $2::int - 1 as last, s.modseq - $2::int as modseq
)
insert into messages (account_id, mailbox_id, uid, modseq, blob_id, idate, savedate, size, hsize, flags)
select account_id, mailbox_id, last + i, modseq + i, i, 1700000000000 + i, 1700000000000 + i, 1000, 300, 1 | i % 8 & 6
from s, generate_series(1, $2::int) i`

	sqlAnalyze = `
analyze messages`
)

// Fill puts n messages into the INBOX of an account as if they had been delivered and read, without bodies.
func Fill(b testing.TB, dsn, address string, n int) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		b.Fatalf("pgtest: %v", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is under way
	tag, err := conn.Exec(ctx, sqlFill, address, n)
	if err == nil {
		_, err = conn.Exec(ctx, sqlAnalyze)
	}
	if err != nil || tag.RowsAffected() != int64(n) {
		b.Fatalf("pgtest: %d messages, %v", tag.RowsAffected(), err)
	}
}

const sqlPacked = `
select coalesce(sum(n), 0)
from mailbox_index`

// AwaitPacked waits until stores have packed all of n messages that were opened: they do so behind their sessions' backs.
func AwaitPacked(b testing.TB, dsn string, n int) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		b.Fatalf("pgtest: %v", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is under way
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for packed := -1; packed != n; <-tick.C {
		if err := conn.QueryRow(ctx, sqlPacked).Scan(&packed); err != nil {
			b.Fatalf("pgtest: %d of %d messages packed: %v", packed, n, err)
		}
	}
}
