package postgres

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// The kinds of journal rows. Arrivals need none: their UIDs are at or above the UIDNEXT last seen.
const (
	journalAdd     = 1
	journalRemove  = 2
	journalReplace = 3
	journalExpunge = 4
)

// To journalReplace is added which flags stay as they were, as the rights that were denied.
const (
	kindMask  = 7
	kindShift = 3
)

func journalDenied(r store.Rights) int16 {
	return int16(r&(store.RightSeen|store.RightWrite)>>2|r&store.RightDeleteMsgs>>6) << kindShift
}

func deniedIn(kind int16) store.Rights {
	bits := store.Rights(kind >> kindShift)
	return bits&3<<2 | bits&4<<6
}

// journalEntry is one row of the journal: what one command did to a set of messages.
type journalEntry struct {
	at    store.ModSeq
	kind  int16
	flags store.FlagSet
	uids  imap.UIDSet
}

var errMultirange = errors.New("malformed int8multirange")

// Flags of a range in PostgreSQL's binary format.
const (
	rangeEmpty   = 1
	rangeLowerIn = 2
	rangeUpperIn = 4
	rangeInf     = 8 | 16
)

// decodeMultirange reads an int8multirange in binary format as a set of UIDs. Any input is safe.
func decodeMultirange(src []byte) (imap.UIDSet, error) {
	if len(src) < 4 {
		return nil, errMultirange
	}
	n := binary.BigEndian.Uint32(src)
	src = src[4:]
	if uint64(n) > uint64(len(src))/5 {
		return nil, errMultirange
	}
	set := make(imap.UIDSet, 0, n)
	for range n {
		if len(src) < 4 {
			return nil, errMultirange
		}
		size := binary.BigEndian.Uint32(src)
		src = src[4:]
		if uint64(size) > uint64(len(src)) {
			return nil, errMultirange
		}
		r, ok, err := decodeRange(src[:size])
		if err != nil {
			return nil, err
		}
		if ok {
			set = append(set, r)
		}
		src = src[size:]
	}
	return set, nil
}

// decodeRange reads one int8range of UIDs; ok is false for an empty one. PostgreSQL keeps them as [lower,upper).
func decodeRange(src []byte) (r imap.UIDRange, ok bool, err error) {
	if len(src) == 1 && src[0]&rangeEmpty != 0 {
		return r, false, nil
	}
	if len(src) != 25 || src[0]&rangeInf != 0 {
		return r, false, errMultirange
	}
	lo, hi := int64(binary.BigEndian.Uint64(src[5:])), int64(binary.BigEndian.Uint64(src[17:]))
	if src[0]&rangeLowerIn == 0 {
		lo++
	}
	if src[0]&rangeUpperIn == 0 {
		hi--
	}
	if lo < 1 || hi < lo || hi > 1<<32-1 {
		return r, false, errMultirange
	}
	return imap.UIDRange{Start: imap.UID(lo), Stop: imap.UID(hi)}, true, nil
}

// apply is what a journal row does to the flags of a message.
func (e *journalEntry) apply(f store.FlagSet) store.FlagSet {
	switch e.kind & kindMask {
	case journalAdd:
		f.System |= e.flags.System
		f.Keywords |= e.flags.Keywords
	case journalRemove:
		f.System &^= e.flags.System
		f.Keywords &^= e.flags.Keywords
	case journalReplace:
		stay := deniedIn(e.kind).Flags()
		f.System = f.System&stay.System | e.flags.System
		f.Keywords = f.Keywords&stay.Keywords | e.flags.Keywords
	}
	return f
}

// replay finds what the rows of a journal, in order, make of the messages of base. Replaying rows that base has seen
// already does no harm as long as those after them are replayed too: the last one that touches a flag decides.
func replay(base *store.Snapshot, journal []journalEntry) (flagged, removed []store.Entry) {
	places := make([][][2]int, len(journal))
	var all [][2]int
	for i := range journal {
		places[i] = base.Indices(journal[i].uids)
		all = append(all, places[i]...)
	}
	t := newTouched(base, all)
	for i := range journal {
		for _, r := range places[i] {
			t.apply(&journal[i], r)
		}
	}
	return t.result()
}

// touched holds the messages of a Snapshot that journal rows mention: runs of places, their entries one after another.
type touched struct {
	runs    []run
	entries []store.Entry
	gone    []bool
}

// run says that the places [from, to) of a Snapshot are kept at entries[at:].
type run struct{ from, to, at int }

func newTouched(base *store.Snapshot, places [][2]int) *touched {
	slices.SortFunc(places, func(a, b [2]int) int { return cmp.Compare(a[0], b[0]) })
	t := new(touched)
	for _, p := range places {
		if n := len(t.runs); n > 0 && p[0] <= t.runs[n-1].to {
			t.runs[n-1].to = max(t.runs[n-1].to, p[1])
		} else {
			t.runs = append(t.runs, run{from: p[0], to: p[1]})
		}
	}
	for i := range t.runs {
		r := &t.runs[i]
		r.at = len(t.entries)
		for place := r.from; place < r.to; place++ {
			t.entries = append(t.entries, base.Entry(place))
		}
	}
	t.gone = make([]bool, len(t.entries))
	return t
}

// apply lets e happen to the messages at the places [p[0], p[1]), which lie within one run.
func (t *touched) apply(e *journalEntry, p [2]int) {
	i, found := slices.BinarySearchFunc(t.runs, p[0], func(r run, place int) int { return cmp.Compare(r.from, place) })
	if !found {
		i--
	}
	at := t.runs[i].at + p[0] - t.runs[i].from
	for j := at; j < at+p[1]-p[0]; j++ {
		t.entries[j].ModSeq = e.at
		t.entries[j].Flags = e.apply(t.entries[j].Flags)
		t.gone[j] = t.gone[j] || e.kind == journalExpunge
	}
}

// result returns what has changed and what has gone, ascending by UID.
func (t *touched) result() (flagged, removed []store.Entry) {
	for i, e := range t.entries {
		if t.gone[i] {
			removed = append(removed, store.Entry{UID: e.UID, ModSeq: e.ModSeq})
		} else {
			flagged = append(flagged, e)
		}
	}
	return flagged, removed
}
