package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/prometheus/client_golang/prometheus"

	"postern/pkg/store"
)

// indexedFixture has an INBOX with n random mails in the index, in segments of 12, none of them merged.
func indexedFixture(t *testing.T, n int, change ...func(*Options)) *fixture {
	t.Helper()
	f := newFixture(t, append([]func(*Options){small, func(o *Options) { o.sizes.merge = 1000 }}, change...)...)
	f.randomMails(n)
	f.index(f.inbox)
	return f
}

func (f *fixture) randomMails(n int) {
	f.Helper()
	r := rand.New(rand.NewPCG(uint64(n), 1))
	texts := make([]string, n)
	for i := range texts {
		texts[i] = randomMail(r, i)
	}
	f.mail(texts...)
}

func (f *fixture) segments(where string) int64 {
	f.Helper()
	return f.number(`select count(*) from fts_seg where ` + where)
}

// finds checks what a few searches find.
func (f *fixture) finds(what string) {
	f.Helper()
	f.searches(rand.New(rand.NewPCG(7, 7)), what, f.openInbox(f.a), 12)
}

func (f *fixture) indexing() *indexing {
	f.Helper()
	w := &indexing{
		s: f.s, a: f.a, key: boxKey{f.a.id, f.inbox}, holder: 99, beat: time.Now(), set: newGramSet(),
		builder: &segmentBuilder{docs: f.s.opts.sizes.docs},
	}
	var err error
	if w.k, err = f.s.key(f.Context(), f.a.id); err != nil {
		f.Fatal(err)
	}
	f.exec(`insert into fts_state (account_id, mailbox_id, holder, until) values ($1, $2, 99, now() + interval '1 h')`, f.a.id, f.inbox)
	return w
}

// TestIndexBehindDelivery: mail that arrives is indexed without anyone asking, in mailboxes that are large enough.
func TestIndexBehindDelivery(t *testing.T) {
	t.Parallel()
	metrics := prometheus.NewRegistry()
	f := newFixture(t, func(o *Options) {
		o.Registerer = metrics
		o.IndexFrom, o.IndexLoad, o.sizes = 60, 100, gramSizes{docs: 16, merge: 3, read: 4, batch: 1}
	})
	f.randomMails(59)
	f.s.grams.behind(boxKey{f.a.id, f.inbox})
	f.await("the queue to be empty", func() bool { _, _, ok := f.s.grams.take(); return !ok })
	if n := f.segments(`true`); n != 0 {
		t.Errorf("%d segments of a mailbox that is too small", n)
	}
	f.randomMails(61)
	f.await("the index", func() bool { return f.segments(`state = 0 and hi >= 119`) > 0 })
	f.finds("behind delivery")
	if n := value(t, metrics, "postern_index_messages_total"); n < 118 {
		t.Errorf("%v messages counted", n)
	}
}

func TestDeliveredIsNoticed(t *testing.T) {
	t.Parallel()
	w := newGramWork()
	for range gramArrivals - 1 {
		w.delivered(boxKey{1, 2}, 1)
	}
	if _, _, ok := w.take(); ok {
		t.Error("noticed too early")
	}
	w.delivered(boxKey{1, 2}, 5)
	w.broken(boxKey{1, 3})
	seen := make(map[boxKey]bool)
	for key, broken, ok := w.take(); ok; key, broken, ok = w.take() {
		seen[key] = broken
	}
	if len(seen) != 2 || seen[boxKey{1, 2}] || !seen[boxKey{1, 3}] {
		t.Errorf("%v", seen)
	}
}

// TestIndexClaim: what another process is indexing is left to it, until it is not heard of any more.
func TestIndexClaim(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small)
	f.randomMails(20)
	f.exec(`insert into fts_state (account_id, mailbox_id, holder, until) values ($1, $2, 5, now() + interval '1 min')`, f.a.id, f.inbox)
	if f.index(f.inbox); f.segments(`true`) != 0 {
		t.Error("two processes index a mailbox")
	}
	f.exec(`update fts_state set until = now() - interval '1 s'`)
	if f.index(f.inbox); f.segments(`true`) == 0 {
		t.Error("nobody goes on")
	}
	w := f.indexing()
	f.exec(`update fts_state set holder = 6`)
	if _, err := w.step(f.Context()); !errors.Is(err, errClaim) && err != nil {
		t.Errorf("%v", err)
	}
	f.mail(plain("another", 10), plain("and another", 10))
	if _, err := w.step(f.Context()); !errors.Is(err, errClaim) {
		t.Errorf("wrote an index that is another's: %v", err)
	}
}

