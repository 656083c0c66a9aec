package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/message"
	"postern/pkg/store"
)

// prepared makes a delivery as Append does before it goes to a lane.
func prepared(ctx context.Context, t testing.TB, a *account, box store.MailboxID, drafts ...*store.Draft) *delivery {
	t.Helper()
	d := &delivery{ctx: ctx, a: a, box: box, done: make(chan error, 1)}
	if err := a.prepare(context.Background(), d, drafts); err != nil {
		t.Fatal(err)
	}
	return d
}

func keyed(d *store.Draft, key string) *store.Draft {
	d.DeliveryKey = []byte(key)
	return d
}

// TestCombinedCommit puts good and bad deliveries into one batch: each is answered for itself, and the good ones are
// there.
func TestCombinedCommit(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), openStore(t)
	ann, annBox := addAccount(t, s, "ann@example.org", 0)
	bob, bobBox := addAccount(t, s, "bob@example.org", 30)
	appendTo(t, ann, annBox, keyed(draftOf(t, letter("before", 1)), "seen"))
	gone, cancel := context.WithCancel(ctx)
	cancel()
	small := "A: b\r\n\r\n"
	type step struct {
		d    *delivery
		want error
		uid  imap.UID // of its first message; 0 if it is not stored
	}
	good := []step{
		{prepared(ctx, t, ann, annBox, draftOf(t, small), draftOf(t, small, imap.FlagSeen)), nil, 2},
		{prepared(ctx, t, bob, bobBox, draftOf(t, small)), nil, 1},
		{prepared(gone, t, ann, annBox, draftOf(t, small)), context.Canceled, 0},
		{prepared(ctx, t, bob, bobBox, draftOf(t, letter("big", 200))), store.ErrOverQuota, 0},
		{prepared(ctx, t, ann, annBox, draftOf(t, letter("stored first", 300<<10))), nil, 4},
	}
	mixed := []step{
		{prepared(ctx, t, bob, bobBox, draftOf(t, small)), nil, 2},
		{prepared(ctx, t, ann, annBox+999, draftOf(t, small)), store.ErrNotFound, 0},
		{prepared(ctx, t, ann, annBox, keyed(draftOf(t, small), "seen")), nil, 0},
		{prepared(ctx, t, ann, annBox, keyed(draftOf(t, small), "new")), nil, 5},
		{prepared(ctx, t, bob, bobBox, draftOf(t, small), draftOf(t, small)), store.ErrOverQuota, 0},
	}
	for name, steps := range [][]step{good, mixed} {
		var batch []*delivery
		for _, c := range steps {
			batch = append(batch, c.d)
		}
		(&lane{s: s, life: ctx}).commit(ctx, batch)
		for i, c := range steps {
			if err := failed("deliver", <-c.d.done); !errors.Is(err, c.want) {
				t.Errorf("batch %d, delivery %d: %v, want %v", name, i, err, c.want)
			}
			if got := c.d.arrivals[0].uid; got != c.uid {
				t.Errorf("batch %d, delivery %d: UID %d, want %d", name, i, got, c.uid)
			}
		}
	}
	if box := boxOf(t, ann, store.Inbox); box.Messages != 5 || box.Unseen != 4 {
		t.Errorf("%d messages, %d unseen; want 5, 4", box.Messages, box.Unseen)
	}
}

