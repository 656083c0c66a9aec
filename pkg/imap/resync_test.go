package imap

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern/pkg/store"
	"postern/pkg/store/postgres"
	"postern/pkg/store/postgres/pgtest"

	"github.com/emersion/go-imap/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// TestResync has a client come back after 100 changes: it is told of exactly those, and the number of SQL statements is
// the same whether the mailbox holds a thousand messages or a hundred thousand.
func TestResync(t *testing.T) {
	t.Parallel()
	few, many := comeBack(t, 1000), comeBack(t, 100_000)
	if few != many { // what the store does behind the sessions' backs may have been counted too: it only adds
		few, many = min(few, comeBack(t, 1000)), min(many, comeBack(t, 100_000))
	}
	if few != many || few == 0 || few > 10 {
		t.Errorf("%v statements with 1,000 messages, %v with 100,000", few, many)
	}
	t.Logf("%v statements", few)
}

// comeBack returns how many statements it took a server that knows the mailbox as it was before the changes.
func comeBack(t *testing.T, n int) float64 {
	t.Helper()
	url, registry := pgtest.New(t), prometheus.NewRegistry()
	here, elsewhere := openPostgres(t, url, registry), openPostgres(t, url, nil)
	id, err := elsewhere.CreateAccount(t.Context(), testUser, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	pgtest.Fill(t, url, testUser, n)
	w := newWorld(t, func(testing.TB) (store.Store, store.AccountID) { return here, id })
	before := w.login(t).exchange(t, "before EXAMINE INBOX (CONDSTORE)")
	if n >= 100_000 { // smaller ones are read row by row
		pgtest.AwaitPacked(t, url, n)
	}

	a, err := elsewhere.Account(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	want := change100(t, a, n)
	c := w.login(t)
	c.exchange(t, "enable ENABLE QRESYNC")
	start := settled(t, registry)
	began := time.Now()
	told := c.exchange(t, fmt.Sprintf("back EXAMINE INBOX (QRESYNC (%s %s))", code(before, "UIDVALIDITY"), code(before, "HIGHESTMODSEQ")))
	took := statements(t, registry) - start
	t.Logf("%d messages: %v", n, time.Since(began))
	if got := toldChanges(told); !slices.Equal(got, want) {
		t.Errorf("%d messages: told\n%q, want\n%q", n, got, want)
	}
	return took
}

// settled returns how many statements have been run, once the work behind the sessions' backs has ended for now.
func settled(t *testing.T, r *prometheus.Registry) float64 {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	last := statements(t, r)
	for quiet := 0; quiet < 10; quiet++ {
		<-tick.C
		if now := statements(t, r); now != last {
			last, quiet = now, 0
		}
	}
	return last
}

func openPostgres(t *testing.T, url string, r prometheus.Registerer) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Options{
		URL: url, MasterKey: bytes.Repeat([]byte("k"), 32), Poll: time.Hour, Registerer: r, MaxConns: 4,
		IndexFrom: -1, // or indexing, which begins when it likes, counts too
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// changed marks the messages whose flags change.
const changed imap.Flag = "$Changed"

// change100 makes a hundred changes, one command each, to a mailbox of n messages and returns what a client must hear.
func change100(t *testing.T, a store.Account, n int) (want []string) {
	t.Helper()
	box, err := a.Mailbox(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	var gone imap.UIDSet
	for i := range 40 {
		uid := imap.UID(1 + i*n/40)
		if _, err := a.Expunge(t.Context(), box.ID, imap.UIDSetNum(uid), store.Actor{}); err != nil {
			t.Fatal(err)
		}
		gone.AddNum(uid)
		flagged := uid + 3
		ch := store.FlagChange{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{changed}}
		if _, err := a.SetFlags(t.Context(), box.ID, imap.UIDSetNum(flagged), ch); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprintf("%d %s", flagged, changed))
	}
	for i := range 20 {
		if err := deliver(t, a, box.ID, []byte("Subject: new\r\n\r\n"), nil, 1); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprintf("%d ", n+1+i))
	}
	return append([]string{"vanished " + gone.String()}, want...)
}

var (
	fetchLine    = regexp.MustCompile(`^\* \d+ FETCH \(UID (\d+) .*FLAGS \(([^)]*)\)`)
	vanishedLine = regexp.MustCompile(`^\* VANISHED \(EARLIER\) (\S+)`)
)

// toldChanges returns what untagged responses say has changed.
func toldChanges(lines []string) (told []string) {
	for _, line := range lines {
		if m := fetchLine.FindStringSubmatch(line); m != nil {
			mark := ""
			if strings.Contains(m[2], string(changed)) {
				mark = string(changed)
			}
			told = append(told, m[1]+" "+mark)
		}
		if m := vanishedLine.FindStringSubmatch(line); m != nil {
			told = append([]string{"vanished " + m[1]}, told...)
		}
	}
	return told
}

// code returns the argument of a response code.
func code(lines []string, name string) string {
	for _, line := range lines {
		if _, rest, ok := strings.Cut(line, "["+name+" "); ok {
			value, _, _ := strings.Cut(rest, "]")
			if _, err := strconv.Atoi(value); err == nil {
				return value
			}
		}
	}
	return "none"
}

// statements reads how many SQL statements the store has run.
func statements(t *testing.T, r *prometheus.Registry) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "postern_sql_statements_total" {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatal("no count of statements")
	return 0
}
