package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"postern/pkg/store"
)

func warmly(o *Options) { o.Warm = true }

// serve opens a store as a server does, which has read what is in memory elsewhere, and makes it the fixture's account's.
func (f *fixture) serve(change ...func(*Options)) *Store {
	f.Helper()
	s := f.open(append(change, warmly)...)
	f.await("lists are read", func() bool {
		s.opened.mu.Lock()
		defer s.opened.mu.Unlock()
		return s.opened.read
	})
	f.a.s = s
	return s
}

// opensInOrder makes mailboxes and opens them one after another. It returns them, the one opened last first.
func (f *fixture) opensInOrder(names ...string) []boxKey {
	f.Helper()
	var keys []boxKey
	for _, name := range names {
		box, err := f.a.Create(f.Context(), name)
		if err != nil {
			f.Fatal(err)
		}
		if _, _, err := f.a.Open(f.Context(), name); err != nil {
			f.Fatal(err)
		}
		keys = slices.Insert(keys, 0, boxKey{f.a.id, box.ID})
	}
	return keys
}

// warmed waits until a store has in memory what it should have.
func (f *fixture) warmed(s *Store, want []boxKey) {
	f.Helper()
	f.await(fmt.Sprint("in memory: ", want), func() bool { return slices.Equal(s.cache.used(openedMost), want) })
}

// kept waits until the database has a list.
func (f *fixture) kept(want []boxKey) {
	f.Helper()
	f.await(fmt.Sprint("in the database: ", want), func() bool { return slices.Equal(f.list(), want) })
}

// list is the newest list in the database.
func (f *fixture) list() []boxKey {
	f.Helper()
	var flat []int64
	if err := f.s.pool.QueryRow(f.Context(), `
select coalesce((select opened from nodes where opened_at is not null order by opened_at desc limit 1), '{}')`).Scan(&flat); err != nil {
		f.Fatal(err)
	}
	return openedKeys(flat)
}

// TestWarmUp: what was in memory when a process ended is so in the next one, in the same order, before anybody asks for it, and
// opening it reads no messages.
func TestWarmUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	one := f.serve()
	keys := f.opensInOrder("a", "b", "c")
	one.Close()
	f.a.s = f.s
	if got := f.list(); !slices.Equal(got, keys) {
		t.Fatalf("the list is %v, not %v", got, keys)
	}
	core, log := observer.New(zapcore.InfoLevel)
	two := f.open(warmly, func(o *Options) { o.Log = zap.New(core) })
	f.warmed(two, keys)
	f.await("a line in the log", func() bool { return log.FilterMessage("mailboxes are in memory again").Len() == 1 })
	fields := log.FilterMessage("mailboxes are in memory again").All()[0].ContextMap()
	if fields["mailboxes"] != int64(3) || fields["octets"].(int64) < 100 {
		t.Errorf("the log says %v", fields)
	}
	n := f.statements(func(ctx context.Context) {
		if _, _, err := f.on(two).Open(ctx, "b"); err != nil {
			t.Error(err)
		}
	})
	if n > 1 {
		t.Errorf("opening a mailbox that is in memory took %d statements", n)
	}
}

// TestWarmUpAfterKill: the list of a process that did not end is used, by one with another number, and changes reach it. (The
// first process goes on, which is what it looks like to the second.)
func TestWarmUpAfterKill(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	one := f.serve(func(o *Options) { o.openedEvery = time.Millisecond })
	keys := f.opensInOrder("a", "b")
	f.kept(keys)
	f.openInbox(f.a)
	keys = slices.Insert(keys, 0, boxKey{f.a.id, f.inbox})
	f.kept(keys)
	two := f.open(warmly)
	if two.ids.number() == one.ids.number() {
		t.Fatal("two processes have one number")
	}
	f.warmed(two, keys)
}

