package store

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// TestViewModel lets random things happen to a mailbox while a client watches it through a View. The client knows only
// what it is told: EXISTS, EXPUNGE and FETCH. In the end it must know the mailbox.
func TestViewModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 0))
		box, c := &modelBox{at: 1, next: 1}, &modelClient{view: NewView(nil, 1)}
		for step := range 60 {
			switch r.IntN(6) {
			case 0, 1:
				box.add()
			case 2:
				box.remove(r)
			case 3:
				box.flag(r, FlagSet{Keywords: uint64(step)})
			case 4:
				c.sync(t, box, false)
			case 5:
				c.sync(t, box, true)
			}
			c.checkResolve(t, r)
		}
		c.sync(t, box, true)
		if got, want := c.msgs, box.live(); !slices.EqualFunc(got, want, sameEntry) {
			t.Fatalf("seed %d: client knows %v, mailbox holds %v", seed, got, want)
		}
		if got := c.view.Reported(); got != box.at {
			t.Fatalf("seed %d: Reported() = %d, want %d", seed, got, box.at)
		}
	}
}

type modelBox struct {
	rows []modelRow
	at   ModSeq
	next imap.UID
}

type modelRow struct {
	Entry
	created, gone ModSeq
}

func (b *modelBox) add() {
	b.at++
	b.rows = append(b.rows, modelRow{Entry: Entry{UID: b.next, ModSeq: b.at}, created: b.at})
	b.next++
}

func (b *modelBox) pick(r *rand.Rand) *modelRow {
	if len(b.rows) == 0 {
		return nil
	}
	if row := &b.rows[r.IntN(len(b.rows))]; row.gone == 0 {
		b.at++
		return row
	}
	return nil
}

func (b *modelBox) remove(r *rand.Rand) {
	if row := b.pick(r); row != nil {
		row.gone = b.at
	}
}

func (b *modelBox) flag(r *rand.Rand, f FlagSet) {
	if row := b.pick(r); row != nil {
		row.ModSeq, row.Flags = b.at, f
	}
}

func (b *modelBox) changes(since ModSeq) Changes {
	ch := Changes{Since: since, Until: b.at, Complete: true}
	for _, row := range b.rows {
		switch {
		case row.gone > since && row.created <= since:
			ch.Removed = append(ch.Removed, Entry{UID: row.UID, ModSeq: row.gone})
		case row.gone != 0:
		case row.created > since:
			ch.Added = append(ch.Added, row.Entry)
		case row.ModSeq > since:
			ch.Flagged = append(ch.Flagged, row.Entry)
		}
	}
	return ch
}

func (b *modelBox) live() (es []Entry) {
	for _, row := range b.rows {
		if row.gone == 0 {
			es = append(es, row.Entry)
		}
	}
	return es
}

type modelClient struct {
	view *View
	msgs []Entry
}

func (c *modelClient) sync(t *testing.T, b *modelBox, expunge bool) {
	t.Helper()
	c.view.Apply(b.changes(c.view.ModSeq()))
	for ev := range c.view.Announce(expunge) {
		switch ev.Kind {
		case Exists:
			c.msgs = append(c.msgs, make([]Entry, int(ev.Count)-len(c.msgs))...)
		case Expunged:
			if known := c.msgs[ev.Seq-1].UID; known != ev.Entry.UID {
				t.Fatalf("EXPUNGE %d means UID %d, but the client has UID %d there", ev.Seq, ev.Entry.UID, known)
			}
			c.msgs = slices.Delete(c.msgs, int(ev.Seq-1), int(ev.Seq))
		case Flagged:
			if known := c.msgs[ev.Seq-1].UID; known != 0 && known != ev.Entry.UID {
				t.Fatalf("FETCH %d means UID %d, but the client has UID %d there", ev.Seq, ev.Entry.UID, known)
			}
			c.msgs[ev.Seq-1] = ev.Entry
		}
	}
}

func (c *modelClient) checkResolve(t *testing.T, r *rand.Rand) {
	t.Helper()
	if len(c.msgs) == 0 {
		return
	}
	lo, hi := uint32(r.IntN(len(c.msgs))+1), uint32(r.IntN(len(c.msgs))+1)
	got, err := c.view.Resolve(imap.SeqSet{{Start: lo, Stop: hi}})
	if err != nil {
		t.Fatal(err)
	}
	lo, hi = min(lo, hi), max(lo, hi)
	for i, m := range c.msgs {
		if in := uint32(i+1) >= lo && uint32(i+1) <= hi; in != got.Contains(m.UID) {
			t.Fatalf("Resolve(%d:%d) = %v; message %d is UID %d", lo, hi, got, i+1, m.UID)
		}
	}
	byUID, err := c.view.Resolve(imap.UIDSet{{Start: c.msgs[lo-1].UID, Stop: c.msgs[hi-1].UID}})
	if err != nil || byUID.String() != got.String() {
		t.Fatalf("by UID %v, by number %v, %v", byUID, got, err)
	}
}

func sameEntry(a, b Entry) bool {
	return a.UID == b.UID && a.ModSeq == b.ModSeq && a.Flags == b.Flags
}