// TestIndexTogether: several processes told of the same mailbox at once make one index.
func TestIndexTogether(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small)
	f.randomMails(100)
	done := make(chan error, 3)
	for range cap(done) {
		s := f.open(small)
		go func() { done <- s.indexBox(context.WithoutCancel(t.Context()), boxKey{f.a.id, f.inbox}, false) }()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	f.index(f.inbox)
	overlap := `exists (select from fts_seg o where o.seg <> fts_seg.seg and o.state = 0 and o.lo <= fts_seg.hi and o.hi >= fts_seg.lo)`
	if n := f.segments(`state = 0 and ` + overlap); n > 0 {
		t.Errorf("%d segments overlap", n)
	}
	f.finds("together")
}

// TestIndexGoesOn interrupts a merge in the middle; another process ends it.
func TestIndexGoesOn(t *testing.T) {
	t.Parallel()
	f := indexedFixture(t, 120)
	other := f.open(small, func(o *Options) { o.IndexLoad = 1; o.sizes.merge = 5 })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- other.indexBox(ctx, boxKey{f.a.id, f.inbox}, false) }()
	f.await("the middle of a merge", func() bool { return f.segments(`state = 1 and done > 1 and done < 1 << bits`) > 0 })
	f.finds("in the middle")
	began := time.Now()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	seg := f.number(`select seg from fts_seg where state = 1`)
	f.finds("interrupted")
	f.index(f.inbox)
	if n := f.number(`select count(*) from fts_seg where seg = $1 and state = 0 and level = 1`, seg); n != 1 {
		t.Error("the merge was not ended")
	}
	f.finds("merged")
}

// TestIndexIsRenewed: an index that lacks proofs is used, also where it is merged with one that has them, and made anew a
// segment at a time, once somebody searches.
func TestIndexIsRenewed(t *testing.T) {
	t.Parallel()
	f := indexedFixture(t, 48)
	old := fmt.Sprintf(`get_byte(cover, 0) = %d`, usableVersion)
	r := rand.New(rand.NewPCG(7, 8))
	all := f.segments(`state = 0`)
	f.exec(`update fts_seg set cover = set_byte(cover, 0, $1) where lo > 12`, usableVersion)
	for n := all - 1; n > 0; n-- {
		if got := f.segments(old); got != n {
			t.Fatalf("%d old segments, want %d", got, n)
		}
		f.searches(r, "renewing", f.openInbox(f.a), 5)
		if key, broken, ok := f.s.grams.take(); !ok || broken {
			t.Fatalf("a search does not ask for a new index: %v", key)
		}
		w := f.indexing()
		for f.segments(old) == n || f.segments(`state = 0`) < all {
			if more, err := w.step(t.Context()); !more || err != nil {
				t.Fatal(more, err)
			}
		}
		f.exec(`delete from fts_state`)
	}
	f.searches(r, "renewed", f.openInbox(f.a), 5)
	if key, _, ok := f.s.grams.take(); ok {
		t.Errorf("the index of %v is asked for again", key)
	}

	f.exec(`update fts_seg set cover = set_byte(cover, 0, $1) where lo between 13 and 24`, usableVersion)
	ready, _, err := gramSegs(t.Context(), f.s.pool, boxKey{f.a.id, f.inbox})
	if err != nil {
		t.Fatal(err)
	}
	w := f.indexing()
	if err := w.merge(t.Context(), ready[:3], 1); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]bool{renewMost: true, renewMost + 1: false} {
		if renewable(&gramSeg{cover: &cover{n: n, old: true}}) != want || renewable(&gramSeg{cover: &cover{n: n}}) {
			t.Errorf("a segment of %d messages: renewable %v", n, !want)
		}
	}
	if f.segments(old) != 1 || f.segments(`level = 1 and `+old) != 1 {
		t.Error("what is merged of old and new segments is not old")
	}
	f.searches(r, "merged", f.openInbox(f.a), 5)
}