// TestWarmUpHalfTheCache: no more is loaded than a part of the cache takes. What does not fit stays in the list for the next
// process, which may have more; so does what a process did not come to.
func TestWarmUpHalfTheCache(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	one := f.serve()
	small := f.opensInOrder("a", "b")
	f.fill(1000)
	f.openInbox(f.a)
	want := slices.Insert(slices.Clone(small), 0, boxKey{f.a.id, f.inbox})
	one.Close()
	f.a.s = f.s
	core, log := observer.New(zapcore.InfoLevel)
	two := f.open(warmly, func(o *Options) { o.CacheBytes, o.Log = 50_000, zap.New(core) })
	f.await("a line in the log", func() bool { return log.FilterMessage("mailboxes are in memory again").Len() == 1 })
	f.warmed(two, small)
	two.Close()
	f.kept([]boxKey{small[0], small[1], want[0]})
	f.warmed(f.open(warmly), []boxKey{small[0], small[1], want[0]})
}

// TestWarmUpInterrupted: a process that ends at once leaves the list of the one before it as it was.
func TestWarmUpInterrupted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	one := f.serve()
	keys := f.opensInOrder("a", "b", "c")
	one.Close()
	for range 5 {
		f.open(warmly).Close()
		if got := f.list(); !slices.Equal(got, keys) {
			t.Fatalf("the list is %v, not %v", got, keys)
		}
	}
}

// TestWarmUpDeleted: a mailbox that is gone is no reason for a line in the log.
func TestWarmUpDeleted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	one := f.serve()
	keys := f.opensInOrder("a", "b", "c")
	one.Close()
	f.a.s = f.s
	if err := f.a.Delete(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	core, log := observer.New(zapcore.WarnLevel)
	two := f.open(warmly, func(o *Options) { o.Log = zap.New(core) })
	f.warmed(two, []boxKey{keys[0], keys[2]})
	if v, err := two.warmBox(t.Context(), keys[1]); v != nil || err != nil { // deleted while the list was read
		t.Errorf("a mailbox that is gone: %v, %v", v, err)
	}
	if log.Len() > 0 {
		t.Errorf("the log says %v", log.All())
	}
}

// TestWarmUpBesideCommands: a store that is opened for a command loads nothing, and leaves the list of a server alone, though it
// takes the number that the server had.
func TestWarmUpBesideCommands(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	one := f.serve()
	keys := f.opensInOrder("a", "b")
	number := one.ids.number()
	one.Close()
	command := f.open(func(o *Options) { o.openedEvery = time.Millisecond })
	if command.ids.number() != number {
		t.Fatalf("the command has number %d, not %d", command.ids.number(), number)
	}
	f.openInbox(f.on(command))
	if got := command.cache.used(openedMost); len(got) != 1 {
		t.Errorf("in a command's memory: %v", got)
	}
	command.Close()
	if got := f.list(); !slices.Equal(got, keys) {
		t.Errorf("the list is %v, not %v", got, keys)
	}
}

// TestWarmUpBesideSessions: who opens a mailbox while it is loaded for nobody sees what was committed before he asked.
func TestWarmUpBesideSessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, base := newFakeCache(t, 1<<20)
		key := boxKey{1, 1}
		gate := make(chan struct{})
		base.gate = gate
		go func() {
			if v, err := c.warm(t.Context(), key); err != nil || v.snap.ModSeq() != 1 {
				t.Errorf("loaded %v, %v", v, err)
			}
		}()
		synctest.Wait()
		base.commit()
		got := make(chan *version, 1)
		go func() {
			v, err := c.refresh(t.Context(), key, nil, true)
			if err != nil {
				t.Error(err)
			}
			got <- v
		}()
		synctest.Wait()
		if v, err := c.warm(t.Context(), key); v != nil || err != nil {
			t.Errorf("what is being loaded is loaded again: %v, %v", v, err)
		}
		close(gate)
		if v := <-got; v == nil || v.snap.ModSeq() != 2 {
			t.Errorf("a session got %v", v)
		}
		if base.looks != 2 {
			t.Errorf("%d looks", base.looks)
		}
	})
}

