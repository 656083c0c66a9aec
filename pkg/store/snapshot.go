package store

import (
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"
)

// Snapshot is a mailbox at one mod-sequence: columns sorted by UID. It is immutable and shared by every session of the
// process that has the mailbox open, whatever its protocol; a newer version shares the columns that did not change. It
// is safe for concurrent use. Places run from 0 to Len()-1; a place out of range panics.
type Snapshot struct {
	box         MailboxID
	uidValidity uint32
	uidNext     imap.UID
	modSeq      ModSeq
	keywords    []imap.Flag
	col         columns
	chunks      []chunk // all but the last are full
	gone        holes   // of col and chunks
	// tail is how much of the arrays behind col and the last chunk is in use, by whichever version: the version that
	// moves it may write there, every other must copy first.
	tail *atomic.Int64
}

// NewSnapshot makes a Snapshot of rows, ascending by UID. box supplies id, UIDVALIDITY, UIDNEXT and mod-sequence. The
// Snapshot keeps keywords, but not rows.
func NewSnapshot(box Mailbox, keywords []imap.Flag, rows []Row) *Snapshot {
	s := emptySnapshot(box, keywords)
	s.col = makeColumns(len(rows))
	s.chunks = make([]chunk, 0, len(rows)/chunkLen+1)
	s.add(rows)
	s.tail.Store(int64(len(rows)))
	return s
}

// emptySnapshot is a Snapshot without messages.
func emptySnapshot(box Mailbox, keywords []imap.Flag) *Snapshot {
	return &Snapshot{
		box:         box.ID,
		uidValidity: box.UIDValidity,
		uidNext:     box.UIDNext,
		modSeq:      box.ModSeq,
		keywords:    slices.Clip(keywords),
		tail:        new(atomic.Int64),
	}
}

// Delta is what makes the next version of a Snapshot out of one.
type Delta struct {
	ModSeq   ModSeq
	UIDNext  imap.UID
	Keywords []imap.Flag // all of them; nil means unchanged
	Added    []Row       // ascending; rows at or below the last UID of the Snapshot are known and skipped
	Flagged  []Entry     // ascending, of messages of the Snapshot or of Added; others are skipped
	Removed  []imap.UID  // ascending, of messages of the Snapshot; others are skipped
}

// Next returns the Snapshot that d makes of s. A change of flags costs a copy of the 4096 messages around it; added
// messages cost their number, amortised, if s is the newest version; a removal costs a copy of the columns once in a while.
func (s *Snapshot) Next(d Delta) *Snapshot {
	n := *s
	n.modSeq = max(s.modSeq, d.ModSeq)
	n.uidNext = max(s.uidNext, d.UIDNext)
	if d.Keywords != nil {
		n.keywords = slices.Clip(d.Keywords)
	}
	added := d.Added
	for have := len(s.col.uid); len(added) > 0 && have > 0 && added[0].UID <= s.col.uid[have-1]; {
		added = added[1:]
	}
	n.chunks = slices.Clone(s.chunks)
	if gaps := s.places(d.Removed); len(gaps) > 0 {
		n.remove(gaps)
	}
	if len(added) > 0 {
		n.own(len(added))
		n.add(added)
	}
	n.flag(d.Flagged)
	return &n
}

// places finds where the messages of s among uids lie.
func (s *Snapshot) places(uids []imap.UID) []int {
	places := make([]int, 0, len(uids))
	for _, uid := range uids {
		if i, ok := s.Find(uid); ok {
			places = append(places, s.gone.place(i))
		}
	}
	return places
}

// uids are the UIDs of s, for others to keep.
func (s *Snapshot) uids() uidList { return uidList{all: slices.Clip(s.col.uid), gone: s.gone} }

// own makes sure that k messages can be added without another version seeing it.
func (s *Snapshot) own(k int) {
	n := int64(len(s.col.uid))
	if s.tail.CompareAndSwap(n, n+int64(k)) {
		return
	}
	s.col.clip()
	if last := len(s.chunks) - 1; last >= 0 {
		s.chunks[last].clip()
	}
	s.tail = new(atomic.Int64)
	s.tail.Store(n + int64(k))
}

