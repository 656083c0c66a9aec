package postgres

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// A segment files its messages under grams, in 2^bits blocks by the first bits of the gram. A block holds, for each of its
// grams in order, the distance from the one before, the number of messages, and which: nothing if all of the cover, else
// the distances between their places, or a bit for each place if that is shorter.

// placeSet is a set of places of a segment.
type placeSet []uint64

func newPlaceSet(n int) placeSet { return make(placeSet, (n+63)/64) }

func (s placeSet) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s placeSet) has(i int) bool { return s[i/64]>>(i%64)&1 != 0 }

func (s placeSet) count() (n int) {
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

func (s placeSet) and(o placeSet) {
	for i := range s {
		s[i] &= o[i]
	}
}

func (s placeSet) or(o placeSet) {
	for i := range s {
		s[i] |= o[i]
	}
}

// fill makes s the set of all n places.
func (s placeSet) fill(n int) {
	for i := range s {
		s[i] = ^uint64(0)
	}
	if n%64 != 0 {
		s[len(s)-1] = 1<<(n%64) - 1
	}
}

// next returns the first member from i on that is below end, or end.
func (s placeSet) next(i, end int) int {
	for i < end {
		if w := s[i/64] >> (i % 64); w != 0 {
			return min(i+bits.TrailingZeros64(w), end)
		}
		i = (i/64 + 1) * 64
	}
	return end
}

// blockOf is the block a gram is in.
func blockOf(g gram, bits int) int { return int(g >> (gramBits - bits)) }

// blockWriter makes blocks. Grams come in order, with the places of each.
type blockWriter struct {
	n, bits int // places of the cover; and 2^bits blocks
	last    gram
	at      int // block
	buf     []byte
	list    []byte
	done    func(block int, raw []byte) error // raw is overwritten afterwards
}

func newBlockWriter(n, bits int, from int, done func(int, []byte) error) *blockWriter {
	return &blockWriter{n: n, bits: bits, at: from, last: gram(from) << (gramBits - bits), done: done}
}

// advance ends blocks until the one at is reached.
func (w *blockWriter) advance(at int) error {
	for w.at < at {
		if err := w.done(w.at, w.buf); err != nil {
			return err
		}
		w.at++
		w.buf, w.last = w.buf[:0], gram(w.at)<<(gramBits-w.bits)
	}
	return nil
}

// add files places, ascending, under a gram.
func (w *blockWriter) add(g gram, places []uint32) error {
	if err := w.advance(blockOf(g, w.bits)); err != nil {
		return err
	}
	w.buf = binary.AppendUvarint(w.buf, uint64(g-w.last))
	w.last = g
	count := uint64(len(places))
	if len(places) == w.n {
		w.buf = binary.AppendUvarint(w.buf, count<<1)
		return nil
	}
	w.list = w.list[:0]
	next := uint32(0)
	for _, p := range places {
		w.list = binary.AppendUvarint(w.list, uint64(p-next))
		next = p + 1
	}
	if octets := (w.n + 7) / 8; len(w.list) > octets {
		w.list = append(w.list[:0], make([]byte, octets)...)
		for _, p := range places {
			w.list[p/8] |= 1 << (p % 8)
		}
		count = count<<1 | 1
	} else {
		count <<= 1
	}
	w.buf = append(binary.AppendUvarint(w.buf, count), w.list...)
	return nil
}

// blockReader goes through the grams of a block. Any input is safe.
type blockReader struct {
	b      []byte
	n      int // places of the cover
	gram   gram
	count  int
	mapped bool
	body   []byte // of the current gram: its places
	err    error
}

func newBlockReader(b []byte, n, bits, block int) *blockReader {
	return &blockReader{b: b, n: n, gram: gram(block) << (gramBits - bits)}
}

var errBlock = fmt.Errorf("block of the substring index: %w", errDamaged)

// next goes to the next gram. It returns false at the end and after an error.
func (r *blockReader) next() bool {
	if len(r.b) == 0 || r.err != nil {
		return false
	}
	gap, b, ok := takeUvarint(r.b)
	count, b, ok2 := takeUvarint(b)
	if !ok || !ok2 || gap > gramMask || count>>1 > uint64(r.n) {
		r.err = errBlock
		return false
	}
	r.gram += gram(gap)
	r.count, r.mapped = int(count>>1), count&1 != 0
	n := r.length(b)
	if n < 0 || n > len(b) {
		r.err = errBlock
		return false
	}
	r.body, r.b = b[:n], b[n:]
	return true
}

// length is how many octets the places of the current gram take, of b; negative if they are not all there.
func (r *blockReader) length(b []byte) int {
	switch {
	case r.mapped:
		return (r.n + 7) / 8
	case r.count == r.n:
		return 0
	}
	n := 0
	for range r.count {
		for n < len(b) && b[n] >= 0x80 {
			n++
		}
		n++
	}
	if n > len(b) {
		return -1
	}
	return n
}

// places calls visit for each place of the current gram, ascending.
func (r *blockReader) places(visit func(place int)) {
	switch {
	case r.mapped:
		for i := range r.n {
			if r.body[i/8]>>(i%8)&1 != 0 {
				visit(i)
			}
		}
	case r.count == r.n:
		for i := range r.n {
			visit(i)
		}
	default:
		b, at := r.body, 0
		for len(b) > 0 {
			gap, n := binary.Uvarint(b)
			if n <= 0 || gap >= uint64(r.n-at) {
				r.err = errBlock
				return
			}
			b, at = b[n:], at+int(gap)+1
			visit(at - 1)
		}
	}
}

// into makes set the places of the current gram.
func (r *blockReader) into(set placeSet) {
	clear(set)
	if !r.mapped && r.count == r.n {
		set.fill(r.n)
		return
	}
	if r.mapped {
		for i, c := range r.body {
			set[i/8] |= uint64(c) << (8 * (i % 8))
		}
		return
	}
	r.places(set.add)
}
