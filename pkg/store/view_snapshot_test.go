package store

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// session is a client over Snapshots: it opens one, stores flags itself, and hears of the rest.
type session struct {
	modelClient
	snap *Snapshot
	told map[imap.UID]ModSeq
}

// TestViewOverSnapshots is TestViewModel with several sessions on Snapshots that share columns. A session that stores
// flags knows the result from the reply and must not hear of it again.
func TestViewOverSnapshots(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 3))
		now := snapshotOf(rowsOf(r.IntN(20), 1))
		var sessions []*session
		for range 3 {
			s := &session{snap: now, told: map[imap.UID]ModSeq{}}
			s.view = now.View()
			for i := range now.Len() {
				s.msgs = append(s.msgs, now.Entry(i))
			}
			sessions = append(sessions, s)
		}
		for range 80 {
			s := sessions[r.IntN(len(sessions))]
			switch r.IntN(4) {
			case 0:
				now = now.Next(randomDelta(r, now))
			case 1:
				now = s.store(r, now)
			default:
				s.sync(t, now, r.IntN(2) == 0, r.IntN(2) == 0)
			}
		}
		for i, s := range sessions {
			s.sync(t, now, true, true)
			s.check(t, now, i)
		}
	}
}

// store changes the flags of messages that are there and known, and tells the view.
func (s *session) store(r *rand.Rand, now *Snapshot) *Snapshot {
	if s.view.Len() == 0 {
		return now
	}
	seq := 1 + r.Uint32N(s.view.Len())
	uid, _ := s.view.UID(seq)
	if _, ok := now.Find(uid); !ok {
		return now
	}
	e := Entry{UID: uid, ModSeq: now.ModSeq() + 1, Flags: FlagSet{System: SystemFlags(r.IntN(32))}}
	s.view.Told(e)
	s.told[uid] = e.ModSeq
	s.msgs[seq-1] = e
	return now.Next(Delta{ModSeq: e.ModSeq, Flagged: []Entry{e}})
}

func (s *session) sync(t *testing.T, now *Snapshot, expunge, follow bool) {
	t.Helper()
	reported := s.view.Reported()
	s.view.Apply(now.ChangesFrom(s.snap))
	if follow {
		s.view.Follow(now)
	}
	s.snap = now
	fresh := false
	for ev := range s.view.Announce(expunge) {
		switch ev.Kind {
		case Exists:
			s.msgs = append(s.msgs, make([]Entry, int(ev.Count)-len(s.msgs))...)
			fresh = true
		case Expunged:
			s.msgs = slices.Delete(s.msgs, int(ev.Seq-1), int(ev.Seq))
		case Flagged:
			if s.told[ev.Entry.UID] == ev.Entry.ModSeq {
				t.Fatalf("told again of %+v", ev.Entry)
			}
			if ev.New != (s.msgs[ev.Seq-1].UID == 0) || (ev.New && !fresh) {
				t.Fatalf("New is %v for %+v", ev.New, ev.Entry)
			}
			s.msgs[ev.Seq-1] = ev.Entry
		}
	}
	if s.view.Reported() < reported {
		t.Fatalf("Reported fell from %d to %d", reported, s.view.Reported())
	}
}

func (s *session) check(t *testing.T, now *Snapshot, i int) {
	t.Helper()
	if int(s.view.Len()) != now.Len() || s.view.Reported() != now.ModSeq() {
		t.Fatalf("session %d: %d messages at %d, want %d at %d", i, s.view.Len(), s.view.Reported(), now.Len(), now.ModSeq())
	}
	for j, m := range s.msgs {
		if m != now.Entry(j) {
			t.Fatalf("session %d: knows %+v, want %+v", i, m, now.Entry(j))
		}
	}
}

// announced collects what a View says.
func announced(v *View, expunge bool) []Event { return slices.Collect(v.Announce(expunge)) }

