package postgres

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/order"
	"postern/pkg/store"
)

// keySegment is the keys of up to segmentRows messages of a mailbox, ascending by UID. It is immutable.
type keySegment struct {
	uids  []imap.UID
	blobs []store.MessageID // whose keys they are: a key counts for no other body
	block *order.Block
}

// keyRow is the keys of one message.
type keyRow struct {
	uid    imap.UID
	blob   store.MessageID
	fields order.Fields
}

func newKeySegment(rows []keyRow) *keySegment {
	g := &keySegment{uids: make([]imap.UID, len(rows)), blobs: make([]store.MessageID, len(rows))}
	fields := make([]order.Fields, len(rows))
	for i := range rows {
		g.uids[i], g.blobs[i], fields[i] = rows[i].uid, rows[i].blob, rows[i].fields
	}
	g.block = order.NewBlock(fields)
	return g
}

func (g *keySegment) lo() imap.UID { return g.uids[0] }
func (g *keySegment) hi() imap.UID { return g.uids[len(g.uids)-1] }

func (g *keySegment) bytes() int64 { return int64(100+12*len(g.uids)) + g.block.Bytes() }

// rows takes the segment apart.
func (g *keySegment) rows() []keyRow {
	rows := make([]keyRow, len(g.uids))
	for i := range rows {
		rows[i] = keyRow{g.uids[i], g.blobs[i], g.block.Key(i).Fields()}
	}
	return rows
}

func countKeys(segments []*keySegment) int {
	n := 0
	for _, g := range segments {
		n += len(g.uids)
	}
	return n
}

// mergeKeys adds rows, ascending, to segments that follow each other. Only those in the way are made anew, and the one before
// them if it has room; of two keys of one UID the new one stays.
func mergeKeys(segments []*keySegment, rows []keyRow) []*keySegment {
	lo, hi := rows[0].uid, rows[len(rows)-1].uid
	from, _ := slices.BinarySearchFunc(segments, lo, func(g *keySegment, uid imap.UID) int { return cmp.Compare(g.hi(), uid) })
	to := from
	for to < len(segments) && segments[to].lo() <= hi {
		to++
	}
	if from > 0 && len(segments[from-1].uids) < segmentRows {
		from--
	}
	merged := append(make([]*keySegment, 0, len(segments)+len(rows)/segmentRows+1), segments[:from]...)
	merged = appendSegments(merged, mergeRows(segments[from:to], rows))
	return append(merged, segments[to:]...)
}

// addSegments adds segments to others that follow each other. One that overlaps none of them stays as it is.
func addSegments(segments, more []*keySegment) []*keySegment {
	segments = slices.Clone(segments)
	for _, g := range more {
		at, _ := slices.BinarySearchFunc(segments, g.lo(), func(g *keySegment, uid imap.UID) int { return cmp.Compare(g.hi(), uid) })
		if at < len(segments) && segments[at].lo() <= g.hi() {
			segments = mergeKeys(segments, g.rows())
		} else {
			segments = slices.Insert(segments, at, g)
		}
	}
	return segments
}

// mergeRows merges the rows of segments with further ones.
func mergeRows(segments []*keySegment, rows []keyRow) []keyRow {
	all := make([]keyRow, 0, countKeys(segments)+len(rows))
	for _, g := range segments {
		for _, old := range g.rows() {
			for len(rows) > 0 && rows[0].uid < old.uid {
				all, rows = append(all, rows[0]), rows[1:]
			}
			if len(rows) == 0 || rows[0].uid != old.uid {
				all = append(all, old)
			}
		}
	}
	return append(all, rows...)
}

// appendSegments makes segments of rows.
func appendSegments(segments []*keySegment, rows []keyRow) []*keySegment {
	for part := range slices.Chunk(rows, segmentRows) {
		segments = append(segments, newKeySegment(part))
	}
	return segments
}

// pruneKeys leaves out the keys of messages that a snapshot does not hold.
func pruneKeys(segments []*keySegment, have *store.Snapshot) []*keySegment {
	var kept []keyRow
	for _, g := range segments {
		for _, r := range g.rows() {
			if _, ok := have.Find(r.uid); ok {
				kept = append(kept, r)
			}
		}
	}
	return appendSegments(nil, kept)
}

// keysVersion is the first octet of a packed segment. A segment of another version is not read, and replaced in time.
const keysVersion = 1

var errKeys = errors.New("malformed segment of sort keys")

// pack makes the stored form of a segment.
func (g *keySegment) pack() ([]byte, error) {
	raw := binary.AppendUvarint([]byte{keysVersion}, uint64(len(g.uids)))
	var uid, blob int64
	for i := range g.uids {
		raw = binary.AppendVarint(raw, int64(g.uids[i])-uid)
		raw = binary.AppendVarint(raw, int64(g.blobs[i])-blob)
		uid, blob = int64(g.uids[i]), int64(g.blobs[i])
	}
	return g.block.AppendBinary(raw)
}

// unpackKeys undoes pack. Any input is safe.
func unpackKeys(raw []byte) (*keySegment, error) {
	if len(raw) == 0 || raw[0] != keysVersion {
		return nil, errKeys
	}
	n, used := binary.Uvarint(raw[1:])
	if used <= 0 || n == 0 || n > segmentRows {
		return nil, errKeys
	}
	raw = raw[1+used:]
	g := &keySegment{uids: make([]imap.UID, n), blobs: make([]store.MessageID, n), block: new(order.Block)}
	var uid, blob int64
	for i := range g.uids {
		du, a := binary.Varint(raw)
		db, b := binary.Varint(raw[max(a, 0):])
		if a <= 0 || b <= 0 || du <= 0 || uid+du > 1<<32-1 {
			return nil, errKeys
		}
		raw = raw[a+b:]
		uid, blob = uid+du, blob+db
		g.uids[i], g.blobs[i] = imap.UID(uid), store.MessageID(blob)
	}
	if err := g.block.UnmarshalBinary(raw); err != nil {
		return nil, err
	}
	if g.block.Len() != len(g.uids) {
		return nil, errKeys
	}
	return g, nil
}
