package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"postern/pkg/store"
)

// sqlPresent counts the connections that hold the lock by which processes know of each other.
const sqlPresent = `
select count(*)
from pg_locks
where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())
  and objid::bigint = $1::bigint & 4294967295 and mode = $2 and granted`

// listening waits until so many stores listen to the database. One that does so again wakes everybody once, which may be a
// little later.
func (f *fixture) listening(n int64) {
	f.await("the listeners", func() bool { return f.number(sqlPresent, presenceLock, "ShareLock") == n })
}

// forOne returns of what a Watch was woken for what is not everything: see listening.
func forOne(boxes []store.MailboxID) []store.MailboxID {
	return slices.DeleteFunc(boxes, func(box store.MailboxID) bool { return box == 0 })
}

// TestWatchAcrossProcesses: what is written through one store wakes those who watch through another.
func TestWatchAcrossProcesses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other := f.open()
	f.listening(2)
	here, there := f.s.Watch(f.a.id), other.Watch(f.a.id)
	defer here.Close()
	defer there.Close()
	b := f.on(other)
	snap := f.openInbox(b)
	there.Take()
	for i := range 3 {
		f.mail(plain("news", 10))
		f.woken(here)
		f.await("EXISTS in the other process", func() bool {
			f.woken(there)
			var err error
			if snap, _, err = b.Refresh(t.Context(), snap); err != nil {
				t.Fatal(err)
			}
			return snap.Len() == i+1
		})
	}
	if boxes := forOne(here.Take()); len(boxes) != 1 || boxes[0] != f.inbox {
		t.Errorf("woken for %v, want INBOX alone", boxes)
	}
}

// TestPollFindsWhatWasNotHeard: the database changes, and nobody says so.
func TestPollFindsWhatWasNotHeard(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *Options) { o.Poll = 10 * time.Millisecond })
	f.listening(1)
	snap := f.openInbox(f.a)
	w := f.s.Watch(f.a.id)
	defer w.Close()
	f.fill(3)
	var boxes []store.MailboxID
	for len(boxes) == 0 {
		f.woken(w)
		boxes = forOne(w.Take())
	}
	if len(boxes) != 1 || boxes[0] != f.inbox {
		t.Errorf("woken for %v", boxes)
	}
	now, ch, err := f.a.Refresh(t.Context(), snap)
	if err != nil || len(ch.Added) != 3 {
		t.Errorf("%+v, %v", ch, err)
	}
	if f.s.live.news(boxKey{f.a.id, f.inbox}, now.ModSeq()) {
		t.Error("what a session has seen is news to poll")
	}
	w.Close()
	if ids, _ := f.s.live.watched(f.s.hub.Accounts(), time.Now()); len(ids) != 0 {
		t.Error("mailboxes of accounts that nobody watches are looked at")
	}
}

// TestListenerReconnects: the listening connection dies; everyone is woken when there is another, and hears again.
func TestListenerReconnects(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	f := newFixture(t, func(o *Options) { o.Log = zap.New(core) })
	other := f.open()
	f.listening(2)
	w := f.s.Watch(f.a.id)
	defer w.Close()
	f.exec(`select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and mode = 'ShareLock' and ` +
		`database = (select oid from pg_database where datname = current_database())`)
	f.woken(w)
	f.listening(2)
	w.Take()
	if err := f.on(other).Subscribe(t.Context(), "x", true); err != nil {
		t.Fatal(err)
	}
	f.woken(w)
	f.await("both lines", func() bool { return logs.Len() >= 2 })
	if logs.FilterMessageSnippet("away").Len() != 1 || logs.FilterMessageSnippet("back").Len() != 1 {
		t.Errorf("%v", logs.All())
	}
}

// TestDatabaseAway cuts every connection, refuses new ones, and lets the database come back.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	f := newFixture(t)
	line := newLine(t, f.url)
	s := f.open(func(o *Options) { o.URL, o.Log, o.Poll = line.url, zap.New(core), 10*time.Millisecond })
	a := f.on(s)
	snap := f.openInbox(a)
	w := s.Watch(f.a.id)
	defer w.Close()
	line.cut()
	f.await("the loss to be noticed", func() bool { return logs.FilterMessageSnippet("away").Len() > 0 })
	for range 5 {
		if _, _, err := a.Refresh(t.Context(), snap); !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("Refresh: %v", err)
		}
	}
	f.mail(plain("meanwhile", 10))
	line.mend()
	f.await("the message", func() bool {
		now, _, err := a.Refresh(t.Context(), snap)
		return err == nil && now.Len() == 1
	})
	f.await("the line that says so", func() bool { return logs.FilterMessageSnippet("back").Len() > 0 })
	if logs.FilterMessageSnippet("away").Len() != 1 || logs.FilterMessageSnippet("back").Len() != 1 {
		t.Errorf("%v", logs.All())
	}
}

