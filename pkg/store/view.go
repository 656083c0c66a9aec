package store

import (
	"cmp"
	"errors"
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/emersion/go-imap/v2"
)

// ErrNoSuchNumber is returned for a message number the client has not been given.
var ErrNoSuchNumber = errors.New("no such message number")

// View is one session's picture of a mailbox: the messages its client has been told of, in order. It holds the only
// message numbers there are (rule 2). A View belongs to one goroutine.
type View struct {
	uids   uidList             // what the client knows; a message's number is one more than its number here
	base   *Snapshot           // what the View will show when all is announced, see Follow; may be nil
	gone   map[imap.UID]ModSeq // of those: expunged after this mod-sequence, the client not yet told
	dirty  map[imap.UID]Entry  // of those: flags changed, the client not yet told
	fresh  []Entry             // new messages, the client not yet told
	news   imap.UID            // the first message of the latest Exists
	told   map[imap.UID]ModSeq // changes the client knows of from a command's own reply
	modSeq ModSeq              // everything up to here has been applied
}

// NewView returns a View of a mailbox that held uids, in ascending order, at the given mod-sequence.
func NewView(uids []imap.UID, at ModSeq) *View {
	return &View{
		uids:   uidList{all: slices.Clip(uids)}, // so that growing copies
		gone:   make(map[imap.UID]ModSeq),
		dirty:  make(map[imap.UID]Entry),
		told:   make(map[imap.UID]ModSeq),
		modSeq: at,
	}
}

// Len is the number of messages the client knows of: EXISTS.
func (v *View) Len() uint32 { return uint32(v.uids.len()) }

// ModSeq is where the next Changes should start.
func (v *View) ModSeq() ModSeq { return v.modSeq }

// UID returns the UID of message number seq.
func (v *View) UID(seq uint32) (imap.UID, bool) {
	if seq == 0 || seq > v.Len() {
		return 0, false
	}
	return v.uids.at(int(seq - 1)), true
}

// Seq returns the number of the message with the given UID.
func (v *View) Seq(uid imap.UID) (uint32, bool) {
	i, ok := v.uids.find(uid)
	return uint32(i + 1), ok
}

// Resolve turns what a client wrote into the UIDs of messages it knows, ascending. Unknown UIDs are dropped; an unknown
// message number, any number of an empty mailbox included, is ErrNoSuchNumber (RFC 3501 §9, seq-number). "n:*" includes
// the last message even if n is above it.
func (v *View) Resolve(set imap.NumSet) (imap.UIDSet, error) {
	var found [][2]int
	switch set := set.(type) {
	case imap.SeqSet:
		for _, r := range set {
			lo, hi := ends(r.Start, r.Stop, v.Len())
			if lo == 0 || hi > v.Len() {
				return nil, ErrNoSuchNumber
			}
			found = append(found, [2]int{int(lo - 1), int(hi)})
		}
		found = merge(found)
	case imap.UIDSet:
		found = v.uids.places(v.absolute(set))
	}
	var uids imap.UIDSet
	for _, f := range found {
		uids = v.uids.appendRuns(uids, f[0], f[1])
	}
	return uids, nil
}

// absolute puts the last UID in the place of "*" and the ranges in order.
func (v *View) absolute(set imap.UIDSet) imap.UIDSet {
	if v.Len() == 0 {
		return nil
	}
	if normal(set) {
		return set
	}
	last := v.uids.at(v.uids.len() - 1)
	static := make(imap.UIDSet, len(set))
	for i, r := range set {
		static[i].Start, static[i].Stop = ends(r.Start, r.Stop, last)
	}
	return Normalize(static)
}