// add appends rows. s must own its tail and its list of chunks.
func (s *Snapshot) add(rows []Row) {
	for i := range rows {
		s.col.add(&rows[i])
		s.push(rows[i].Flags, rows[i].ModSeq, len(rows)-i)
		s.uidNext = max(s.uidNext, rows[i].UID+1)
	}
}

// push appends to the chunks; left is how many more will come, itself included.
func (s *Snapshot) push(f FlagSet, at ModSeq, left int) {
	last := len(s.chunks) - 1
	if last < 0 || len(s.chunks[last].flags) == chunkLen {
		room := spare(left)
		if last >= 0 {
			room = chunkLen
		}
		s.chunks = append(s.chunks, makeChunk(min(room, chunkLen)))
		last++
	}
	s.chunks[last].push(f, at)
}

// remove takes out the messages that lie at the given places, ascending. s must own its list of chunks.
func (s *Snapshot) remove(gaps []int) {
	if s.gone = s.gone.with(gaps); len(s.gone) > maxHoles(len(s.col.uid)) {
		s.compact()
	}
}

// compact copies the columns without what has gone.
func (s *Snapshot) compact() {
	gaps := s.gone.places()
	s.gone = nil
	s.col = s.col.without(gaps)
	s.tail = new(atomic.Int64)
	s.tail.Store(int64(len(s.col.uid)))

	whole := gaps[0] / chunkLen // chunks before the first gap stay as they are: they are full and will not be written
	old := s.chunks
	s.chunks = append(make([]chunk, 0, len(old)), old[:whole]...)
	from := whole * chunkLen
	for _, c := range old[whole:] {
		for j := range c.flags {
			if len(gaps) > 0 && gaps[0] == from+j {
				gaps = gaps[1:]
				continue
			}
			s.push(c.entry(j), c.modSeq[j], chunkLen)
		}
		from += len(c.flags)
	}
}

// flag sets flags and mod-sequences. s must own its list of chunks.
func (s *Snapshot) flag(entries []Entry) {
	copied := -1
	for _, e := range entries {
		i, ok := s.Find(e.UID)
		if !ok {
			continue
		}
		place := s.gone.place(i)
		k := place / chunkLen
		if k != copied {
			s.chunks[k] = s.chunks[k].clone()
			copied = k
		}
		s.chunks[k].set(place%chunkLen, e)
	}
}

// Mailbox returns the id of the mailbox.
func (s *Snapshot) Mailbox() MailboxID { return s.box }

// UIDValidity returns the mailbox's UIDVALIDITY.
func (s *Snapshot) UIDValidity() uint32 { return s.uidValidity }

// UIDNext is above the UID of every message in s.
func (s *Snapshot) UIDNext() imap.UID { return s.uidNext }

// ModSeq is the mailbox's mod-sequence at this version: HIGHESTMODSEQ.
func (s *Snapshot) ModSeq() ModSeq { return s.modSeq }

// Keywords is the mailbox's list of keywords, as FlagSet.Names needs it. It must not be changed.
func (s *Snapshot) Keywords() []imap.Flag { return s.keywords }

// Len is the number of messages.
func (s *Snapshot) Len() int { return len(s.col.uid) - len(s.gone) }

// Find returns the place of a message, or where it would be.
func (s *Snapshot) Find(uid imap.UID) (i int, ok bool) {
	return uidList{all: s.col.uid, gone: s.gone}.find(uid)
}

// UID returns the UID of the message at place i.
func (s *Snapshot) UID(i int) imap.UID { return s.col.uid[s.gone.place(i)] }

// Flags returns the flags of the message at place i.
func (s *Snapshot) Flags(i int) FlagSet {
	i = s.gone.place(i)
	return s.chunks[i/chunkLen].entry(i % chunkLen)
}

// Entry returns what can change of the message at place i.
func (s *Snapshot) Entry(i int) Entry { return s.entry(s.gone.place(i)) }

func (s *Snapshot) entry(place int) Entry {
	c, j := &s.chunks[place/chunkLen], place%chunkLen
	return Entry{UID: s.col.uid[place], ModSeq: c.modSeq[j], Flags: c.entry(j)}
}

