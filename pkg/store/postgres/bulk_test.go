package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/message"
	"postern/pkg/store"
	"postern/pkg/store/postgres/pgtest"
)

// writers is how many goroutines deliver at once in the benchmarks.
const writers = 16

// durable opens a store on a server of its own that flushes to disk: what a commit costs is what is measured.
func durable(b *testing.B) *Store {
	b.Helper()
	return reopen(b, pgtest.Durable(b), func(o *Options) { o.MaxConns = 32 })
}

// mail makes messages of about 21 KB that compress like mail does, to a little more than half.
func mail(b *testing.B, n int) []*message.Spooled {
	b.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	list := make([]*message.Spooled, n)
	for i := range list {
		var text strings.Builder
		fmt.Fprintf(&text, "From: Ann <ann@example.org>\r\nTo: bob@example.org\r\nSubject: number %d\r\nMessage-ID: <%d@example.org>\r\n\r\n", i, i)
		for text.Len() < 21<<10 {
			fmt.Fprintf(&text, "%016x%016x and some words of every day, %x\r\n", r.Uint64(), r.Uint64(), r.Uint32())
		}
		s, err := message.Spool(strings.NewReader(text.String()), message.SpoolOptions{})
		if err != nil {
			b.Fatal(err)
		}
		list[i] = s
	}
	return list
}

