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

// BenchmarkBulk changes, copies, moves and expunges 10,000 messages at once.
func BenchmarkBulk(b *testing.B) {
	const n = 10_000
	ctx, s := context.Background(), durable(b)
	a, box := addAccount(b, s, "ann@example.org", 0)
	archive := boxOf(b, a, "Archive").ID
	fillRows(b, a, box, n)
	flags := func(i int, set imap.UIDSet) error {
		op := []imap.StoreFlagsOp{imap.StoreFlagsAdd, imap.StoreFlagsDel}[i%2]
		_, err := a.SetFlags(ctx, box, set, store.FlagChange{Op: op, Flags: []imap.Flag{imap.FlagSeen}})
		return err
	}
	copies := func() error { _, err := a.Copy(ctx, box, archive, allUIDs); return err }
	expunges := func() error { _, err := a.Expunge(ctx, archive, allUIDs, store.Actor{}); return err }
	for _, bench := range []struct {
		name        string
		before, run func(i int) error
	}{
		{"STORE", nil, func(i int) error { return flags(i, allUIDs) }},
		{"STORE every other", nil, func(i int) error { return flags(i, odd(n)) }},
		{"COPY", func(int) error { return expunges() }, func(int) error { return copies() }},
		{"EXPUNGE", func(i int) error {
			if i == 0 { // what the last COPY left
				return errors.Join(expunges(), copies())
			}
			return copies()
		}, func(int) error { return expunges() }},
		{"MOVE", nil, func(int) error { _, err := a.Move(ctx, box, box, allUIDs); return err }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			for i := range b.N {
				if bench.before != nil {
					b.StopTimer()
					if err := bench.before(i); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				if err := bench.run(i); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// fillRows makes messages without bodies.
func fillRows(t testing.TB, a *account, box store.MailboxID, n int) {
	t.Helper()
	const sql = `
with s as (
  update mailbox_state
  set uidnext = uidnext + $3::int, modseq = modseq + 1, n_msgs = n_msgs + $3::int, n_unseen = n_unseen + $3::int, bytes = bytes + 1000 * $3::int
  where account_id = $1 and mailbox_id = $2
)
insert into messages (account_id, mailbox_id, uid, modseq, blob_id, idate, savedate, size, hsize)
select $1, $2, g, 2, g, 0, 0, 1000, 100
from generate_series(1, $3::int) g`
	if _, err := a.s.pool.Exec(context.Background(), sql, a.id, box, n); err != nil {
		t.Fatal(err)
	}
}
