package postgres

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// TestStatementCounts holds what a mailbox's size must not change: how many statements the common operations take.
func TestStatementCounts(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 30_000} {
		f := newFixture(t)
		f.fill(size)
		snap := f.openInbox(f.a)
		if snap.Len() != size {
			t.Fatalf("%d messages, want %d", snap.Len(), size)
		}
		f.check("open, cached and unchanged", 1, func(ctx context.Context) {
			box, again, err := f.a.Open(ctx, "inbox")
			if err != nil || again != snap || int(box.Messages) != size || box.ModSeq != snap.ModSeq() {
				t.Errorf("%v, %v", box, err)
			}
		})
		f.check("refresh, unchanged", 1, func(ctx context.Context) {
			again, ch, err := f.a.Refresh(ctx, snap)
			if err != nil || again != snap || changeCount(ch) != 0 || !ch.Complete {
				t.Errorf("%v, %v", ch, err)
			}
		})
		f.check("flags of all", 0, func(ctx context.Context) {
			n := 0
			for m, err := range f.a.Messages(ctx, snap, allUIDs, 0) {
				if err != nil || m.UID != snap.UID(n) || m.Flags != snap.Flags(n) {
					t.Fatalf("message %d: %v", n, err)
				}
				n++
			}
			if n != size {
				t.Errorf("%d messages, want %d", n, size)
			}
		})
		f.check("search by flags", 0, func(ctx context.Context) {
			c := &store.Criteria{SearchCriteria: imap.SearchCriteria{Flag: []imap.Flag{imap.FlagSeen}}}
			if found, err := f.a.Search(ctx, snap, c); err != nil || len(found) != size/2 {
				t.Errorf("%d found, %v", len(found), err)
			}
		})
		f.resync(snap)
	}
}

// check runs an operation and counts its statements.
func (f *fixture) check(what string, want int, do func(ctx context.Context)) {
	f.Helper()
	if n := f.statements(do); n != want {
		f.Errorf("%s: %d statements, want %d", what, n, want)
	}
}

// resync makes a hundred changes behind a session's back and lets it catch up, by Refresh and by Since.
func (f *fixture) resync(have *store.Snapshot) {
	f.Helper()
	at := have.ModSeq()
	for uid := imap.UID(1); uid <= 60; uid++ {
		f.flag(uidRange(uid, uid), imap.StoreFlagsSet, imap.FlagFlagged, imap.FlagSeen, "$Forwarded")
	}
	for uid := imap.UID(61); uid <= 80; uid++ {
		f.expunge(uidRange(uid, uid))
	}
	for range 20 {
		f.mail(plain("new", 10))
	}
	var now *store.Snapshot
	f.check("refresh, changed by ourselves", 5, func(ctx context.Context) {
		var ch store.Changes
		var err error
		now, ch, err = f.a.Refresh(ctx, have)
		if err != nil || len(ch.Added) != 20 || len(ch.Flagged) != 60 || len(ch.Removed) != 20 || !ch.Complete {
			f.Errorf("%d added, %d flagged, %d removed, %v", len(ch.Added), len(ch.Flagged), len(ch.Removed), err)
		}
	})
	if !slices.Equal(now.Keywords(), []imap.Flag{"$Forwarded"}) {
		f.Errorf("keywords %v", now.Keywords())
	}
	f.check("since", 1, func(ctx context.Context) {
		ch, err := f.a.Since(ctx, now, at)
		if err != nil || len(ch.Added)+len(ch.Flagged) != 80 || len(ch.Removed) != 20 || !ch.Complete {
			f.Errorf("%d added, %d flagged, %d removed, %v", len(ch.Added), len(ch.Flagged), len(ch.Removed), err)
		}
	})
	cold := f.openInbox(f.on(f.open()))
	if !sameMessages(cold, now) {
		f.Error("read afresh, the mailbox is another")
	}
}

