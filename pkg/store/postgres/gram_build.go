package postgres

import (
	"math/bits"

	"github.com/emersion/go-imap/v2"
)

const (
	segmentDocs  = 1024      // messages of a new segment, fewer if they have very many grams
	tailParts    = 8         // so many segments of new mail make such a one: what is not indexed yet must be read
	segmentPairs = 2_500_000 // of gram and message, of a new segment: 20 MB, and as much to sort them

	levelTail = -1 // of a segment of new mail

	blockOctets = 4 << 10 // of a block, about; two fit a page of the database
	maxBits     = 24
)

// gramSizes are the sizes of the index that tests make smaller.
type gramSizes struct {
	docs  int // of a new segment
	merge int // segments that are merged
	read  int // messages that a search reads without asking the index
	batch int // octets that one transaction of a merge writes
}

// segmentBuilder collects the grams of messages for a new segment. Places are below segmentDocs.
type segmentBuilder struct {
	docs  int // of a full segment
	cover cover
	pairs []uint64 // gram and place
	spare []uint64
}

const placeBits = 16

func (b *segmentBuilder) reset() { b.cover, b.pairs = cover{}, b.pairs[:0] }

func (b *segmentBuilder) full() bool { return b.cover.n >= b.docs || len(b.pairs) >= segmentPairs }

// add takes a message whose UID is greater than all before.
func (b *segmentBuilder) add(uid imap.UID, grams []gram) {
	at := uint64(b.cover.n)
	for _, g := range grams {
		b.pairs = append(b.pairs, uint64(g)<<placeBits|at)
	}
	b.cover.add(uid)
}

// sort orders the pairs by gram and place: a radix sort, for which it helps that the places are in order already.
func (b *segmentBuilder) sort() {
	const digit = 12
	if len(b.spare) < len(b.pairs) {
		b.spare = make([]uint64, cap(b.pairs))
	}
	from, to := b.pairs, b.spare[:len(b.pairs)]
	for shift := placeBits; shift < placeBits+gramBits; shift += digit {
		var at [1 << digit]int
		for _, p := range from {
			at[p>>shift&(1<<digit-1)]++
		}
		sum := 0
		for i, n := range at {
			at[i] = sum
			sum += n
		}
		for _, p := range from {
			d := p >> shift & (1<<digit - 1)
			to[at[d]] = p
			at[d]++
		}
		from, to = to, from
	}
	b.pairs, b.spare = from, to[:cap(to)]
}

// blocks makes the blocks of the segment, in order.
func (b *segmentBuilder) blocks(done func(block int, raw []byte) error) (bits int, err error) {
	b.sort()
	bits = bitsFor(b.estimate())
	w := newBlockWriter(b.cover.n, bits, 0, done)
	var places []uint32
	for i := 0; i < len(b.pairs); {
		g := b.pairs[i] >> placeBits
		places = places[:0]
		for ; i < len(b.pairs) && b.pairs[i]>>placeBits == g; i++ {
			places = append(places, uint32(b.pairs[i]&(1<<placeBits-1)))
		}
		if err := w.add(gram(g), places); err != nil {
			return 0, err
		}
	}
	return bits, w.advance(1 << bits)
}

// estimate is about how many octets the blocks will have.
func (b *segmentBuilder) estimate() int64 {
	n := int64(0)
	for i := 0; i < len(b.pairs); {
		from := i
		for i < len(b.pairs) && b.pairs[i]>>placeBits == b.pairs[from]>>placeBits {
			i++
		}
		n += 5 + min(int64(i-from)*5/4, int64(b.cover.n+7)/8)
	}
	return n
}

// bitsFor is how many bits of the gram choose the block in a segment of so many octets.
func bitsFor(octets int64) int {
	return min(bits.Len64(uint64(octets/blockOctets)), maxBits)
}