// merge sorts ranges [from, to) and joins those that touch.
func merge(ranges [][2]int) [][2]int {
	slices.SortFunc(ranges, func(a, b [2]int) int { return cmp.Compare(a[0], b[0]) })
	merged := ranges[:0]
	for _, r := range ranges {
		if last := len(merged) - 1; last >= 0 && r[0] <= merged[last][1] {
			merged[last][1] = max(merged[last][1], r[1])
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// ends sorts the ends of a range in which 0 stands for "*".
func ends[T cmp.Ordered](a, b, star T) (lo, hi T) {
	var zero T
	if a == zero {
		a = star
	}
	if b == zero {
		b = star
	}
	return min(a, b), max(a, b)
}

// Told records changes the client has learned from a command's own reply, so that they are not announced again. It
// must be called before the Changes that contain them are applied. Of a STORE with .SILENT only those may be told whose
// flags are what the client must expect (FlagChange.Apply on what it knew): another session's change shows in the same
// Entry.
func (v *View) Told(entries ...Entry) {
	for _, e := range entries {
		v.told[e.UID] = max(v.told[e.UID], e.ModSeq)
		if d, ok := v.dirty[e.UID]; ok && d.ModSeq <= e.ModSeq {
			delete(v.dirty, e.UID)
		}
	}
}

// Apply absorbs changes. The client is told nothing and no message number moves. Changes of flags that have not been
// announced when the message goes are never announced.
func (v *View) Apply(ch Changes) {
	v.fresh = append(v.fresh, ch.Added...)
	for _, e := range ch.Flagged {
		if i, ok := v.findFresh(e.UID); ok {
			v.fresh[i] = e
		} else if v.knows(e.UID) && v.told[e.UID] < e.ModSeq {
			v.dirty[e.UID] = e
		}
	}
	for _, e := range ch.Removed {
		if i, ok := v.findFresh(e.UID); ok {
			v.fresh = slices.Delete(v.fresh, i, i+1) // came and went unseen
		} else if v.knows(e.UID) {
			v.gone[e.UID] = ch.Since // it went later than that; how much later, Removed need not say
			delete(v.dirty, e.UID)
		}
	}
	v.modSeq = ch.Until
	maps.DeleteFunc(v.told, func(_ imap.UID, at ModSeq) bool { return at <= ch.Until })
}

// Follow says that s is the version the latest Changes led to. When all is announced the View shares its column again
// instead of keeping one of its own. It is optional and saves memory; call it between Apply and Announce.
func (v *View) Follow(s *Snapshot) { v.base = s }

// knows reports whether the client has been told of a message and not lost it since.
func (v *View) knows(uid imap.UID) bool {
	if _, gone := v.gone[uid]; gone {
		return false
	}
	_, ok := v.Seq(uid)
	return ok
}

func (v *View) findFresh(uid imap.UID) (int, bool) {
	return slices.BinarySearchFunc(v.fresh, uid, func(e Entry, uid imap.UID) int { return cmp.Compare(e.UID, uid) })
}

// Gone are the messages, ascending, that the next Announce of expunges will take away.
func (v *View) Gone() []imap.UID { return slices.Sorted(maps.Keys(v.gone)) }

// Reported is the mod-sequence up to which the client has been told everything: the HIGHESTMODSEQ it is safe to state
// while an expunge is being withheld (RFC 7162 §3.2.7). It never falls. Call it after Announce.
func (v *View) Reported() ModSeq {
	at := v.modSeq
	for _, since := range v.gone {
		at = min(at, since)
	}
	return at
}

// EventKind says which of an Event's fields are set.
type EventKind int

// The kinds of events, and the fields they use.
const (
	Expunged EventKind = iota // Seq, Entry.UID
	Exists                    // Count
	Flagged                   // Seq, Entry, New
)

// Event is one thing to tell a client.
type Event struct {
	Kind  EventKind
	Seq   uint32
	Count uint32
	Entry Entry
	New   bool // the message is one of those that the Exists just before told of
}

// Announce yields what the client must now be told, in the order it must hear it, and moves the View to match. If
// expunge is false, expunges are withheld until a later call. The sequence must be read to its end, and the View left
// alone meanwhile.
func (v *View) Announce(expunge bool) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		if expunge && !v.announceGone(yield) {
			return
		}
		if v.announceFresh(yield) {
			v.announceDirty(yield)
		}
		v.base = nil
	}
}

func (v *View) announceGone(yield func(Event) bool) bool {
	if len(v.gone) == 0 {
		return true
	}
	gaps := make([]int, 0, len(v.gone))
	for _, uid := range slices.Sorted(maps.Keys(v.gone)) {
		i, _ := v.Seq(uid)
		gap := int(i - 1)
		if !yield(Event{Kind: Expunged, Seq: uint32(gap - len(gaps) + 1), Entry: Entry{UID: uid}}) {
			return false
		}
		gaps = append(gaps, gap)
	}
	clear(v.gone)
	if !v.share(v.uids.len() - len(gaps)) {
		v.uids = v.uids.without(gaps)
	}
	return true
}

func (v *View) announceFresh(yield func(Event) bool) bool {
	v.news = math.MaxUint32
	if len(v.fresh) == 0 {
		return true
	}
	v.news = v.fresh[0].UID
	for _, e := range v.fresh {
		v.dirty[e.UID] = e
	}
	if !v.share(v.uids.len() + len(v.fresh)) {
		for _, e := range v.fresh {
			v.uids.all = append(v.uids.all, e.UID)
		}
	}
	v.fresh = nil
	return yield(Event{Kind: Exists, Count: v.Len()})
}

// share takes the column of the base if that is what the client is about to know: if it has as many messages. What is
// being withheld makes a difference in number, for the base lacks it.
func (v *View) share(n int) bool {
	if v.base == nil || v.base.ModSeq() != v.modSeq || v.base.Len() != n {
		return false
	}
	v.uids = v.base.uids()
	return true
}

func (v *View) announceDirty(yield func(Event) bool) {
	for _, uid := range slices.Sorted(maps.Keys(v.dirty)) {
		seq, _ := v.Seq(uid)
		if !yield(Event{Kind: Flagged, Seq: seq, Entry: v.dirty[uid], New: uid >= v.news}) {
			return
		}
	}
	clear(v.dirty)
}