// TestRefreshAfterAnotherProcess: what we have committed ourselves need not be asked for, what others have must be.
func TestRefreshAfterAnotherProcess(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mail(plain("1", 5), plain("2", 5))
	have := f.openInbox(f.a)
	seen := store.FlagChange{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen}}
	for _, tt := range []struct {
		who        *account
		uid        imap.UID
		statements int
	}{{f.on(f.open()), 1, 6}, {f.a, 2, 1}} {
		if _, err := tt.who.SetFlags(t.Context(), f.inbox, uidRange(tt.uid, tt.uid), seen); err != nil {
			t.Fatal(err)
		}
		f.check("refresh, changed", tt.statements, func(ctx context.Context) {
			var ch store.Changes
			var err error
			if have, ch, err = f.a.Refresh(ctx, have); err != nil || len(ch.Flagged) != 1 {
				t.Errorf("%+v, %v", ch, err)
			}
		})
		f.check("refresh, unchanged", 1, func(ctx context.Context) {
			if _, ch, err := f.a.Refresh(ctx, have); err != nil || changeCount(ch) != 0 {
				t.Errorf("%+v, %v", ch, err)
			}
		})
	}
}

// TestRefreshToOwnChange: who has changed a mailbox himself need not read it again, unless others have changed it too.
func TestRefreshToOwnChange(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mail(plain("1", 5), plain("2", 5), plain("3", 5))
	have := f.openInbox(f.a)
	other := f.on(f.open())
	flag := func(a *account, flag imap.Flag, uids ...imap.UID) store.FlagResult {
		res, err := a.SetFlags(t.Context(), f.inbox, imap.UIDSetNum(uids...), store.FlagChange{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{flag}})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	for _, tt := range []struct {
		what    string
		change  func() store.FlagResult
		inCache bool // without a look at the database
		flagged int
	}{
		{"ours", func() store.FlagResult { return flag(f.a, imap.FlagSeen, 1, 3) }, true, 2},
		{"ours, without effect", func() store.FlagResult { return flag(f.a, imap.FlagSeen, 1) }, true, 0},
		{"two of ours", func() store.FlagResult { flag(f.a, imap.FlagDraft, 1); return flag(f.a, imap.FlagDraft, 2) }, true, 2},
		{"with a new keyword", func() store.FlagResult { return flag(f.a, "$Work", 2) }, false, 1},
		{"with a known keyword", func() store.FlagResult { return flag(f.a, "$work", 3) }, true, 1},
		{"another's before ours", func() store.FlagResult { flag(other, imap.FlagFlagged, 2); return flag(f.a, imap.FlagFlagged, 1) }, false, 2},
	} {
		res := tt.change()
		if v := f.s.cache.peek(boxKey{f.a.id, f.inbox}); (v.snap.ModSeq() == res.ModSeq) != tt.inCache {
			t.Errorf("%s: in memory up to %d, after %d", tt.what, v.snap.ModSeq(), res.ModSeq)
		}
		now, ch, err := f.a.RefreshTo(t.Context(), have, res.ModSeq)
		if err != nil || len(ch.Flagged) != tt.flagged || now.ModSeq() != res.ModSeq || ch.Since != have.ModSeq() || ch.Until != now.ModSeq() {
			t.Fatalf("%s: %+v, %v", tt.what, ch, err)
		}
		have = now
	}
	if cold := f.openInbox(f.on(f.open())); !sameMessages(cold, have) {
		t.Error("read afresh, the mailbox is another")
	}
}

func TestSinceAtTheEdges(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mail(plain("1", 5), plain("2", 5), plain("3", 5))
	f.expunge(uidRange(2, 2))
	snap := f.openInbox(f.a)
	for _, tc := range []struct {
		name              string
		at                store.ModSeq
		messages, removed int
		statements        int
	}{
		{"0 means 1 (some clients send it)", 0, 2, 1, 1},
		{"from the beginning", 1, 2, 1, 1},
		{"now", snap.ModSeq(), 0, 0, 0},
		{"in the future", snap.ModSeq() + 100, 0, 0, 0},
		{"beyond what a bigint holds", 1<<64 - 1, 0, 0, 0},
	} {
		f.check(tc.name, tc.statements, func(ctx context.Context) {
			ch, err := f.a.Since(ctx, snap, tc.at)
			if err != nil || len(ch.Added)+len(ch.Flagged) != tc.messages || len(ch.Removed) != tc.removed || !ch.Complete {
				t.Errorf("%s: %+v, %v", tc.name, ch, err)
			}
		})
	}
}

// TestManySessionsShareARefresh: with the database as slow as it likes, sessions that wake together look together.
func TestManySessionsShareARefresh(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	snap := f.openInbox(f.a)
	conn, err := pgx.Connect(t.Context(), f.url) // not of the pool's: it may make new ones meanwhile, which wait for the lock
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // the database is dropped
	for _, sql := range []string{`begin`, `lock table mailbox_state in access exclusive mode`} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	n := f.statements(func(ctx context.Context) {
		for range 200 {
			wg.Go(func() {
				if again, _, err := f.a.Refresh(ctx, snap); err != nil || again != snap {
					t.Errorf("%v", err)
				}
			})
		}
		f.await("a refresh to hang on the lock", func() bool {
			const sql = `select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`
			hangs := false
			if err := conn.QueryRow(ctx, sql).Scan(&hangs); err != nil {
				t.Fatal(err)
			}
			return hangs
		})
		if _, err := conn.Exec(ctx, `rollback`); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
	})
	if n > 40 {
		t.Errorf("200 sessions ran %d statements", n)
	}
}

// TestRefreshAfterEviction: a session goes on with its own snapshot when the cache has dropped the mailbox.
func TestRefreshAfterEviction(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *Options) { o.CacheBytes = 1 })
	f.mail(plain("1", 5))
	snap := f.openInbox(f.a)
	if _, _, err := f.a.Open(t.Context(), "Sent"); err != nil {
		t.Fatal(err)
	}
	f.mail(plain("2", 5))
	f.check("refresh, changed", 6, func(ctx context.Context) {
		now, ch, err := f.a.Refresh(ctx, snap)
		if err != nil || now.Len() != 2 || len(ch.Added) != 1 {
			t.Errorf("%+v, %v", ch, err)
		}
	})
}

