package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// small makes an index of small segments, which the test builds itself.
func small(o *Options) {
	o.IndexFrom, o.IndexLoad, o.sizes = -1, 100, gramSizes{docs: 12, merge: 3, read: 4, batch: 1}
}

func (f *fixture) index(box store.MailboxID) {
	f.Helper()
	if err := f.s.indexBox(f.Context(), boxKey{f.a.id, box}, false); err != nil {
		f.Fatal(err)
	}
}

func native(c imap.SearchCriteria) store.Criteria { return store.Criteria{SearchCriteria: c} }

// randomPattern is a word, a piece of words, or something that is nowhere.
func randomPattern(r *rand.Rand) string {
	text := []rune(phrase(r, words, 1+r.IntN(3)))
	at := r.IntN(len(text))
	n := 1 + r.IntN(5)
	s := string(text[at:min(at+n, len(text))])
	switch r.IntN(12) {
	case 0:
		return s + "zq"
	case 1:
		return words[r.IntN(len(words))]
	case 2:
		return []string{"東", "見積書", "カタカナ", "株式会", "タカナ"}[r.IntN(5)]
	case 3:
		return []string{"mail.example.org", "hidden", "pream", "application/pdf", "subject: ", "x-empty:", "資料", "user1@", "AAEC"}[r.IntN(9)]
	case 4:
		return "\xff"
	}
	if !utf8.ValidString(s) {
		return "x"
	}
	return s
}

func randomCriteria(r *rand.Rand, depth int) store.Criteria {
	var c store.Criteria
	for range 1 + r.IntN(2) {
		switch p := randomPattern(r); r.IntN(8) {
		case 0, 1:
			c.Body = append(c.Body, p)
		case 2, 3:
			c.Text = append(c.Text, p)
		case 4, 5:
			field := []string{"Subject", "From", "To", "Cc", "Message-ID", "X-Fold", "X-Raw", "x-empty", "Content-Type"}[r.IntN(9)]
			if r.IntN(6) == 0 {
				p = ""
			}
			c.Header = append(c.Header, imap.SearchCriteriaHeaderField{Key: field, Value: p})
		case 6:
			c.Flag = append(c.Flag, imap.FlagSeen)
		case 7:
			c.SentSince = time.Date(2024, 5, 1+r.IntN(28), 0, 0, 0, 0, time.UTC)
		}
	}
	if depth > 0 && r.IntN(3) == 0 {
		c.Not = append(c.Not, randomCriteria(r, depth-1))
	}
	if depth > 0 && r.IntN(3) == 0 {
		c.Or = append(c.Or, [2]store.Criteria{randomCriteria(r, depth-1), randomCriteria(r, depth-1)})
	}
	return c
}

// matches is what Match says of each message: the definition.
func matches(ctx context.Context, t testing.TB, a *account, snap *store.Snapshot, c *store.Criteria) []imap.UID {
	t.Helper()
	var want []imap.UID
	m := c.Matcher(snap.Keywords(), time.Now())
	for msg, err := range a.Messages(ctx, snap, allUIDs, store.WithPart|store.WithHeader|store.WithBody) {
		if err != nil {
			t.Fatal(err)
		}
		ok, err := m.Match(ctx, msg)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			want = append(want, msg.UID)
		}
	}
	return want
}

// searches compares Search with Match for random criteria.
func (f *fixture) searches(r *rand.Rand, what string, snap *store.Snapshot, n int) {
	f.Helper()
	for range n {
		c := randomCriteria(r, 2)
		want := matches(f.Context(), f, f.a, snap, &c)
		for _, asked := range []string{what, what + ", again"} {
			got, err := f.a.Search(f.Context(), snap, &c)
			if err != nil {
				f.Fatal(err)
			}
			if !slices.Equal(got, want) {
				f.Fatalf("%s: %+v: found %v, want %v", asked, c, got, want)
			}
		}
	}
}

// TestIndexRandom searches random mails in every script and charset for random things, at all states of the index: what
// is found is always what Match says of every message.
func TestIndexRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, small)
			r := rand.New(rand.NewPCG(seed, 5))
			sent, err := f.a.Mailbox(t.Context(), "Sent")
			if err != nil {
				t.Fatal(err)
			}
			var older []*store.Snapshot
			for round := range 8 {
				texts := make([]string, 10+r.IntN(30))
				for i := range texts {
					texts[i] = randomMail(r, round*100+i)
				}
				f.mail(texts...)
				snap := f.openInbox(f.a)
				f.searches(r, "tail", snap, 8)
				if round != 3 {
					f.index(f.inbox)
				}
				f.searches(r, "indexed", snap, 12)
				f.shuffleMail(r, sent.ID, snap)
				older = append(older, snap)
				f.searches(r, "older", older[r.IntN(len(older))], 6)
				f.searches(r, "changed", f.openInbox(f.a), 8)
				f.index(sent.ID)
				_, there, err := f.a.Open(t.Context(), "Sent")
				if err != nil {
					t.Fatal(err)
				}
				f.searches(r, "moved", there, 6)
			}
			if n := f.number(`select count(*) from fts_seg where level > 0`); n == 0 {
				t.Error("nothing was merged")
			}
			if n := f.number(`select count(*) from fts_block b where not exists (select from fts_seg s where s.seg = b.seg and s.state = 0)`); n > 0 {
				t.Errorf("%d blocks of no segment are left", n)
			}
			if n := f.number(`select count(*) from fts_state`); n > 0 {
				t.Errorf("%d claims are left", n)
			}
		})
	}
}

// shuffleMail flags, expunges, copies and moves some messages.
func (f *fixture) shuffleMail(r *rand.Rand, sent store.MailboxID, snap *store.Snapshot) {
	f.Helper()
	some := func() imap.UIDSet {
		i := r.IntN(snap.Len())
		return uidRange(snap.UID(i), snap.UID(min(i+r.IntN(8), snap.Len()-1)))
	}
	f.flag(some(), imap.StoreFlagsAdd, imap.FlagSeen)
	f.expunge(some())
	if _, err := f.a.Copy(f.Context(), f.inbox, sent, some()); err != nil {
		f.Fatal(err)
	}
	if _, err := f.a.Move(f.Context(), f.inbox, sent, some()); err != nil {
		f.Fatal(err)
	}
}
