package gateway_test

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"postern/pkg/store/postgres/pgtest"
)

var grown = flag.Int("grown", 1_000_000, "messages in the largest mailbox of BenchmarkGrowth")

// growing is a mailbox of BenchmarkGrowth.
type growing struct {
	n      int
	user   string
	imap   *imapClient
	lmtp   *lmtpClient
	copied int // the last message of INBOX that has been copied
}

// BenchmarkGrowth does the same in mailboxes of a hundredth, a tenth and all of -grown messages, by turns, and prints what it
// takes at the median, in microseconds: for a message where there are many (FETCH, SEARCH, COPY), else for the command. The
// ratio is that of the largest mailbox to the smallest; ratioCPU is that of what this process takes on the mean, which other
// work on the machine does not change. Expected: at most 1.5.
func BenchmarkGrowth(b *testing.B) {
	dsn := pgtest.Durable(b)
	g := startGateway(b, dsn, "POSTERN_STORE_INDEX_FROM=0") // there are no bodies to read
	mails := newMails()
	var boxes []*growing
	for i, user := range g.accounts(b, 3) {
		n := *grown / []int{100, 10, 1}[i]
		pgtest.Fill(b, dsn, user, n)
		box := &growing{n: n, user: user, imap: dialIMAP(b, g.addr("imap"), user), lmtp: dialLMTP(b, g.addr("lmtp"), 1)[0]}
		box.imap.command(b, "SELECT INBOX")
		boxes = append(boxes, box)
	}
	for _, work := range []struct {
		name   string
		per    func(box *growing) int // messages
		before func(box *growing, i int) string
		do     func(box *growing, i int) string // a command, or none for a delivery
	}{
		{name: "deliver"},
		{name: "SELECT", do: func(*growing, int) string { return "SELECT INBOX" }},
		{name: "FETCH FLAGS", per: func(box *growing) int { return box.n }, do: func(*growing, int) string { return "UID FETCH 1:* (FLAGS)" }},
		{name: "SEARCH", per: func(box *growing) int { return box.n }, do: func(*growing, int) string { return "UID SEARCH RETURN (COUNT) FLAGGED UNSEEN" }},
		{name: "STORE one", do: func(box *growing, i int) string {
			return fmt.Sprintf("UID STORE %d %cFLAGS (\\Flagged)", box.n/2, "+-"[i%2])
		}},
		{name: "COPY 100", per: func(*growing) int { return 100 }, do: func(box *growing, _ int) string {
			box.copied += 100
			return fmt.Sprintf("UID COPY %d:%d Archive", box.copied-99, box.copied)
		}},
		{
			name: "EXPUNGE one",
			before: func(box *growing, i int) string {
				return fmt.Sprintf("UID STORE %d +FLAGS.SILENT (\\Deleted)", box.n-i)
			},
			do: func(box *growing, i int) string { return fmt.Sprintf("UID EXPUNGE %d", box.n-i) },
		},
	} {
		b.Run(work.name, func(b *testing.B) {
			took, used := make([][]time.Duration, len(boxes)), make([]time.Duration, len(boxes))
			for i := 0; b.Loop(); i++ {
				for k, box := range boxes {
					if work.before != nil {
						box.imap.command(b, work.before(box, i))
					}
					used[k] -= processCPU(b)
					took[k] = append(took[k], timed(func() { box.run(b, mails, work.do, i) }))
					used[k] += processCPU(b)
				}
			}
			cost, cpu := make([]float64, len(boxes)), make([]float64, len(boxes))
			for k, box := range boxes {
				slices.Sort(took[k])
				messages := 1
				if work.per != nil {
					messages = work.per(box)
				}
				cost[k] = float64(took[k][len(took[k])/2].Nanoseconds()) / 1000 / float64(messages)
				cpu[k] = used[k].Seconds() / float64(messages)
				b.ReportMetric(cost[k], fmt.Sprintf("µs/%d", box.n))
			}
			b.ReportMetric(cost[len(cost)-1]/cost[0], "ratio")
			b.ReportMetric(cpu[len(cpu)-1]/cpu[0], "ratioCPU")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func (box *growing) run(b *testing.B, m *mails, command func(*growing, int) string, i int) {
	if command != nil {
		box.imap.command(b, command(box, i))
	} else if err := box.lmtp.deliver(box.user, m.mail()); err != nil {
		b.Fatal(err)
	}
}