// line is a way to the database that can be cut.
type line struct {
	url      string
	listener net.Listener
	to       func() (net.Conn, error)

	muted    atomic.Int64 // connections made before it grew are mute
	heedless atomic.Bool  // nobody is asked to give up a statement

	mu    sync.Mutex
	dead  bool
	conns []net.Conn
}

func newLine(t *testing.T, target string) *line {
	t.Helper()
	cfg, err := pgx.ParseConfig(target)
	if err != nil {
		t.Fatal(err)
	}
	l := &line{}
	if l.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.cut(); l.listener.Close() })
	l.to = func() (net.Conn, error) {
		if cfg.Host[0] == '/' {
			return net.Dial("unix", fmt.Sprintf("%s/.s.PGSQL.%d", cfg.Host, cfg.Port))
		}
		return net.Dial("tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))))
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(cfg.User, cfg.Password), Host: l.listener.Addr().String()}
	u.Path, u.RawQuery = cfg.Database, "sslmode=disable"
	l.url = u.String()
	go l.serve()
	return l
}

func (l *line) serve() {
	for {
		c, err := l.listener.Accept()
		if err != nil {
			return
		}
		d, err := l.to()
		if l.heedless.Load() {
			d = noCancel{d}
		}
		l.mu.Lock()
		if l.dead || err != nil {
			c.Close()
		} else {
			l.conns = append(l.conns, c, d)
			born := l.muted.Load()
			mute := func() bool { return l.muted.Load() > born }
			go pump(c, d, mute)
			go pump(d, c, mute)
		}
		l.mu.Unlock()
	}
}

func pump(from, to net.Conn, mute func() bool) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if err == nil && !mute() {
			_, err = to.Write(b[:n])
		}
		if err != nil {
			to.Close()
			return
		}
	}
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = true
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

// swallow makes the connections there are mute, from both ends; they stay open.
func (l *line) swallow() { l.muted.Add(1) }

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = false
}

func TestClaimRecent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mail(plain("1", 5), plain("2", 5))
	claim := func(a *account, upTo, want imap.UID) {
		t.Helper()
		if from, err := a.ClaimRecent(t.Context(), f.inbox, upTo); err != nil || from != want {
			t.Errorf("claim up to %d: from %d, %v; want %d", upTo, from, err, want)
		}
	}
	box, _, err := f.a.Open(t.Context(), store.Inbox)
	if err != nil || box.Recent != 2 {
		t.Fatalf("%d recent, %v", box.Recent, err)
	}
	f.check("claims", 0, func(ctx context.Context) {
		claim(f.a, 3, 1)
		claim(f.a, 3, 3)
		claim(f.a, 2, 2)
	})
	if box, err = f.a.Mailbox(t.Context(), store.Inbox); err != nil || box.Recent != 0 {
		t.Errorf("STATUS says %d are recent, %v", box.Recent, err)
	}
	f.mail(plain("3", 5))
	if box, _, err = f.a.Open(t.Context(), store.Inbox); err != nil || box.Recent != 1 {
		t.Errorf("%d recent, %v", box.Recent, err)
	}
	claim(f.a, 4, 3)
	f.s.Close() // writes what is claimed
	claim(f.on(f.open()), 4, 4)
}

// TestRecentMarksNeverWait: marks of locked mailboxes are written another time, those of deleted ones forgotten.
func TestRecentMarksNeverWait(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	sent, _, err := f.a.Open(t.Context(), "Sent")
	if err != nil {
		t.Fatal(err)
	}
	f.openInbox(f.a)
	for _, box := range []store.MailboxID{f.inbox, sent.ID} {
		if _, err := f.a.ClaimRecent(t.Context(), box, 5); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := f.s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `select from mailbox_state where mailbox_id = $1 for update`, f.inbox); err != nil {
		t.Fatal(err)
	}
	if err := f.a.Delete(t.Context(), "Sent"); err != nil {
		t.Fatal(err)
	}
	if err := f.s.writeRecent(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, boxes, _ := f.s.recent.unwritten(); len(boxes) != 1 || boxes[0] != int64(f.inbox) {
		t.Errorf("unwritten: %v", boxes)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.s.writeRecent(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, boxes, _ := f.s.recent.unwritten(); len(boxes) != 0 || f.number(`select recent_uid from mailbox_state where mailbox_id = $1`, f.inbox) != 5 {
		t.Error("the mark was not written")
	}
}