// TestManyDeliveries delivers from many goroutines to several mailboxes, large and small: each message is there once,
// under the UID its sender was told.
func TestManyDeliveries(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	const writers, each = 12, 8
	accounts, boxes := make([]*account, 5), make([]store.MailboxID, 5)
	for i := range accounts {
		accounts[i], boxes[i] = addAccount(t, s, fmt.Sprintf("user%d@example.org", i), 0)
	}
	texts := make([]map[imap.UID]string, len(accounts))
	for i := range texts {
		texts[i] = make(map[imap.UID]string)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				i := (w + n) % len(accounts)
				text := letter(fmt.Sprintf("from %d, number %d", w, n), 100+(w*n%7)*40_000) + lots(w*n%4*45_000)
				uids, err := accounts[i].Append(context.Background(), boxes[i], keyed(draftOf(t, text), text))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				texts[i][uids[0]] = text
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	total := 0
	for i, a := range accounts {
		total += len(texts[i])
		if box := boxOf(t, a, store.Inbox); int(box.Messages) != len(texts[i]) || int(box.UIDNext) != len(texts[i])+1 {
			t.Errorf("%s has %d messages, UIDNEXT %d; %d were sent", store.Inbox, box.Messages, box.UIDNext, len(texts[i]))
		}
		for uid, text := range texts[i] {
			if got := octetsOf(t, a, store.Inbox, uid); string(got) != text {
				t.Errorf("user%d: UID %d is %.40q…, want %.40q…", i, uid, got, text)
			}
		}
	}
	if total != writers*each {
		t.Errorf("%d messages, want %d", total, writers*each)
	}
	if n := counted(t, s, "select count(*) from blob_gc"); n != 0 {
		t.Errorf("%d intents are left", n)
	}
}

// TestBodyLayout reads back messages around the limits of header column and windows.
func TestBodyLayout(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	a, box := addAccount(t, s, "ann@example.org", 0)
	for _, c := range []struct{ prefix, header, body, parts int }{
		{0, 10, 0, 1},
		{0, 0, 10, 1},
		{40, 10, 10, 1},
		{0, 100, window, 1},
		{0, 100, window + 1, 2},
		{30, 100, 6*window + 5, 7},
		{0, window - 2, 10, 1},
		{0, window, 10, 1},
		{0, window + 500, 10, 1},
		{window + 10, 3*window + 500, 2 * window, 6},
	} {
		d := draftOf(t, field("X-Header", c.header)+"\r\n"+strings.Repeat("b", c.body))
		d.Prefix = []byte(field("X-Prefix", c.prefix))
		uid := appendTo(t, a, box, d)[0]
		want := string(d.Prefix) + field("X-Header", c.header) + "\r\n" + strings.Repeat("b", c.body)
		if got := octetsOf(t, a, store.Inbox, uid); string(got) != want {
			t.Errorf("%+v: %d octets come back of %d", c, len(got), len(want))
		}
		const sql = `select count(*) from bodies b join messages m using (account_id, blob_id) where uid = $1`
		if n := counted(t, s, sql, uid); n != c.parts {
			t.Errorf("%+v: %d parts", c, n)
		}
	}
}

// field makes a header of about n octets, folded.
func field(name string, n int) string {
	if n == 0 {
		return ""
	}
	return name + ": " + strings.Repeat(strings.Repeat("x", 60)+"\r\n ", max(n-len(name), 1)/63) + "y\r\n"
}

// TestLargeBodyNeedsLittleMemory appends a message that would not fit in what is used meanwhile.
func TestLargeBodyNeedsLittleMemory(t *testing.T) {
	s := openStore(t) // not parallel: it looks at the heap
	a, box := addAccount(t, s, "ann@example.org", 0)
	const size = 48 << 20
	body := strings.NewReader("Subject: large\r\n\r\n" + strings.Repeat(strings.Repeat("0123456789", 7)+"\r\n", size/72))
	spooled, err := message.Spool(body, message.SpoolOptions{Memory: 1 << 20, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer spooled.Close() //nolint:errcheck // a temporary file
	body.Reset("")
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	done := make(chan struct{})
	var peak atomic.Uint64
	go watchHeap(done, &peak)
	uids, err := a.Append(context.Background(), box, &store.Draft{Spooled: spooled})
	close(done)
	if err != nil || len(uids) != 1 {
		t.Fatal(uids, err)
	}
	runtime.ReadMemStats(&after)
	if grown := int64(peak.Load()) - int64(before.HeapAlloc); grown > size/2 {
		t.Errorf("the heap grew by %d MiB for %d MiB", grown>>20, size>>20)
	}
}

func watchHeap(done <-chan struct{}, peak *atomic.Uint64) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), m.HeapAlloc))
		}
	}
}

// TestFailedLargeBodyIsSwept: what was stored for a message that then could not be is left to the sweeper at once.
func TestFailedLargeBodyIsSwept(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), openStore(t)
	a, box := addAccount(t, s, "ann@example.org", 0)
	large := letter("large", 700<<10)
	if _, err := a.Append(ctx, box+999, draftOf(t, large)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no such mailbox: %v", err)
	}
	first := appendTo(t, a, box, keyed(draftOf(t, large), "key"))
	again := appendTo(t, a, box, keyed(draftOf(t, large), "key"))
	if first[0] != 1 || again[0] != 0 {
		t.Errorf("delivered twice: %v, %v", first, again)
	}
	if n := counted(t, s, "select count(*) from blob_gc where due <= now()"); n != 2 {
		t.Errorf("%d bodies are left to the sweeper, want 2", n)
	}
	if err := s.Sweep(ctx, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if n := counted(t, s, "select count(distinct blob_id) from bodies"); n != 1 {
		t.Errorf("%d bodies are left, want 1", n)
	}
	if got := octetsOf(t, a, store.Inbox, 1); string(got) != large {
		t.Error("the message that was delivered has been swept")
	}
}