// Row returns all that s holds of the message at place i.
func (s *Snapshot) Row(i int) Row {
	i = s.gone.place(i)
	e := s.entry(i)
	return Row{
		UID: e.UID, ModSeq: e.ModSeq, Flags: e.Flags, ID: s.col.id[i], Thread: s.col.threadAt(i),
		Received: s.col.received[i], Saved: s.col.saved[i],
		Size: int64(s.col.size[i]), Header: s.col.header[i], Padding: s.col.padding[i],
	}
}

// Message returns the message at place i, without Part and Body.
func (s *Snapshot) Message(i int) *Message {
	m := new(Message)
	s.Fill(m, i)
	return m
}

// Fill makes of m what Message returns, in memory that is there; what else m has stays.
func (s *Snapshot) Fill(m *Message, i int) {
	r := s.Row(i)
	m.UID, m.ModSeq, m.Flags, m.ID, m.Thread = r.UID, r.ModSeq, r.Flags, r.ID, r.Thread
	m.Received, m.Saved, m.Size = utc(r.Received), utc(r.Saved), r.Size
}

// ID returns the id of the octets of the message at place i.
func (s *Snapshot) ID(i int) MessageID { return s.col.id[s.gone.place(i)] }

// Size returns the octets of the message at place i.
func (s *Snapshot) Size(i int) int64 { return int64(s.col.size[s.gone.place(i)]) }

// Padding returns how many CRLFs a line protocol must add to the message at place i: see message.Spooled.Padding.
func (s *Snapshot) Padding(i int) int { return int(s.col.padding[s.gone.place(i)]) }

// Received returns the INTERNALDATE of the message at place i, in UTC.
func (s *Snapshot) Received(i int) time.Time { return utc(s.col.received[s.gone.place(i)]) }

// Identity returns what says of the message at place i which one it is, and since when it is here (in UTC).
func (s *Snapshot) Identity(i int) (id MessageID, thread int64, saved time.Time) {
	i = s.gone.place(i)
	return s.col.id[i], s.col.threadAt(i), utc(s.col.saved[i])
}

func utc(milliseconds int64) time.Time { return time.UnixMilli(milliseconds).UTC() }

// View returns a new View of s. It shares the column of UIDs until one of the two changes.
func (s *Snapshot) View() *View {
	v := NewView(nil, s.modSeq)
	v.uids = s.uids()
	return v
}

// Indices turns a set of UIDs (no "*") into the ranges [from, to) of places in s that hold them, ascending and with
// room between them.
func (s *Snapshot) Indices(uids imap.UIDSet) [][2]int {
	return s.uids().places(Normalize(uids))
}

// Bytes is about how much memory s takes, for a cache with a budget. Versions of one mailbox share most of it.
func (s *Snapshot) Bytes() int64 {
	n := int64(256) + s.col.bytes() + int64(8*cap(s.gone))
	for i := range s.chunks {
		n += s.chunks[i].bytes()
	}
	for _, k := range s.keywords {
		n += int64(len(k)) + 16
	}
	return n
}

// chunkLen is how many messages a change of flags copies.
const chunkLen = 4096

// columns hold what never changes of a message: 37 octets, 45 if the mailbox has threads.
type columns struct {
	uid             []imap.UID
	id              []MessageID
	thread          []int64 // nil while no message has one
	received, saved []int64
	size, header    []uint32
	padding         []uint8
}

// spare is the room to make for n messages and those that will follow.
func spare(n int) int { return n + n/16 + 8 }

func makeColumns(n int) columns {
	n = spare(n)
	return columns{
		uid:      make([]imap.UID, 0, n),
		id:       make([]MessageID, 0, n),
		received: make([]int64, 0, n),
		saved:    make([]int64, 0, n),
		size:     make([]uint32, 0, n),
		header:   make([]uint32, 0, n),
		padding:  make([]uint8, 0, n),
	}
}

