package gateway_test

import (
	"path/filepath"
	"testing"
	"time"

	"postern/pkg/store/postgres/pgtest"
)

// BenchmarkLargeMailbox prints what SELECT of a mailbox of 100,000 messages costs that this process knows: statements, and
// milliseconds beyond one bare statement (ms-beyond). Expected: none when it is alone on the database, which it is a second
// after the accounts were made, and 1 before; and at most 1. Then UID FETCH 1:* (FLAGS) of the same mailbox. Expected: 0 statements.
func BenchmarkLargeMailbox(b *testing.B) {
	dsn := pgtest.Durable(b)
	g := startGateway(b, dsn)
	user := g.accounts(b, 1)[0]
	pgtest.Fill(b, dsn, user, 100_000)
	floor := pgtest.NewFloor(b, dsn, 1)
	c := dialIMAP(b, g.addr("imap"), user)
	c.command(b, "SELECT INBOX")
	b.Run("SELECT", func(b *testing.B) {
		var bare, ours time.Duration
		before, n := g.statements(b), 0
		for b.Loop() {
			ours += timed(func() { c.command(b, "SELECT INBOX") })
			bare += timed(func() { floor.Select(b) })
			n++
		}
		b.ReportMetric((ours-bare).Seconds()*1000/float64(n), "ms-beyond")
		b.ReportMetric((g.statements(b)-before)/float64(n), "statements")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("FETCH FLAGS", func(b *testing.B) {
		before, n := g.statements(b), 0
		for b.Loop() {
			c.command(b, "UID FETCH 1:* (FLAGS)")
			n++
		}
		b.ReportMetric(b.Elapsed().Seconds()*1000/float64(n), "ms")
		b.ReportMetric((g.statements(b)-before)/float64(n), "statements")
		b.ReportMetric(0, "ns/op")
	})
}

// statements is how many statements the gateway has run.
func (g *inProcess) statements(b *testing.B) float64 {
	b.Helper()
	families, err := g.registry.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "postern_sql_statements_total" {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	b.Fatal("statements are not counted")
	return 0
}

// BenchmarkMillion prints what UID FETCH 1:* (FLAGS) of 1,000,000 messages costs the program: its resident memory at its
// highest over that before the command (MB-peak), how long the first line takes (ms-first), and how long another session's
// NOOP takes meanwhile at worst (ms-NOOP). Expected: at most 64, 500 and 100. Beside it what a session on that mailbox adds
// to memory (MB-session). Expected: at most 16.
func BenchmarkMillion(b *testing.B) {
	dsn := pgtest.Durable(b)
	g := startGateway(b, dsn)
	users := g.accounts(b, 2)
	pgtest.Fill(b, dsn, users[0], 1_000_000)
	s := g.second(b)
	c, other := dialIMAP(b, s.imap, users[0]), dialIMAP(b, s.imap, users[1])
	c.command(b, "SELECT INBOX")
	before := s.settled(b)
	again := dialIMAP(b, s.imap, users[0])
	again.command(b, "SELECT INBOX")
	session := s.settled(b) - before
	var peak int64
	var first, noop time.Duration
	for b.Loop() {
		peak = max(peak, s.peak(b, func() {
			noop = max(noop, other.beside(b, func() {
				first = max(first, c.firstLine(b, "UID FETCH 1:* (FLAGS)"))
				c.answer(b, "t ")
			}))
		}))
	}
	b.ReportMetric(float64(peak)/1e6, "MB-peak")
	b.ReportMetric(float64(session)/1e6, "MB-session")
	b.ReportMetric(first.Seconds()*1000, "ms-first")
	b.ReportMetric(noop.Seconds()*1000, "ms-NOOP")
	b.ReportMetric(0, "ns/op")
}

// beside has a session say NOOP again and again while work is done, and returns how long the slowest took.
func (c *imapClient) beside(b *testing.B, work func()) (slowest time.Duration) {
	b.Helper()
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			default:
				slowest = max(slowest, timed(func() { c.command(b, "NOOP") }))
			}
		}
	}()
	work()
	close(done)
	<-stopped
	return slowest
}

// BenchmarkNeighbour prints how long another session's NOOP takes at worst (ms-NOOP) while one works its way through 20,000 mails
// of 22 KB, and how long that takes (ms). Expected: ms-NOOP of at most 100. The index is of no help to these searches.
func BenchmarkNeighbour(b *testing.B) {
	dsn := pgtest.Durable(b)
	g := startGateway(b, dsn)
	users := g.accounts(b, 2)
	send(b, dialLMTP(b, g.addr("lmtp"), deliverers), newMails(), 20_000, func(int) string { return users[0] })
	s := g.second(b)
	c, other := dialIMAP(b, s.imap, users[0]), dialIMAP(b, s.imap, users[1])
	c.command(b, "SELECT INBOX")
	for _, work := range []string{
		"SEARCH TEXT zq",
		"SEARCH FUZZY TEXT zq",
		"UID FETCH 1:* (ENVELOPE BODYSTRUCTURE)",
		"UID FETCH 1:* (BODY.PEEK[])",
		"SORT RETURN (COUNT) (SUBJECT) UTF-8 ALL",
	} {
		b.Run(work, func(b *testing.B) {
			var slowest, took time.Duration
			for b.Loop() {
				slowest = max(slowest, other.beside(b, func() { took += timed(func() { c.command(b, work) }) }))
			}
			b.ReportMetric(slowest.Seconds()*1000, "ms-NOOP")
			b.ReportMetric(took.Seconds()*1000/float64(b.N), "ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkSlowReader lets clients ask for 40 MB of mail each and read none of it, and prints by how much the program's
// resident memory exceeds what it was (MB/client) and how many database connections they hold. Expected: at most 4, and 0.
func BenchmarkSlowReader(b *testing.B) {
	const clients, count = 20, 2000
	s, err := startServer(filepath.Join(workDir, "slow"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.stop()
	const user = "slow@example.org"
	if _, err := s.postern(password+"\n", "account", "add", user, "--password-stdin"); err != nil {
		b.Fatal(err)
	}
	send(b, dialLMTP(b, s.lmtp, deliverers), newMails(), count, func(int) string { return user })
	var cs []*imapClient
	for range clients {
		c := dialIMAP(b, s.imap, user)
		c.command(b, "SELECT INBOX")
		cs = append(cs, c)
	}
	before := s.settled(b)
	for _, c := range cs { // once: they do not get any further
		c.firstLine(b, "UID FETCH 1:* (BODY.PEEK[])")
	}
	b.ReportMetric(float64(s.settled(b)-before)/1e6/clients, "MB/client")
	b.ReportMetric(s.metric(b, "postern_sql_connections_in_use"), "db-conns-in-use")
	b.ReportMetric(0, "ns/op")
}