// TestDeliveredLongAgo: the same delivery a day later is another message.
func TestDeliveredLongAgo(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), openStore(t)
	a, box := addAccount(t, s, "ann@example.org", 0)
	send := func(flags ...imap.Flag) imap.UID {
		return appendTo(t, a, box, keyed(draftOf(t, letter("again", 1), flags...), "key"))[0]
	}
	got := []imap.UID{send(), send(), send("$Label")}
	if _, err := s.pool.Exec(ctx, "update deliveries set at = at - interval '25 hours'"); err != nil {
		t.Fatal(err)
	}
	got = append(got, send(), send())
	if want := []imap.UID{1, 0, 0, 2, 0}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("UIDs %v, want %v", got, want)
	}
}

// TestLostConnections ends the store's connections again and again while it delivers, and its senders repeat what failed,
// as an MTA does: each message arrives exactly once.
func TestLostConnections(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), openStore(t)
	a, box := addAccount(t, s, "ann@example.org", 0)
	other := reopen(t, s.opts.URL)
	done := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() { killConnections(t, other, done) })
	var wg sync.WaitGroup
	var failures atomic.Int64
	const writers, each = 6, 15
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				text := letter(fmt.Sprintf("from %d, number %d", w, n), 100+n%3*60_000) + lots(n%3*50_000)
				for {
					_, err := a.Append(ctx, box, keyed(draftOf(t, text), text))
					if err == nil {
						break
					}
					failures.Add(1)
					if !errors.Is(err, store.ErrUnavailable) {
						t.Errorf("%v is not ErrUnavailable", err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	close(done)
	killer.Wait()
	if n := counted(t, other, "select count(*) from messages"); n != writers*each {
		t.Errorf("%d messages after %d failures, want %d", n, failures.Load(), writers*each)
	}
	if box := boxOf(t, &account{s: other, id: a.id}, store.Inbox); box.Messages != writers*each {
		t.Errorf("mailbox counts %d messages, want %d", box.Messages, writers*each)
	}
	t.Logf("%d failures", failures.Load())
}

func killConnections(t *testing.T, s *Store, done <-chan struct{}) {
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			const sql = `
select count(pg_terminate_backend(pid))
from pg_stat_activity
where datname = current_database() and state in ('active', 'idle in transaction') and pid <> pg_backend_pid()`
			var n int
			if err := s.pool.QueryRow(context.Background(), sql).Scan(&n); err != nil {
				t.Log(err) // killed by the same statement of a moment ago, maybe
			}
		}
	}
}

// TestGather takes what waits and no more than fits.
func TestGather(t *testing.T) {
	t.Parallel()
	l := &lane{queue: make(chan *delivery, laneBatch*2)}
	of := func(octets int) *delivery {
		return &delivery{arrivals: []*arrival{{data: bytes.Repeat([]byte("x"), octets)}}}
	}
	for range laneBatch + 5 {
		l.queue <- of(1)
	}
	if batch, next := l.gather(of(1)); len(batch) != laneBatch || next != nil {
		t.Errorf("%d deliveries, next %v", len(batch), next)
	}
	if batch, next := l.gather(of(1)); len(batch) != 7 || next != nil {
		t.Errorf("the rest: %d deliveries, next %v", len(batch), next)
	}
	big := of(laneOctets - 10)
	l.queue <- of(5)
	l.queue <- of(6)
	if batch, next := l.gather(big); len(batch) != 2 || next == nil {
		t.Errorf("beyond the octets: %d deliveries, next %v", len(batch), next)
	}
}

// TestLockedMailboxHoldsUpNobodyElse: deliveries to a mailbox that is locked for long wait by themselves.
func TestLockedMailboxHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), openStore(t)
	lanes := len(s.lanes)
	accounts, boxes := make([]*account, lanes+1), make([]store.MailboxID, lanes+1) // the first and the last use one lane
	for i := range accounts {
		accounts[i], boxes[i] = addAccount(t, s, fmt.Sprintf("user%d@example.org", i), 0)
	}
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(ctx) // it is over by then, unless the test has failed
	if _, err := accounts[0].lock(ctx, tx, boxes[:1]); err != nil {
		t.Fatal(err)
	}
	held := make(chan error, 3)
	for range cap(held) {
		go func() {
			_, err := accounts[0].Append(ctx, boxes[0], draftOf(t, "A: held\r\n\r\n"))
			held <- err
		}()
	}
	for range 5 {
		appendTo(t, accounts[lanes], boxes[lanes], draftOf(t, "A: free\r\n\r\n"))
	}
	select {
	case err := <-held:
		t.Errorf("delivered to a locked mailbox: %v", err)
	default:
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	for range cap(held) {
		if err := <-held; err != nil {
			t.Error(err)
		}
	}
	if box := boxOf(t, accounts[0], store.Inbox); box.Messages != 3 {
		t.Errorf("%d messages, want 3", box.Messages)
	}
}
