package postgres

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"postern/pkg/order"
	"postern/pkg/store"
)

// conversation makes messages of a mailing list: some begin threads, the others answer one of the last fifty.
func conversation(f *fixture, n int) {
	f.Helper()
	r := rand.New(rand.NewPCG(11, 12))
	refs := make([]string, n)
	subjects := make([]string, n)
	start := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	var texts []string
	for i := range n {
		subjects[i] = fmt.Sprintf("%s %d of the week", []string{"Question", "Report", "Minutes", "Lunch"}[r.IntN(4)], r.IntN(n))
		head := "Subject: [list] " + subjects[i]
		if i > 0 && r.IntN(10) < 7 {
			p := max(0, i-1-r.IntN(50))
			subjects[i] = subjects[p]
			refs[i] = fmt.Sprintf("%s <%d.%d@example.org>", refs[p], p, p*7)
			refs[i] = refs[i][max(0, len(refs[i])-400):]
			head = fmt.Sprintf("Subject: Re: [list] %s\r\nReferences:%s", subjects[i], refs[i])
		}
		texts = append(texts, fmt.Sprintf("From: \"User %d\" <user%d@example.org>\r\nTo: list@example.org\r\nDate: %s\r\n"+
			"Message-ID: <%d.%d@example.org>\r\n%s\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nText.\r\n",
			i%300, i%300, start.Add(time.Duration(i*600+r.IntN(6000))*time.Second).Format(time.RFC1123Z), i, i*7, head))
		if len(texts) == 500 || i == n-1 {
			f.mail(texts...)
			texts = texts[:0]
		}
	}
	f.exec(`vacuum analyze messages`)
}

// ordered is what SORT ALL and THREAD ALL do, from the snapshot to the order.
func (f *fixture) ordered(ctx context.Context, s *Store, snap *store.Snapshot, run func([]order.Message)) {
	f.Helper()
	a := f.on(s)
	uids, err := a.Search(ctx, snap, &store.Criteria{})
	if err != nil {
		f.Fatal(err)
	}
	keys, err := a.Keys(ctx, snap, uids)
	if err != nil {
		f.Fatal(err)
	}
	msgs := make([]order.Message, len(uids))
	for i, uid := range uids {
		at, _ := snap.Find(uid)
		msgs[i] = order.Message{Key: keys[i], Received: snap.Received(at).UnixMilli(), Size: snap.Size(at)}
	}
	run(msgs)
}

var sorted = flag.Int("sorted", 100_000, "messages in the mailbox that BenchmarkSort sorts")

// BenchmarkSort is SORT and THREAD of a large mailbox (-sorted): with keys that the indexer has stored (cold: the first time in
// this process), with keys in memory (warm), and with keys that must be made, of a mailbox that is not indexed (never).
func BenchmarkSort(b *testing.B) {
	f := newFixture(b, func(o *Options) { o.IndexFrom, o.IndexLoad = -1, 100 })
	conversation(f, *sorted)
	f.index(f.inbox)
	b.Logf("%d keys in %d segments of %d octets stored", f.number(`select sum(n) from sort_keys`), f.number(`select count(*) from sort_keys`),
		f.number(`select sum(length(data)) from sort_keys`))
	snap := f.openInbox(f.a)
	ctx := b.Context()
	runs := []struct {
		name string
		run  func([]order.Message)
	}{
		{"SORT(SUBJECT)", func(m []order.Message) { order.Sort(m, []order.Criterion{{By: order.BySubject}}) }},
		{"SORT(REVERSE-DATE)", func(m []order.Message) { order.Sort(m, []order.Criterion{{By: order.Date, Reverse: true}}) }},
		{"THREAD=REFERENCES", func(m []order.Message) { order.References(m) }},
		{"THREAD=ORDEREDSUBJECT", func(m []order.Message) { order.OrderedSubject(m) }},
		{"THREAD=REFS", func(m []order.Message) { order.Refs(m) }},
	}
	forget := func() { f.s.sortKeys = newKeyCache(f.s.sortKeys.limit, f.s.metrics) }
	for _, r := range runs[:3] {
		b.Run("cold/"+r.name, func(b *testing.B) {
			used := cpu()
			for b.Loop() {
				forget()
				f.ordered(ctx, f.s, snap, r.run)
			}
			b.ReportMetric(1000*(cpu()-used).Seconds()/float64(b.N), "msCPU/op")
		})
	}
	b.Logf("%d octets in memory", f.s.sortKeys.bytes)
	for _, r := range runs {
		b.Run("warm/"+r.name, func(b *testing.B) {
			for b.Loop() {
				f.ordered(ctx, f.s, snap, r.run)
			}
		})
	}
	b.Run("never/SORT(SUBJECT)", func(b *testing.B) {
		used := cpu()
		for b.Loop() {
			f.exec(`truncate sort_keys`)
			forget()
			f.ordered(ctx, f.s, snap, runs[0].run)
		}
		b.ReportMetric(1000*(cpu()-used).Seconds()/float64(b.N), "msCPU/op")
	})
}