// TestIndexIsDisposable throws parts of the index away, or spoils them. What is found stays the same, and the index is
// built anew.
func TestIndexIsDisposable(t *testing.T) {
	t.Parallel()
	f := indexedFixture(t, 60)
	whole := f.segments(`state = 0`)
	for _, sql := range []string{
		`truncate fts_seg, fts_block, fts_state`,
		`truncate fts_block`,
		`delete from fts_seg where seg = (select seg from fts_seg order by lo offset 2 limit 1)`,
		`delete from fts_block where seg = (select seg from fts_seg order by lo offset 2 limit 1) and block = 0`,
		`update fts_block set data = '\x000102'`,
		`update fts_block b set data = (select data from fts_block o where o.block = b.block and o.seg <> b.seg limit 1)`,
		`update fts_seg set cover = '\xff'`,
		`update fts_seg set cover = '\x00' || substr(cover, 2)`, // folded by other rules
	} {
		f.exec(sql)
		f.finds(sql)
		f.exec(`delete from fts_block b where not exists (select from fts_seg s where s.seg = b.seg)`)
		for key, broken, ok := f.s.grams.take(); ok; key, broken, ok = f.s.grams.take() {
			if err := f.s.indexBox(t.Context(), key, broken); err != nil {
				t.Fatal(err)
			}
		}
		f.index(f.inbox)
		if n := f.segments(`state = 0`); n < whole-1 || f.segments(`state > 0`) > 0 {
			t.Errorf("%s: %d segments afterwards, of %d", sql, n, whole)
		}
		if missing := f.segments(`1 << bits <> (select count(*) from fts_block b where b.seg = fts_seg.seg)`); missing > 0 {
			t.Errorf("%s: %d segments lack blocks", sql, missing)
		}
		f.finds("after " + sql)
	}
}

// TestIndexLeavesOut: a message with too many grams, and one that cannot be read, are not in the index, and searches are
// right all the same.
func TestIndexLeavesOut(t *testing.T) {
	t.Parallel()
	metrics := prometheus.NewRegistry()
	f := newFixture(t, small, func(o *Options) { o.Registerer = metrics })
	r := rand.New(rand.NewPCG(1, 1))
	var book strings.Builder
	for book.Len() < 2<<20 {
		book.WriteRune(rune(0x4e00 + r.IntN(20_000)))
		if r.IntN(40) == 0 {
			book.WriteString("\r\n")
		}
	}
	f.mail("Subject: book\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"+book.String()+"魚魚魚", plain("no fish", 100))
	f.mail(plain("damaged", 100))
	f.exec(`update bodies set data = '\x00' where blob_id = (select max(blob_id) from bodies)`)
	f.randomMails(30)
	f.index(f.inbox)
	if n := value(t, metrics, "postern_index_skipped_total"); n < 2 {
		t.Errorf("%v messages left out", n)
	}
	for pattern, want := range map[string]string{"魚魚魚": "[1]", "魚魚鮪鮪": "[]", "0123456789abcdef": "[2]"} {
		c := native(imap.SearchCriteria{Body: []string{pattern}})
		c.UID = []imap.UIDSet{uidRange(1, 3)}
		got, err := f.a.Search(t.Context(), f.openInbox(f.a), &c)
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v, want %s", pattern, got, err, want)
		}
	}
}

