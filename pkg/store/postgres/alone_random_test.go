//nolint:errcheck // what is refused, or given up, is part of the test
package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"

	"postern/pkg/message"
	"postern/pkg/store"
)

// TestAloneRandom has processes that come and go do random things to two accounts at once, some of which are given up. After each
// round all of them must show what the database has.
func TestAloneRandom(t *testing.T) {
	t.Parallel()
	for _, trouble := range []bool{false, true} {
		t.Run(fmt.Sprintf("trouble %v", trouble), func(t *testing.T) {
			t.Parallel()
			r := newAloneRandom(t, trouble)
			for range 12 {
				r.round()
			}
		})
	}
}

type aloneRandom struct {
	*fixture
	conn     *pgx.Conn
	accounts []store.AccountID
	stores   []*Store // the first stays
	snaps    map[*Store]map[boxKey]*store.Snapshot
	trouble  bool
	n        int
}

var randomNames = []string{store.Inbox, "a", "b", "a/x", "a/y", "Sent", "c"}

func newAloneRandom(t *testing.T, trouble bool) *aloneRandom {
	r := &aloneRandom{fixture: newFixture(t, alone), trouble: trouble, snaps: map[*Store]map[boxKey]*store.Snapshot{}}
	r.stores = []*Store{r.s}
	for i := range 8 {
		id, err := r.s.CreateAccount(t.Context(), fmt.Sprintf("u%d@example.org", i), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		r.accounts = append(r.accounts, id)
	}
	var err error
	if r.conn, err = pgx.Connect(t.Context(), r.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.conn.Close(context.Background()) })
	return r
}

func pickOf[T any](of []T) T { return of[rand.IntN(len(of))] }

func (r *aloneRandom) round() {
	r.n++
	switch n := rand.IntN(6); {
	case n == 0 && len(r.stores) < 3:
		r.stores = append(r.stores, r.open(alone, func(o *Options) { o.CacheBytes = 3000 }))
	case n <= 2 && len(r.stores) > 1:
		s := r.stores[len(r.stores)-1]
		r.stores = r.stores[:len(r.stores)-1]
		s.Close()
		delete(r.snaps, s)
		if len(r.stores) == 1 {
			r.conn.Exec(context.Background(), `update nodes set released = true where node_id <> $1`, r.s.ids.number())
		}
	}
	if len(r.stores) == 1 && rand.IntN(2) == 0 {
		r.await("to be alone", r.s.presence.alone)
	}
	ids := []store.AccountID{pickOf(r.accounts), pickOf(r.accounts)}
	var wg sync.WaitGroup
	for range 1 + rand.IntN(4) {
		wg.Go(func() {
			for range 1 + rand.IntN(3) {
				ctx, cancel := context.WithCancel(context.Background())
				if r.trouble && rand.IntN(4) == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(4000))*time.Microsecond)
				}
				r.op(ctx, &account{s: pickOf(r.stores), id: pickOf(ids)}, pickOf(ids))
				cancel()
			}
		})
	}
	if r.trouble && rand.IntN(5) == 0 {
		r.conn.Exec(context.Background(), `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and random() < 0.3`)
	}
	wg.Wait()
	for _, s := range r.stores {
		for _, id := range ids {
			r.compare(&account{s: s, id: id})
		}
	}
}

func (r *aloneRandom) op(ctx context.Context, a *account, other store.AccountID) {
	name, to := pickOf(randomNames), pickOf(randomNames)
	box, err := a.Mailbox(ctx, name)
	if err != nil {
		a.Create(ctx, name)
		return
	}
	uids := uidRange(imap.UID(1+rand.IntN(int(box.UIDNext))), imap.UID(1+rand.IntN(int(box.UIDNext))))
	dest, err := a.Mailbox(ctx, to)
	if err != nil {
		dest = box
	}
	flags := []imap.Flag{pickOf([]imap.Flag{imap.FlagSeen, imap.FlagDeleted, imap.FlagFlagged, "k1", "k2", "k3", imap.Flag(fmt.Sprintf("k%d", rand.IntN(40)))})}
	switch rand.IntN(22) {
	case 0, 1, 2, 3, 4:
		sp, err := message.Spool(strings.NewReader(plain("x", rand.IntN(100))), message.SpoolOptions{})
		if err != nil {
			return
		}
		defer sp.Close()
		d := &store.Draft{Spooled: sp, Received: time.Now()}
		if rand.IntN(3) == 0 {
			d.Flags = flags
		}
		if rand.IntN(3) == 0 {
			d.DeliveryKey = []byte{byte(rand.IntN(20))}
		}
		if rand.IntN(6) == 0 {
			a.Replace(ctx, store.Replacement{From: box.ID, UID: uids[0].Start, To: dest.ID, Draft: d})
			return
		}
		a.Append(ctx, box.ID, d)
	case 5, 6, 7:
		a.SetFlags(ctx, box.ID, uids, store.FlagChange{Op: pickOf([]imap.StoreFlagsOp{imap.StoreFlagsAdd, imap.StoreFlagsDel, imap.StoreFlagsSet}), Flags: flags})
	case 8, 9:
		a.Expunge(ctx, box.ID, uids, store.Actor{})
	case 10:
		a.Copy(ctx, box.ID, dest.ID, uids)
	case 11:
		a.Move(ctx, box.ID, dest.ID, uids)
	case 12, 13:
		b, err := (&account{s: a.s, id: other}).Mailbox(ctx, to)
		if err == nil {
			a.Transfer(ctx, store.Transfer{From: box.ID, To: store.Place{Account: other, Mailbox: b.ID}, UIDs: uids, Move: rand.IntN(2) == 0})
		}
	case 14:
		a.Delete(ctx, name)
	case 15:
		a.Rename(ctx, name, to)
	case 16:
		a.Create(ctx, to)
	case 17, 18:
		a.Subscribe(ctx, name, rand.IntN(2) == 0)
	case 19:
		var v []byte
		if rand.IntN(2) == 0 {
			v = []byte(`\Junk`)
		}
		(&account{s: a.s, id: other}).SetAnnotations(ctx, store.Place{Account: a.id, Mailbox: box.ID}, store.Annotation{Box: box.ID, Entry: store.SpecialUseEntry, Value: v})
		a.SetAnnotations(ctx, store.Place{Account: a.id, Mailbox: box.ID}, store.Annotation{Box: box.ID, Entry: store.SpecialUseEntry, Value: v})
	case 20:
		a.ClaimRecent(ctx, box.ID, box.UIDNext)
	case 21:
		list, err := a.s.ListExpunged(ctx, a.id, "", time.Time{})
		if err == nil && len(list) > 0 {
			a.s.Undelete(ctx, a.id, pickOf(list), pickOf([]string{"", to}))
		}
	}
}

