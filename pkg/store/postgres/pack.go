package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"

	"postern/pkg/store"
)

// segmentRows is how many messages a packed segment of mailbox_index holds when it is made.
const segmentRows = 4096

// packVersion is the first octet of a packed segment. A segment of another version is ignored and written anew.
const packVersion = 1

var errPacked = errors.New("malformed index segment")

// packColumns are the columns of a segment in the order they are written, which is that of unpackInto. Each is coded as
// differences between neighbours, which are small in a mailbox.
var packColumns = [...]func(*store.Row) int64{
	func(r *store.Row) int64 { return int64(r.UID) },
	func(r *store.Row) int64 { return int64(r.ModSeq) },
	func(r *store.Row) int64 { return int64(r.ID) },
	func(r *store.Row) int64 { return r.Thread },
	func(r *store.Row) int64 { return r.Received },
	func(r *store.Row) int64 { return r.Saved - r.Received },
	func(r *store.Row) int64 { return int64(r.Flags.Keywords) },
	func(r *store.Row) int64 { return r.Size },
	func(r *store.Row) int64 { return int64(r.Header) },
	packedFlags,
}

// packedFlags puts the system flags and the padding into seven bits.
func packedFlags(r *store.Row) int64 { return int64(r.Flags.System&31) | int64(r.Padding&3)<<5 }

// packRows makes a segment of rows.
func packRows(rows []store.Row) []byte {
	raw := make([]byte, 0, 24*len(rows)+16)
	raw = binary.AppendUvarint(raw, uint64(len(rows)))
	for _, get := range packColumns {
		var last int64
		for i := range rows {
			v := get(&rows[i])
			raw = binary.AppendVarint(raw, v-last)
			last = v
		}
	}
	return append([]byte{packVersion}, s2.Encode(nil, raw)...)
}

// unpackInto appends the messages of a segment to all, and returns them. Any input is safe; after an error all is of no use.
func unpackInto(all *store.Columns, segment []byte) (*store.Columns, error) {
	if len(segment) == 0 || segment[0] != packVersion {
		return nil, fmt.Errorf("%w: unknown version", errPacked)
	}
	if n, err := s2.DecodedLen(segment[1:]); err != nil || n > 128*len(packColumns)*segmentRows {
		return nil, fmt.Errorf("%w: size", errPacked)
	}
	raw, err := s2.Decode(nil, segment[1:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPacked, err)
	}
	n, used := binary.Uvarint(raw)
	if used <= 0 || n > uint64(len(raw)) {
		return nil, fmt.Errorf("%w: count", errPacked)
	}
	to, p := all.Extend(int(n)), packReader{raw: raw[used:]}
	unpackColumn(&p, to.UID)
	unpackColumn(&p, to.ModSeq)
	unpackColumn(&p, to.ID)
	unpackColumn(&p, to.Thread)
	unpackColumn(&p, to.Received)
	unpackColumn(&p, to.Saved)
	unpackColumn(&p, to.Keywords)
	unpackColumn(&p, to.Size)
	unpackColumn(&p, to.Header)
	unpackColumn(&p, to.Padding)
	for i, v := range to.Padding {
		to.System[i], to.Padding[i] = store.SystemFlags(v&31), v>>5&3
		to.Saved[i] += to.Received[i]
	}
	if p.short {
		return nil, fmt.Errorf("%w: cut short", errPacked)
	}
	return to, nil
}

// packReader is what is left of a segment.
type packReader struct {
	raw   []byte
	short bool
}

// unpackColumn fills a column in. Most differences are one octet.
func unpackColumn[T ~int64 | ~uint64 | ~uint32 | ~uint8](p *packReader, col []T) {
	raw := p.raw
	var last int64
	for i := range col {
		var d int64
		if len(raw) > 0 && raw[0] < 0x80 {
			d, raw = int64(raw[0]>>1)^-int64(raw[0]&1), raw[1:]
		} else {
			var used int
			if d, used = binary.Varint(raw); used <= 0 {
				p.short = true
				return
			}
			raw = raw[used:]
		}
		last += d
		col[i] = T(last)
	}
	p.raw = raw
}