// TestIndexShed writes a segment anew after most of its messages have gone.
func TestIndexShed(t *testing.T) {
	t.Parallel()
	f := indexedFixture(t, 36)
	f.expunge(uidRange(1, 10))
	f.expunge(uidRange(13, 24))
	w := f.indexing()
	for range 20 {
		ready, _, err := gramSegs(t.Context(), f.s.pool, w.key)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if err := w.shed(t.Context(), ready[:2]); err != nil {
				t.Fatal(err)
			}
			if ready, _, err = gramSegs(t.Context(), f.s.pool, w.key); err != nil {
				t.Fatal(err)
			}
		}
	}
	ready, _, err := gramSegs(t.Context(), f.s.pool, w.key)
	if err != nil || len(ready) != 3 || ready[0].cover.n != 2 || ready[1].cover.n != 0 || ready[2].cover.n != 12 {
		t.Errorf("%d segments, %v", len(ready), err)
	}
	f.finds("shed")
}

func TestIndexGoesWithItsMailbox(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small)
	box, err := f.a.Create(t.Context(), "Old")
	if err != nil {
		t.Fatal(err)
	}
	f.randomMails(40)
	if _, err := f.a.Copy(t.Context(), f.inbox, box.ID, allUIDs); err != nil {
		t.Fatal(err)
	}
	f.index(f.inbox)
	f.index(box.ID)
	rows := func(where string) int64 {
		return f.number(`select (select count(*) from fts_seg ` + where + `) + (select count(*) from fts_block ` + where + `)`)
	}
	if err := f.a.Delete(t.Context(), "Old"); err != nil {
		t.Fatal(err)
	}
	if err := f.s.dropBlocks(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := f.number(`select count(*) from fts_seg where mailbox_id = $1`, box.ID); n != 0 || rows("") == 0 {
		t.Errorf("%d segments of a mailbox that was deleted", n)
	}
	f.exec(`insert into fts_seg (account_id, mailbox_id, seg, level, state, lo, hi, cover, bits, octets) values ($1, 77, 1, 0, 0, 1, 2, '', 0, 0)`, f.a.id)
	f.exec(`insert into fts_state (account_id, mailbox_id, holder, until) values ($1, 77, 1, now())`, f.a.id)
	f.sweep(time.Minute)
	if f.segments(`mailbox_id = 77 and state < 2`) > 0 || f.number(`select count(*) from fts_state`) > 0 {
		t.Error("strays stay")
	}
	if err := f.s.DeleteAccount(t.Context(), f.a.id); err != nil {
		t.Fatal(err)
	}
	if n := rows(""); n != 0 {
		t.Errorf("%d rows of an account that was deleted", n)
	}
}

// TestSearchCancelled: a search ends with its context, and says how far it is.
func TestSearchCancelled(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small)
	f.randomMails(50)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var told []int
	watched := store.WithProgress(ctx, func(done, total int) {
		if told = append(told, done); done == 10 && total == 50 {
			cancel()
		}
	})
	c := native(imap.SearchCriteria{Text: []string{"zz"}})
	if _, err := f.a.Search(watched, f.openInbox(f.a), &c); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if len(told) < 11 || !slices.IsSorted(told) {
		t.Errorf("told %v", told)
	}
	f.index(f.inbox)
	if _, err := f.a.Search(ctx, f.openInbox(f.a), &c); !errors.Is(err, context.Canceled) {
		t.Errorf("indexed: %v", err)
	}
}

// TestIndexIsSealed: the index holds no text, and a block opens only in its place.
func TestIndexIsSealed(t *testing.T) {
	t.Parallel()
	f := indexedFixture(t, 24)
	k, err := f.s.key(t.Context(), f.a.id)
	if err != nil {
		t.Fatal(err)
	}
	key := boxKey{f.a.id, f.inbox}
	sealed, err := sealBlock(k, key, 5, 6, []byte("secret"))
	if err != nil || bytes.Contains(sealed, []byte("secret")) {
		t.Fatalf("%q, %v", sealed, err)
	}
	if raw, err := openBlock(k, key, 5, 6, bytes.Clone(sealed)); err != nil || string(raw) != "secret" {
		t.Errorf("%q, %v", raw, err)
	}
	for _, at := range []blockKey{{5, 7}, {6, 6}} {
		if _, err := openBlock(k, key, at.seg, at.block, bytes.Clone(sealed)); !errors.Is(err, errDamaged) {
			t.Errorf("opens as %v: %v", at, err)
		}
	}
}