// TestRefreshFromDifferentVersions: sessions that are behind by different amounts all learn what they missed.
func TestRefreshFromDifferentVersions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mail(plain("1", 5), plain("2", 5), plain("3", 5))
	versions := []*store.Snapshot{f.openInbox(f.a)}
	f.flag(uidRange(1, 1), imap.StoreFlagsAdd, imap.FlagSeen)
	versions = append(versions, f.openInbox(f.a))
	f.expunge(uidRange(2, 2))
	versions = append(versions, f.openInbox(f.a))
	f.mail(plain("4", 5))
	for i, have := range versions {
		now, ch, err := f.a.Refresh(t.Context(), have)
		want := now.ChangesFrom(have)
		if err != nil || len(ch.Added) != 1 || len(ch.Flagged) != len(want.Flagged) || len(ch.Removed) != len(want.Removed) {
			t.Errorf("version %d: %+v, %v", i, ch, err)
		}
	}
}

func TestRefreshOfDeletedMailbox(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, snap, err := f.a.Open(t.Context(), "Sent")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.a.Delete(t.Context(), "Sent"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.a.Refresh(t.Context(), snap); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Refresh: %v", err)
	}
	if _, err := f.a.Since(t.Context(), snap, 0); err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Since: %v", err)
	}
	if _, _, err := f.a.Open(t.Context(), "Sent"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Open: %v", err)
	}
	if _, _, err := f.a.Open(t.Context(), "a\x00b"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Open of no name: %v", err)
	}
}

// TestRefreshOverPrunedJournal: when the journal no longer goes back far enough the mailbox is read anew and compared.
func TestRefreshOverPrunedJournal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mail(plain("1", 5), plain("2", 5), plain("3", 5))
	have := f.openInbox(f.a)
	f.flag(uidRange(1, 1), imap.StoreFlagsAdd, imap.FlagSeen)
	f.expunge(uidRange(2, 2))
	f.exec(`delete from journal`)
	f.exec(`update mailbox_state set journal_from = modseq where mailbox_id = $1`, f.inbox)
	f.mail(plain("4", 5))
	now, ch, err := f.a.Refresh(t.Context(), have)
	if err != nil || len(ch.Added) != 1 || len(ch.Flagged) != 1 || len(ch.Removed) != 1 || !ch.Complete {
		t.Fatalf("%+v, %v", ch, err)
	}
	old, err := f.a.Since(t.Context(), now, have.ModSeq())
	if err != nil || old.Complete {
		t.Errorf("Since: complete %v, %v", old.Complete, err)
	}
}