func (c *columns) add(r *Row) {
	if r.Thread != 0 && c.thread == nil {
		c.thread = make([]int64, len(c.uid), cap(c.uid))
	}
	if c.thread != nil {
		c.thread = append(c.thread, r.Thread)
	}
	c.uid = append(c.uid, r.UID)
	c.id = append(c.id, r.ID)
	c.received = append(c.received, r.Received)
	c.saved = append(c.saved, r.Saved)
	c.size = append(c.size, uint32(min(r.Size, math.MaxUint32)))
	c.header = append(c.header, r.Header)
	c.padding = append(c.padding, r.Padding)
}

func (c *columns) threadAt(i int) int64 {
	if c.thread == nil {
		return 0
	}
	return c.thread[i]
}

// clip gives up the room at the end, so that the next add copies.
func (c *columns) clip() {
	c.uid, c.id, c.thread = slices.Clip(c.uid), slices.Clip(c.id), slices.Clip(c.thread)
	c.received, c.saved = slices.Clip(c.received), slices.Clip(c.saved)
	c.size, c.header, c.padding = slices.Clip(c.size), slices.Clip(c.header), slices.Clip(c.padding)
}

func (c *columns) without(gaps []int) columns {
	return columns{
		uid: without(c.uid, gaps), id: without(c.id, gaps), thread: without(c.thread, gaps),
		received: without(c.received, gaps), saved: without(c.saved, gaps),
		size: without(c.size, gaps), header: without(c.header, gaps), padding: without(c.padding, gaps),
	}
}

func (c *columns) bytes() int64 {
	return int64(4*cap(c.uid) + 8*cap(c.id) + 8*cap(c.thread) + 8*cap(c.received) + 8*cap(c.saved) +
		4*cap(c.size) + 4*cap(c.header) + cap(c.padding))
}

// without copies col, leaving out the places in gaps, ascending.
func without[T any](col []T, gaps []int) []T {
	if col == nil {
		return nil
	}
	kept := make([]T, 0, spare(len(col)-len(gaps)))
	from := 0
	for _, gap := range gaps {
		kept = append(kept, col[from:gap]...)
		from = gap + 1
	}
	return append(kept, col[from:]...)
}

// chunk holds what can change of up to chunkLen messages: 9 octets each, 17 if one of them has keywords.
type chunk struct {
	flags    []SystemFlags
	modSeq   []ModSeq
	keywords []uint64 // nil while no message here has one
}

func makeChunk(n int) chunk {
	return chunk{flags: make([]SystemFlags, 0, n), modSeq: make([]ModSeq, 0, n)}
}

func (c *chunk) push(f FlagSet, at ModSeq) {
	c.needKeywords(f)
	if c.keywords != nil {
		c.keywords = append(c.keywords, f.Keywords)
	}
	c.flags = append(c.flags, f.System)
	c.modSeq = append(c.modSeq, at)
}

func (c *chunk) needKeywords(f FlagSet) {
	if f.Keywords != 0 && c.keywords == nil {
		c.keywords = make([]uint64, len(c.flags), cap(c.flags))
	}
}

func (c *chunk) set(i int, e Entry) {
	c.needKeywords(e.Flags)
	if c.keywords != nil {
		c.keywords[i] = e.Flags.Keywords
	}
	c.flags[i], c.modSeq[i] = e.Flags.System, e.ModSeq
}

func (c *chunk) entry(i int) FlagSet {
	f := FlagSet{System: c.flags[i]}
	if c.keywords != nil {
		f.Keywords = c.keywords[i]
	}
	return f
}

func (c *chunk) clip() {
	c.flags, c.modSeq, c.keywords = slices.Clip(c.flags), slices.Clip(c.modSeq), slices.Clip(c.keywords)
}

func (c *chunk) clone() chunk {
	return chunk{flags: cloneRoom(c.flags), modSeq: cloneRoom(c.modSeq), keywords: cloneRoom(c.keywords)}
}

func (c *chunk) bytes() int64 {
	return int64(72 + cap(c.flags) + 8*cap(c.modSeq) + 8*cap(c.keywords))
}

// cloneRoom copies a slice with the room at its end.
func cloneRoom[T any](s []T) []T {
	if s == nil {
		return nil
	}
	return append(make([]T, 0, cap(s)), s...)
}