// facts are all that the database says of an account.
func (r *aloneRandom) facts(id store.AccountID) map[string]string {
	r.Helper()
	facts := map[string]string{}
	rows, err := r.conn.Query(context.Background(), sqlMailboxes, id)
	if err != nil {
		r.Fatal(err)
	}
	boxes, err := pgx.CollectRows(rows, asMailbox)
	if err != nil {
		r.Fatal(err)
	}
	for _, box := range boxes {
		var names []string
		if err := r.conn.QueryRow(context.Background(), sqlKeywords, id, box.ID).Scan(&names); err != nil {
			r.Fatal(err)
		}
		rows, err := r.conn.Query(context.Background(), sqlArrivals, id, box.ID, 0)
		if err != nil {
			r.Fatal(err)
		}
		msgs, err := readRows(rows, nil)
		if err != nil {
			r.Fatal(err)
		}
		var b strings.Builder
		for _, m := range msgs {
			fmt.Fprintln(&b, m.UID, m.ModSeq, m.ID, m.Flags, m.Size)
		}
		facts[box.Name] = fmt.Sprintf("%+v\n%v\n%s", box, names, b.String())
	}
	return facts
}

func (r *aloneRandom) shown(a *account, box store.Mailbox, snap *store.Snapshot) string {
	var b strings.Builder
	for i := range snap.Len() {
		m := snap.Row(i)
		fmt.Fprintln(&b, m.UID, m.ModSeq, m.ID, m.Flags, m.Size)
	}
	return fmt.Sprintf("%+v\n%v\n%s", box, snap.Keywords(), b.String())
}

func (r *aloneRandom) compare(a *account) {
	r.Helper()
	for _, s := range r.stores {
		r.await("marks to be written", func() bool {
			s.writeRecent(context.Background())
			return !s.recent.owes(a.id)
		})
	}
	for {
		before := r.facts(a.id)
		was := a.s.presence.alone()
		problem := r.differs(a, before)
		if problem == "" {
			return
		}
		after := r.facts(a.id)
		if fmt.Sprint(before) == fmt.Sprint(after) {
			r.Fatalf("round %d, account %d, node %d, alone %v:\n%s", r.n, a.id, a.s.ids.number(), was, problem)
		}
	}
}

func (r *aloneRandom) differs(a *account, facts map[string]string) string {
	if r.snaps[a.s] == nil {
		r.snaps[a.s] = map[boxKey]*store.Snapshot{}
	}
	held := r.snaps[a.s]
	again := func(do func() error) error {
		var err error
		r.await("the database", func() bool {
			err = do()
			return err == nil || strings.Contains(err.Error(), "not found")
		})
		return err
	}
	for _, name := range slices.Concat(randomNames, randomNames) {
		want, there := facts[name]
		var box, status store.Mailbox
		var snap *store.Snapshot
		err1 := again(func() (err error) { status, err = a.Mailbox(context.Background(), name); return err })
		err := again(func() (err error) { box, snap, err = a.Open(context.Background(), name); return err })
		if (err == nil) != there || (err1 == nil) != there {
			return fmt.Sprintf("%q: there: %v, Open: %v, Mailbox: %v", name, there, err, err1)
		}
		if !there {
			continue
		}
		if got := r.shown(a, box, snap); got != want {
			return fmt.Sprintf("%q is\n%s\nand is shown as\n%s", name, want, got)
		}
		if fmt.Sprint(status) != fmt.Sprint(box) {
			return fmt.Sprintf("%q: STATUS %+v\nOpen %+v", name, status, box)
		}
		key := boxKey{a.id, box.ID}
		if old := held[key]; old != nil {
			var now *store.Snapshot
			err := again(func() (err error) { now, _, err = a.Refresh(context.Background(), old); return err })
			if err != nil {
				return fmt.Sprintf("refresh %q: %v", name, err)
			}
			if got := r.shown(a, box, now); got != want {
				return fmt.Sprintf("%q is\n%s\nand is refreshed as\n%s", name, want, got)
			}
			snap = now
		}
		held[key] = snap
	}
	return ""
}