// TestWarmUpGoesLast: what is loaded for nobody is dropped before what sessions have opened.
func TestWarmUpGoesLast(t *testing.T) {
	t.Parallel()
	c, _ := newFakeCache(t, 1<<20)
	session := boxKey{1, 9}
	for i := range 3 {
		if _, err := c.warm(t.Context(), boxKey{1, store.MailboxID(i + 1)}); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			if _, err := c.refresh(t.Context(), session, nil, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, want := c.used(9), []boxKey{session, {1, 1}, {1, 2}, {1, 3}}; !slices.Equal(got, want) {
		t.Errorf("the order is %v, not %v", got, want)
	}
	if got := c.used(2); len(got) != 2 {
		t.Errorf("the first two are %v", got)
	}
}

func TestMergeOpened(t *testing.T) {
	t.Parallel()
	keys := func(ids ...store.MailboxID) (list []boxKey) {
		for _, id := range ids {
			list = append(list, boxKey{1, id})
		}
		return list
	}
	if got, want := mergeOpened(keys(1, 2, 2), keys(3, 1, 5, 7), keys(4, 6)), keys(1, 2, 3, 4, 6, 5, 7); !slices.Equal(got, want) {
		t.Errorf("merged %v, want %v", got, want)
	}
	var long []boxKey
	for i := range openedMost + 5 {
		long = append(long, boxKey{1, store.MailboxID(i)})
	}
	if got := mergeOpened(long[:3], long); !slices.Equal(got, long[:openedMost]) {
		t.Errorf("%d of a long list", len(got))
	}
}

// TestReadOpened: lists that are much older than the newest are not read, and that of one's own number comes first.
func TestReadOpened(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var boxes []int64
	for _, name := range []string{"a", "b", "c", "d"} {
		box, err := f.a.Create(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		boxes = append(boxes, int64(box.ID))
	}
	put := func(node int, age time.Duration, ids ...int64) {
		var flat []int64
		for _, id := range ids {
			flat = append(flat, int64(f.a.id), id)
		}
		f.exec(`
insert into nodes (node_id, instance, opened, opened_at) values ($1, 0, $2, now() - $3::interval)
on conflict (node_id) do update set opened = excluded.opened, opened_at = excluded.opened_at`, node, flat, age)
	}
	put(f.s.ids.number(), 31*time.Hour, boxes[2])
	put(77, 30*time.Hour, boxes[1], boxes[0])
	put(78, 50*time.Hour, boxes[3])
	list, sizes, err := f.s.readOpened(t.Context())
	want := []boxKey{{f.a.id, store.MailboxID(boxes[1])}, {f.a.id, store.MailboxID(boxes[0])}}
	if err != nil || !slices.Equal(list, want) || len(sizes) != len(want) {
		t.Errorf("read %v, %v, want %v", list, err, want)
	}
	put(f.s.ids.number(), 30*time.Hour+openedSpan/2, boxes[2])
	want = slices.Insert(want, 0, boxKey{f.a.id, store.MailboxID(boxes[2])})
	if list, _, err = f.s.readOpened(t.Context()); err != nil || !slices.Equal(list, want) {
		t.Errorf("read %v, %v, want %v", list, err, want)
	}
}

// TestForgetDeleted: a mailbox that a session finds deleted leaves memory.
func TestForgetDeleted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.opensInOrder("doomed")
	_, snap, err := f.a.Open(t.Context(), "doomed")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.a.Delete(t.Context(), "doomed"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.a.Refresh(t.Context(), snap); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a deleted mailbox: %v", err)
	}
	if got := f.s.cache.used(openedMost); len(got) > 0 {
		t.Errorf("in memory: %v", got)
	}
}

// TestPackLast: a server that stops packs what it has in memory, for the next one; a command does not.
func TestPackLast(t *testing.T) {
	t.Parallel()
	const most, rest = 2 * packFrom, packEvicted + 1 // too few for it to be packed while it is in memory
	packed := func(f *fixture) int64 {
		return f.number(`select coalesce(sum(n), 0)::bigint from mailbox_index where account_id = $1`, f.a.id)
	}
	for _, c := range []struct {
		name   string
		change func(*Options)
		want   int64
	}{{"server", warmly, most + rest}, {"command", func(*Options) {}, most}} {
		f := newFixture(t)
		one := f.open(c.change)
		f.fill(most)
		f.openInbox(f.on(one))
		f.await("messages are packed", func() bool { return packed(f) == most })
		f.fill(rest)
		f.openInbox(f.on(one))
		one.Close()
		if n := packed(f); n != c.want {
			t.Errorf("a %s that stops has packed %d messages of %d", c.name, n, c.want)
		}
	}
}
