package postgres

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/message"
	"postern/pkg/store"
	"postern/pkg/store/postgres/pgtest"
)

// fixture is a store on a database of its own with one account.
type fixture struct {
	testing.TB
	s     *Store
	url   string
	a     *account
	inbox store.MailboxID
}

func newFixture(t testing.TB, change ...func(*Options)) *fixture {
	t.Helper()
	f := &fixture{TB: t, url: pgtest.New(t)}
	f.s = f.open(change...)
	id, err := f.s.CreateAccount(t.Context(), "user@example.org", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	f.a = &account{s: f.s, id: id}
	box, err := f.a.Mailbox(t.Context(), store.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	f.inbox = box.ID
	return f
}

// open opens another store, a process of its own as it were, on the fixture's database.
func (f *fixture) open(change ...func(*Options)) *Store {
	f.Helper()
	o := Options{URL: f.url, MasterKey: bytes.Repeat([]byte{7}, keySize), Poll: time.Hour, MaxConns: 8}
	for _, c := range change {
		c(&o)
	}
	s, err := Open(context.Background(), o)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	return s
}

// on is the fixture's account in another store.
func (f *fixture) on(s *Store) *account { return &account{s: s, id: f.a.id} }

// mail appends messages.
func (f *fixture) mail(texts ...string) []imap.UID {
	f.Helper()
	var drafts []*store.Draft
	for _, text := range texts {
		sp, err := message.Spool(strings.NewReader(text), message.SpoolOptions{})
		if err != nil {
			f.Fatal(err)
		}
		defer sp.Close() //nolint:errcheck // a test's
		drafts = append(drafts, &store.Draft{Spooled: sp, Received: time.Now()})
	}
	uids, err := f.a.Append(f.Context(), f.inbox, drafts...)
	if err != nil {
		f.Fatal(err)
	}
	return uids
}

// fill puts n rows into INBOX as if they had been delivered, without bodies.
func (f *fixture) fill(n int) {
	f.Helper()
	f.exec(`
insert into messages (account_id, mailbox_id, uid, modseq, blob_id, idate, savedate, size, hsize, flags)
select $1, $2, s.uidnext - 1 + i, s.modseq + i, i, 1700000000000 + i, 1700000000000 + i, 1000 + i % 5000, 300, i % 32
from mailbox_state s, generate_series(1, $3::int) i
where s.account_id = $1 and s.mailbox_id = $2`, f.a.id, f.inbox, n)
	f.exec(`update mailbox_state set uidnext = uidnext + $3, modseq = modseq + $3, n_msgs = n_msgs + $3,
  n_unseen = n_unseen + ($3 + 1) / 2, n_deleted = n_deleted + (select count(*) from messages x where x.account_id = $1 and x.mailbox_id = $2 and x.flags & 8 <> 0)
where account_id = $1 and mailbox_id = $2`,
		f.a.id, f.inbox, n)
}

func (f *fixture) exec(sql string, args ...any) {
	f.Helper()
	if _, err := f.s.pool.Exec(f.Context(), sql, args...); err != nil {
		f.Fatal(err)
	}
}

// number runs a query for one number.
func (f *fixture) number(sql string, args ...any) (n int64) {
	f.Helper()
	if err := f.s.pool.QueryRow(f.Context(), sql, args...).Scan(&n); err != nil {
		f.Fatal(err)
	}
	return n
}

func (f *fixture) openInbox(a *account) *store.Snapshot {
	f.Helper()
	_, snap, err := a.Open(f.Context(), store.Inbox)
	if err != nil {
		f.Fatal(err)
	}
	return snap
}

// statements counts the statements that do runs.
func (f *fixture) statements(do func(ctx context.Context)) int {
	n := new(atomic.Int64)
	do(context.WithValue(f.Context(), tally{}, n))
	return int(n.Load())
}

func (f *fixture) flag(uids imap.UIDSet, op imap.StoreFlagsOp, flags ...imap.Flag) {
	f.Helper()
	if _, err := f.a.SetFlags(f.Context(), f.inbox, uids, store.FlagChange{Op: op, Flags: flags}); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) expunge(uids imap.UIDSet) {
	f.Helper()
	if _, err := f.a.Expunge(f.Context(), f.inbox, uids, store.Actor{}); err != nil {
		f.Fatal(err)
	}
}

// await waits until ok holds, looking again each time w wakes up and every few milliseconds.
func (f *fixture) await(what string, ok func() bool) {
	f.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			f.Fatalf("waited in vain: %s", what)
		}
	}
}

func (f *fixture) woken(w *store.Watch) {
	f.Helper()
	select {
	case <-w.C:
	case <-time.After(time.Minute):
		f.Fatal("not woken")
	}
}

func uidRange(from, to imap.UID) imap.UIDSet { return imap.UIDSet{{Start: from, Stop: to}} }

// plain is a message with a body of n octets.
func plain(subject string, n int) string {
	line := "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n"
	text := strings.Repeat(line, n/len(line)+1)[:n]
	return fmt.Sprintf("From: a@example.org\r\nSubject: %s\r\n\r\n%s", subject, text)
}