// BenchmarkDeliver delivers mail by 16 writers, into 200 mailboxes and into one, and compares with one bare INSERT and
// commit a message of the same octets, on the same server in the same run.
func BenchmarkDeliver(b *testing.B) {
	ctx, s := context.Background(), durable(b)
	mails := mail(b, 64)
	accounts, boxes := make([]*account, 200), make([]store.MailboxID, 200)
	for i := range accounts {
		accounts[i], boxes[i] = addAccount(b, s, fmt.Sprintf("user%d@example.org", i), 0)
	}
	sealed := make([][]byte, len(mails))
	for i, m := range mails {
		d := prepared(ctx, b, accounts[0], 0, &store.Draft{Spooled: m}).arrivals[0]
		sealed[i] = slices.Concat(d.header, d.tree, d.data)
	}
	floor := pgtest.NewFloor(b, s.opts.URL, writers)
	for _, n := range []int{200, 1} {
		b.Run(fmt.Sprintf("mailboxes=%d", n), func(b *testing.B) {
			began := time.Now()
			floor.Insert(b, b.N, func(i int) []byte { return sealed[i%len(sealed)] })
			bare := time.Since(began)
			b.ResetTimer()
			share(b.N, func(i int) {
				d := &store.Draft{Spooled: mails[i%len(mails)], DeliveryKey: fmt.Appendf(nil, "%d of %d in %d", i, b.N, n)}
				if _, err := accounts[i%n].Append(ctx, boxes[i%n], d); err != nil {
					b.Error(err)
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			b.ReportMetric(100*bare.Seconds()/b.Elapsed().Seconds(), "%ofbare")
		})
	}
}

// share runs do for the numbers below n by as many goroutines as there are writers.
func share(n int, do func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}

// BenchmarkBulk changes, copies, moves and expunges 10,000 messages at once, and prints how that compares with one bare
// statement on as many rows of a table like messages, on the same server in the same run (%ofbare). What the ratio leaves
// is spent on the counters, the journal, references to bodies, what an expunge keeps for undoing it, and on telling which
// messages they were. Expected: 25 or more, and ever the same number of statements (TestWritesAreConstant).
func BenchmarkBulk(b *testing.B) {
	const n = 10_000
	ctx, s := context.Background(), durable(b)
	a, box := addAccount(b, s, "ann@example.org", 0)
	archive := boxOf(b, a, "Archive").ID
	fillRows(b, a, box, n)
	bare := newBareRows(b, a)
	flags := func(i int, set imap.UIDSet) error {
		op := []imap.StoreFlagsOp{imap.StoreFlagsAdd, imap.StoreFlagsDel}[i%2]
		_, err := a.SetFlags(ctx, box, set, store.FlagChange{Op: op, Flags: []imap.Flag{imap.FlagSeen}})
		return err
	}
	copies := func(int) error { _, err := a.Copy(ctx, box, archive, allUIDs); return err }
	expunges := func(int) error { _, err := a.Expunge(ctx, archive, allUIDs, store.Actor{}); return err }
	both := func(f, g func(int) error) func(int) error {
		return func(i int) error { return errors.Join(f(i), g(i)) }
	}
	empty := both(expunges, bare.do(sqlBareExpunge))
	fill := func(int) error { fillRows(b, a, archive, n); return nil }
	for _, bench := range []struct {
		name              string
		before, run, bare func(i int) error
	}{
		{"STORE", nil, func(i int) error { return flags(i, allUIDs) }, bare.do(sqlBareFlags)},
		{"STORE every other", nil, func(i int) error { return flags(i, odd(n)) }, bare.do(sqlBareOdd)},
		{"COPY", empty, copies, bare.do(sqlBareCopy)},
		{"EXPUNGE", both(empty, both(fill, bare.do(sqlBareCopy))), expunges, bare.do(sqlBareExpunge)},
		{"EXPUNGE of copies", both(empty, both(copies, bare.do(sqlBareCopy))), expunges, bare.do(sqlBareExpunge)},
		{"MOVE", nil, func(int) error { _, err := a.Move(ctx, box, box, allUIDs); return err }, bare.do(sqlBareMove)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			took := make(map[*func(int) error]time.Duration)
			for i := range b.N {
				if bench.before != nil {
					if err := bench.before(i); err != nil {
						b.Fatal(err)
					}
				}
				for _, f := range []*func(int) error{&bench.run, &bench.bare} {
					began := time.Now()
					if err := (*f)(i); err != nil {
						b.Fatal(err)
					}
					took[f] += time.Since(began)
				}
			}
			b.ReportMetric(100*took[&bench.bare].Seconds()/took[&bench.run].Seconds(), "%ofbare")
			b.ReportMetric(1000*took[&bench.run].Seconds()/float64(b.N), "ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// What the writes of BenchmarkBulk come down to. Mailbox 1 is the one that is full.
const (
	sqlBareTable = `
create table bare (like messages including all) with (fillfactor = 85);
insert into bare (account_id, mailbox_id, uid, modseq, blob_id, idate, savedate, size, hsize)
select account_id, 1, uid, modseq, blob_id, idate, savedate, size, hsize
from messages`

	sqlBareFlags   = `update bare set flags = flags # 1, modseq = modseq + 1 where mailbox_id = 1 and account_id = $1`
	sqlBareOdd     = `update bare set flags = flags # 1, modseq = modseq + 1 where mailbox_id = 1 and account_id = $1 and uid % 2 = 1`
	sqlBareExpunge = `delete from bare where mailbox_id = 2 and account_id = $1`
	sqlBareCopy    = `
insert into bare (account_id, mailbox_id, uid, modseq, blob_id, idate, savedate, size, hsize)
select account_id, 2, uid, modseq, blob_id, idate, savedate, size, hsize
from bare
where mailbox_id = 1 and account_id = $1`

	sqlBareMove = `
with d as (delete from bare where mailbox_id = 1 and account_id = $1 returning *)
insert into bare (account_id, mailbox_id, uid, modseq, blob_id, idate, savedate, size, hsize)
select account_id, mailbox_id, uid + 10000, modseq, blob_id, idate, savedate, size, hsize
from d`
)

type bareRows struct{ a *account }

// newBareRows copies the rows of messages into a table of their own.
func newBareRows(b *testing.B, a *account) bareRows {
	b.Helper()
	if _, err := a.s.pool.Exec(context.Background(), sqlBareTable); err != nil {
		b.Fatal(err)
	}
	return bareRows{a}
}

// do runs a statement on the rows.
func (r bareRows) do(sql string) func(int) error {
	return func(int) error { _, err := r.a.s.pool.Exec(context.Background(), sql, r.a.id); return err }
}

// fillRows makes messages without bodies.
func fillRows(t testing.TB, a *account, box store.MailboxID, n int) {
	t.Helper()
	const sql = `
with s as (
  update mailbox_state
  set uidnext = uidnext + $3::int, modseq = modseq + 1, n_msgs = n_msgs + $3::int, n_unseen = n_unseen + $3::int, bytes = bytes + 1000 * $3::int
  where account_id = $1 and mailbox_id = $2
  returning uidnext - $3::int - 1 as last, modseq, (extract(epoch from clock_timestamp()) * 1e6)::bigint as blob
)
insert into messages (account_id, mailbox_id, uid, modseq, blob_id, idate, savedate, size, hsize)
select $1, $2, last + g, modseq, blob + g, 0, 0, 1000, 100
from s, generate_series(1, $3::int) g`
	if _, err := a.s.pool.Exec(context.Background(), sql, a.id, box, n); err != nil {
		t.Fatal(err)
	}
}
