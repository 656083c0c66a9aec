package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/emersion/go-imap/v2"
	"github.com/klauspost/compress/s2"

	"postern/pkg/store"
)

// segmentRows is how many messages a packed segment of mailbox_index holds when it is made.
const segmentRows = 4096

// packVersion is the first octet of a packed segment. A segment of another version is ignored and written anew.
const packVersion = 1

var errPacked = errors.New("malformed index segment")

// packColumns are the columns of a segment in the order they are written. Each is coded as differences between
// neighbours, which are small in a mailbox.
var packColumns = [...]struct {
	get func(*store.Row) int64
	set func(*store.Row, int64)
}{
	{func(r *store.Row) int64 { return int64(r.UID) }, func(r *store.Row, v int64) { r.UID = imap.UID(v) }},
	{func(r *store.Row) int64 { return int64(r.ModSeq) }, func(r *store.Row, v int64) { r.ModSeq = store.ModSeq(v) }},
	{func(r *store.Row) int64 { return int64(r.ID) }, func(r *store.Row, v int64) { r.ID = store.MessageID(v) }},
	{func(r *store.Row) int64 { return r.Thread }, func(r *store.Row, v int64) { r.Thread = v }},
	{func(r *store.Row) int64 { return r.Received }, func(r *store.Row, v int64) { r.Received = v }},
	{func(r *store.Row) int64 { return r.Saved - r.Received }, func(r *store.Row, v int64) { r.Saved = r.Received + v }},
	{func(r *store.Row) int64 { return int64(r.Flags.Keywords) }, func(r *store.Row, v int64) { r.Flags.Keywords = uint64(v) }},
	{func(r *store.Row) int64 { return r.Size }, func(r *store.Row, v int64) { r.Size = v }},
	{func(r *store.Row) int64 { return int64(r.Header) }, func(r *store.Row, v int64) { r.Header = uint32(v) }},
	{packedFlags, setPackedFlags},
}

// packedFlags puts the system flags and the padding into seven bits.
func packedFlags(r *store.Row) int64 { return int64(r.Flags.System&31) | int64(r.Padding&3)<<5 }

func setPackedFlags(r *store.Row, v int64) {
	r.Flags.System, r.Padding = store.SystemFlags(v&31), uint8(v>>5&3)
}

// packRows makes a segment of rows.
func packRows(rows []store.Row) []byte {
	raw := make([]byte, 0, 24*len(rows)+16)
	raw = binary.AppendUvarint(raw, uint64(len(rows)))
	for _, col := range packColumns {
		var last int64
		for i := range rows {
			v := col.get(&rows[i])
			raw = binary.AppendVarint(raw, v-last)
			last = v
		}
	}
	return append([]byte{packVersion}, s2.Encode(nil, raw)...)
}

// unpackRows appends the rows of a segment to rows. Any input is safe.
func unpackRows(rows []store.Row, segment []byte) ([]store.Row, error) {
	if len(segment) == 0 || segment[0] != packVersion {
		return rows, fmt.Errorf("%w: unknown version", errPacked)
	}
	if n, err := s2.DecodedLen(segment[1:]); err != nil || n > 128*len(packColumns)*segmentRows {
		return rows, fmt.Errorf("%w: size", errPacked)
	}
	raw, err := s2.Decode(nil, segment[1:])
	if err != nil {
		return rows, fmt.Errorf("%w: %w", errPacked, err)
	}
	n, used := binary.Uvarint(raw)
	if used <= 0 || n > uint64(len(raw)) {
		return rows, fmt.Errorf("%w: count", errPacked)
	}
	raw = raw[used:]
	start := len(rows)
	rows = append(rows, make([]store.Row, n)...)
	for _, col := range packColumns {
		if raw, err = unpackColumn(raw, rows[start:], col.set); err != nil {
			return rows[:start], err
		}
	}
	return rows, nil
}

// unpackColumn reads one value for each of rows and returns what follows.
func unpackColumn(raw []byte, rows []store.Row, set func(*store.Row, int64)) ([]byte, error) {
	var last int64
	for i := range rows {
		d, used := binary.Varint(raw)
		if used <= 0 {
			return nil, fmt.Errorf("%w: cut short", errPacked)
		}
		raw = raw[used:]
		last += d
		set(&rows[i], last)
	}
	return raw, nil
}