func TestViewWithheldExpunge(t *testing.T) {
	t.Parallel()
	s := snapshotOf(rowsOf(3, 1))
	v := s.View()
	v.Apply(Changes{Since: 10, Until: 11, Flagged: []Entry{{UID: 2, ModSeq: 11}}})
	v.Apply(Changes{Since: 11, Until: 14, Removed: []Entry{{UID: 2, ModSeq: 14}}})
	v.Apply(Changes{Since: 14, Until: 15, Flagged: []Entry{{UID: 2, ModSeq: 15}}})
	if got := announced(v, false); len(got) != 0 {
		t.Errorf("flags of a message that is gone were announced: %+v", got)
	}
	if got := v.Reported(); got != 11 {
		t.Errorf("Reported() = %d while an expunge after 11 is withheld", got)
	}
	if seq, ok := v.Seq(2); !ok || seq != 2 {
		t.Errorf("the number of a message moved before its expunge was announced")
	}
	if got := announced(v, true); len(got) != 1 || got[0].Kind != Expunged || got[0].Seq != 2 {
		t.Errorf("announced %+v", got)
	}
	if got := v.Reported(); got != 15 {
		t.Errorf("Reported() = %d", got)
	}
	if s.Len() != 3 || s.UID(1) != 2 {
		t.Errorf("the View wrote into the Snapshot")
	}
}

func TestViewTold(t *testing.T) {
	t.Parallel()
	at := func(m ModSeq) Entry { return Entry{UID: 1, ModSeq: m} }
	for _, test := range []struct {
		name string
		do   func(v *View)
		want int
	}{
		{"own change", func(v *View) {
			v.Told(at(11))
			v.Apply(Changes{Since: 10, Until: 11, Flagged: []Entry{at(11)}})
		}, 0},
		{"another change after it", func(v *View) {
			v.Told(at(11))
			v.Apply(Changes{Since: 10, Until: 12, Flagged: []Entry{at(12)}})
		}, 1},
		{"an older change not yet announced", func(v *View) {
			v.Apply(Changes{Since: 10, Until: 11, Flagged: []Entry{at(11)}})
			v.Told(at(12))
			v.Apply(Changes{Since: 11, Until: 12, Flagged: []Entry{at(12)}})
		}, 0},
		{"changes before it come first", func(v *View) {
			v.Told(at(12))
			v.Apply(Changes{Since: 10, Until: 11})
			v.Apply(Changes{Since: 11, Until: 12, Flagged: []Entry{at(12)}})
		}, 0},
	} {
		v := NewView([]imap.UID{1}, 10)
		test.do(v)
		if got := announced(v, true); len(got) != test.want {
			t.Errorf("%s: announced %+v", test.name, got)
		}
	}
}

// TestViewsShare checks that Views of one Snapshot do not write into one another, and that Follow shares again.
func TestViewsShare(t *testing.T) {
	t.Parallel()
	s := snapshotOf(rowsOf(10, 1))
	a, b := s.View(), s.View()
	next := s.Next(Delta{ModSeq: 11, Added: []Row{{UID: 11, ModSeq: 11}}, Removed: []imap.UID{3}})
	for _, v := range []*View{a, b} {
		v.Apply(next.ChangesFrom(s))
	}
	a.Follow(next)
	announced(a, true)
	if &a.uids.all[0] != &next.col.uid[0] {
		t.Error("the View did not share the new column")
	}
	if b.Len() != 10 || s.Len() != 10 {
		t.Error("one View changed another")
	}
	announced(b, true)
	if !slices.Equal(a.uids.list(), b.uids.list()) {
		t.Errorf("%v and %v", a.uids.list(), b.uids.list())
	}
	third := next.Next(Delta{ModSeq: 12, Added: []Row{{UID: 12, ModSeq: 12}}})
	a.Apply(Changes{Since: 11, Until: 12, Added: []Entry{{UID: 77, ModSeq: 12}}})
	announced(a, true)
	if third.UID(third.Len()-1) != 12 {
		t.Error("the View wrote into the room behind the Snapshot")
	}
}