// TestRefreshMistrustsTheJournal: a journal that does not add up to the counter is not believed.
func TestRefreshMistrustsTheJournal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mail(plain("1", 5), plain("2", 5), plain("3", 5))
	have := f.openInbox(f.a)
	f.expunge(uidRange(2, 2))
	f.exec(`delete from journal`)
	now, ch, err := f.a.Refresh(t.Context(), have)
	if err != nil || now.Len() != 2 || len(ch.Removed) != 1 || ch.Removed[0].UID != 2 {
		t.Fatalf("%+v, %v", ch, err)
	}
	f.exec(`update mailbox_state set n_msgs = n_msgs + 7 where mailbox_id = $1`, f.inbox)
	for range 2 { // a counter that is wrong is noticed once, and does not make every refresh a load
		f.mail(plain("more", 5))
		if now, ch, err = f.a.Refresh(t.Context(), now); err != nil || len(ch.Added) != 1 {
			t.Fatalf("%+v, %v", ch, err)
		}
	}
	f.mail(plain("more", 5))
	f.check("refresh with a wrong counter", 5, func(ctx context.Context) {
		if _, ch, err := f.a.Refresh(ctx, now); err != nil || len(ch.Added) != 1 {
			t.Errorf("%+v, %v", ch, err)
		}
	})
}

// TestPackedIndex opens a large mailbox by its packed index: after changes, damage and pruning of the journal.
func TestPackedIndex(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.fill(packFrom + 3*segmentRows)
	want := f.openInbox(f.a)
	segments := func() int64 { return f.number(`select count(*) from mailbox_index`) }
	f.await("the index to be written", func() bool { return segments() > 0 })
	f.check("packed", 8, func(ctx context.Context) { // open; begin, plans, state, segments, journal, arrivals, commit
		_, got, err := f.on(f.open()).Open(ctx, store.Inbox)
		if err != nil || !sameMessages(got, want) {
			t.Errorf("the packed mailbox is another (%v)", err)
		}
	})
	f.flag(uidRange(500, 600), imap.StoreFlagsAdd, imap.FlagDraft, "$Work")
	f.expunge(uidRange(9000, 9100))
	f.mail(plain("new", 5))
	want = f.openInbox(f.a)
	for _, tc := range []struct {
		name string
		sql  string
	}{
		{"with news", `select 1`},
		{"damaged", `update mailbox_index set data = '\x0100' where seg = 2`},
		{"older than the journal", `update mailbox_state set journal_from = modseq`},
		{"one segment missing", `delete from mailbox_index where seg = 1`},
	} {
		f.exec(tc.sql)
		if got := f.openInbox(f.on(f.open())); !sameMessages(got, want) {
			t.Errorf("%s: the packed mailbox is another", tc.name)
		}
	}
}

func TestPackedIndexWritesWhatChanged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.fill(packFrom + segmentRows)
	snap := f.openInbox(f.a)
	f.await("the index to be written", func() bool { return f.number(`select count(*) from mailbox_index`) > 0 })
	f.flag(uidRange(5000, 5100), imap.StoreFlagsAdd, imap.FlagDraft)
	snap, _, err := f.a.Refresh(t.Context(), snap)
	if err != nil {
		t.Fatal(err)
	}
	before := f.number(`select sum(xmin::text::bigint) from mailbox_index`)
	var digest, again string
	sum := `select string_agg(md5(data), ',' order by seg) from mailbox_index where seg <> 1 and seg < 5`
	if err := f.s.pool.QueryRow(t.Context(), sum).Scan(&digest); err != nil {
		t.Fatal(err)
	}
	if err := f.s.writePacked(t.Context(), packJob{boxKey{f.a.id, f.inbox}, snap}); err != nil {
		t.Fatal(err)
	}
	if err := f.s.pool.QueryRow(t.Context(), sum).Scan(&again); err != nil {
		t.Fatal(err)
	}
	if digest != again || f.number(`select sum(xmin::text::bigint) from mailbox_index`) == before {
		t.Error("segments without changes were packed anew, or nothing was written")
	}
	if n := f.number(`select count(distinct as_of) from mailbox_index`); n != 1 {
		t.Errorf("segments of %d ages", n)
	}
	if got := f.openInbox(f.on(f.open())); !sameMessages(got, snap) {
		t.Error("the packed mailbox is another")
	}
}
