//go:build !race

package store

import (
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/allocs"
)

// TestBudget: what readers and news of a mailbox of 10,000 allocate.
func TestBudget(t *testing.T) {
	const n = 10_000
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = Row{UID: imap.UID(i + 1), ModSeq: ModSeq(i + 1), Flags: FlagSet{System: SystemFlags(i % 32)}, Size: 1000, ID: MessageID(i)}
	}
	snap := NewSnapshot(Mailbox{ID: 1, UIDNext: n + 1, ModSeq: n}, nil, rows)
	sum := 0
	allocs.Check(t, "the entries of a snapshot", allocs.Most{}, func() {
		for i := range snap.Len() {
			sum += int(snap.Entry(i).Flags.System) + int(snap.UID(i))
		}
	})
	allocs.Check(t, "a view", allocs.Most{}, func() { snap.View() })

	all := imap.UIDSet{{Start: 1, Stop: n}}
	view := snap.View()
	allocs.Check(t, "resolving 1:*", allocs.Most{Objects: 1, Octets: 32}, func() {
		uids, err := view.Resolve(imap.SeqSet{{Start: 1}})
		if err != nil || len(uids) != 1 {
			t.Fatal(uids, err)
		}
	})
	allocs.Check(t, "the places of a set", allocs.Most{Objects: 1, Octets: 48}, func() { snap.Indices(all) })

	c := Criteria{SearchCriteria: imap.SearchCriteria{Flag: []imap.Flag{imap.FlagFlagged}, NotFlag: []imap.Flag{imap.FlagSeen}}}
	m := c.Matcher(nil, time.Now())
	allocs.Check(t, "searching by flags", allocs.Most{}, func() {
		for i := range snap.Len() {
			if ok, _ := m.MatchRow(snap, i); ok {
				sum++
			}
		}
	})
	newsBudget(t, snap)
}

// newsBudget: one message comes, has its flags changed and goes, in the snapshot and in a session's view of it.
func newsBudget(t *testing.T, snap *Snapshot) {
	n := imap.UID(snap.Len())
	at := snap.ModSeq()
	arrival := []Row{{UID: n + 1, ModSeq: at + 1}}
	grown := snap.Next(Delta{ModSeq: at + 1, UIDNext: n + 2, Added: arrival}) // owns what snap left
	allocs.Check(t, "the next version, with another message", allocs.Most{Objects: 2, Octets: 672}, func() {
		at++
		n++
		arrival[0] = Row{UID: n + 1, ModSeq: at + 1}
		grown = grown.Next(Delta{ModSeq: at + 1, UIDNext: n + 2, Added: arrival})
	})
	removed := []imap.UID{5000}
	allocs.Check(t, "the next version, without a message", allocs.Most{Objects: 4, Octets: 704}, func() {
		grown.Next(Delta{ModSeq: at + 1, Removed: removed})
	})
	flagged := []Entry{{UID: 5000, ModSeq: at + 1}}
	allocs.Check(t, "the next version, with other flags", allocs.Most{Objects: 4, Octets: 44912}, func() {
		grown.Next(Delta{ModSeq: at + 1, Flagged: flagged})
	})
	view := snap.View()
	allocs.Check(t, "a view that learns of a message, other flags and an expunge", allocs.Most{Objects: 18, Octets: 69824}, func() {
		v := *view
		v.gone, v.dirty, v.told = map[imap.UID]ModSeq{}, map[imap.UID]Entry{}, map[imap.UID]ModSeq{}
		v.Apply(Changes{Since: 1, Until: 2, Added: []Entry{{UID: 20_000}}, Flagged: flagged, Removed: []Entry{{UID: 7}}})
		for range v.Announce(true) {
		}
	})
}
