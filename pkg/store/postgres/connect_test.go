package postgres

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
	"postern/pkg/store/postgres/pgtest"
)

// TestStandbyIsNotKept has the address lead to a server that takes no writes, for a while, as in a failover: the
// connections made meanwhile must not outlive it.
func TestStandbyIsNotKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	way := newLine(t, f.url)
	s := f.open(func(o *Options) { o.URL = way.url })
	a := f.on(s)
	cfg, err := pgx.ParseConfig(f.url)
	if err != nil {
		t.Fatal(err)
	}
	name := pgx.Identifier{cfg.Database}.Sanitize()
	f.exec(`alter database ` + name + ` set default_transaction_read_only = on`)
	way.cut()
	way.mend()
	f.await("the standby to be refused", func() bool {
		_, err := a.Create(t.Context(), "new")
		return errors.Is(err, store.ErrUnavailable) && s.pool.Stat().TotalConns() == 0 // those that were cut have been noticed
	})
	f.exec(`alter database ` + name + ` reset default_transaction_read_only`)
	for i := range 20 {
		if _, err := a.Create(t.Context(), "new"+string(rune('a'+i))); err != nil {
			t.Fatalf("%d after the primary is back: %v", i, err)
		}
	}
}

// TestSilentConnections has the way to the server swallow what is sent on the connections there are, as a router does
// that has lost its table. New ones work.
func TestSilentConnections(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	way := newLine(t, f.url)
	defer way.cut()
	a := f.on(f.open(func(o *Options) { o.URL = way.url }))
	f.mail(plain("one", 10))
	f.openInbox(a)
	f.await("the connections to be idle", func() bool { // what is under way when they fall silent waits for longer
		stat := a.s.pool.Stat()
		return stat.IdleConns() == stat.TotalConns()
	})
	way.swallow()
	<-time.After(1500 * time.Millisecond) // pgxpool asks those that were idle for a second
	start := time.Now()
	snap := f.openInbox(a)
	if took := time.Since(start); snap.Len() != 1 || took > 10*time.Second {
		t.Errorf("%d messages after %v", snap.Len(), took)
	}
}

// TestKeepsConns: connections that are to be there are, before anybody asks for them.
func TestKeepsConns(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.open(func(o *Options) { o.KeepConns = 5 })
	f.await("the connections", func() bool { return s.pool.Stat().IdleConns() >= 5 })
}

// TestSilentHost: a host that does not answer is given up for the next one of the URL, in time.
func TestSilentHost(t *testing.T) {
	t.Parallel()
	mute, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	f := newFixture(t)
	way := newLine(t, f.url)
	start := time.Now()
	s := f.open(func(o *Options) { o.URL = strings.Replace(way.url, "@", "@"+mute.Addr().String()+",", 1) })
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("Open took %v", took)
	}
	f.mail(plain("one", 10))
	if f.openInbox(f.on(s)).Len() != 1 {
		t.Error("cannot read")
	}
}

// TestWarm: a connection is made ready without an error, and then has plans that fit any mailbox.
func TestWarm(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // the database is dropped
	if err := warm(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{sqlStateByName, sqlStateByID, sqlSegments, sqlJournalUnpacked, sqlArrivalsUnpacked} {
		var plans int
		if err := conn.QueryRow(t.Context(), `select generic_plans from pg_prepared_statements where statement = $1`, sql).Scan(&plans); err != nil || plans == 0 {
			t.Errorf("%d plans kept, %v: %s", plans, err, sql)
		}
	}
}

// TestPlansAmongFew: statements go by keys where three mailboxes are the whole table, too: those for any mailbox, and those for the
// last messages of one in which UIDs are lower than in the others.
func TestPlansAmongFew(t *testing.T) {
	t.Parallel()
	s := newFixture(t).s
	conn, err := s.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for _, sql := range []string{
		`insert into messages (account_id, mailbox_id, uid, modseq, blob_id, idate, savedate, size, hsize)
		 select 1, 1 + n / 20000, n, 1, n, 0, 0, 0, 0 from generate_series(0, 59999) n`,
		`analyze messages`,
		`set random_page_cost = 20`, // what would be so in a table of millions
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if plan := explainWith(t, conn.Conn(), "arrivals", sqlArrivals, "1", "1", "20000"); !strings.Contains(plan, "messages_pkey") {
		t.Errorf("arrivals:\n%s", plan)
	}
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background()) // nothing is written
	if _, err := tx.Exec(t.Context(), sqlPlanOnce); err != nil {
		t.Fatal(err)
	}
	for name, sql := range map[string]string{"all": sqlArrivals, "unpacked": sqlArrivalsUnpacked, "journal": sqlJournalUnpacked} {
		if plan := explain(t, conn.Conn(), name, sql); plan == "" || strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Sort") {
			t.Errorf("%s:\n%s", name, plan)
		}
	}
}

// TestWarmGivesUp: a connection is of use although its first statements would have to wait.
func TestWarmGivesUp(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	conns := make([]*pgx.Conn, 2)
	for i := range conns {
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background()) //nolint:errcheck // the database is dropped
		conns[i] = conn
	}
	if _, err := conns[0].Exec(t.Context(), `begin; lock table messages in access exclusive mode`); err != nil {
		t.Fatal(err)
	}
	var limit string
	err := warm(t.Context(), conns[1])
	if err == nil {
		err = conns[1].QueryRow(t.Context(), `show statement_timeout`).Scan(&limit)
	}
	if err != nil || limit != "0" || conns[1].PgConn().TxStatus() != 'I' {
		t.Errorf("%v; statement_timeout is %q, the transaction %c", err, limit, conns[1].PgConn().TxStatus())
	}
}
