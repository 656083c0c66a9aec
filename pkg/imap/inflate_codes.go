package imap

import "sync"

const (
	maxSymbols     = 286 + 30 // of both codes of a block
	maxCode        = 15       // bits
	fastBits       = 9        // codes up to this long are found with one look
	literalSymbols = 288
)

// inflateCodes are the Huffman codes of a block of compressed data, and what is needed while they are read
// (RFC 1951 §3.2.7).
type inflateCodes struct {
	literals, distances huffman // distances is that of the lengths, until all lengths are read
	lengths             [maxSymbols]uint8
	at                  int // the next of lengths
	literalCount        int
	total               int // of both codes
	ordered             int // lengths of codes for lengths
}

// huffman is a Huffman code (RFC 1951 §3.2.2).
type huffman struct {
	fast   [1 << fastBits]uint16 // by the next bits: symbol<<4 | length of its code; 0 if that is longer, or there is none
	count  [maxCode + 1]uint16   // of codes with this length
	symbol [literalSymbols]uint16
}

// decode returns the symbol that n bits begin with and the length of its code: 0 if there are too few bits. A code that
// stands for nothing is symbol -1.
func (h *huffman) decode(bits uint64, n uint) (sym int, used uint) {
	if e := h.fast[bits&(1<<fastBits-1)]; e != 0 {
		if used = uint(e & 15); used > n {
			return 0, 0
		}
		return int(e >> 4), used
	}
	code, first, index := 0, 0, 0
	for length := uint(1); length <= maxCode; length++ {
		if length > n {
			return 0, 0
		}
		code |= int(bits & 1)
		bits >>= 1
		count := int(h.count[length])
		if code-first < count {
			return int(h.symbol[index+code-first]), length
		}
		index, first, code = index+count, (first+count)<<1, code<<1
	}
	return -1, 1
}

// build makes the code of symbols whose codes have the given lengths, and reports whether there is one: no more codes than
// fit, and no room left except for a single code (RFC 1951 §3.2.7) or none.
func (h *huffman) build(lengths []uint8) bool {
	h.count = [maxCode + 1]uint16{}
	for _, n := range lengths {
		h.count[n]++
	}
	used := len(lengths) - int(h.count[0])
	h.count[0] = 0
	room := 1
	var at [maxCode + 2]uint16 // where the symbols of a length go
	for n := 1; n <= maxCode; n++ {
		if room = room<<1 - int(h.count[n]); room < 0 {
			return false
		}
		at[n+1] = at[n] + h.count[n]
	}
	if room > 0 && used > int(h.count[1]) {
		return false
	}
	for sym, n := range lengths {
		if n > 0 {
			h.symbol[at[n]] = uint16(sym)
			at[n]++
		}
	}
	h.fill()
	return true
}

// fill makes the table of short codes. A code comes with its first bit first, and numbers have theirs last.
func (h *huffman) fill() {
	clear(h.fast[:])
	code, index := 0, 0
	for n := 1; n <= fastBits; n++ {
		for range h.count[n] {
			reversed := 0
			for i := range n {
				reversed |= code >> i & 1 << (n - 1 - i)
			}
			for i := reversed; i < 1<<fastBits; i += 1 << n {
				h.fast[i] = h.symbol[index]<<4 | uint16(n)
			}
			code, index = code+1, index+1
		}
		code <<= 1
	}
}

// codeCounts reads how many lengths follow.
func (z *inflater) codeCounts() (bool, error) {
	if z.n < 14 {
		return false, nil
	}
	c := z.codes
	c.literalCount = int(z.bits&31) + 257
	c.total = c.literalCount + int(z.bits>>5&31) + 1
	c.ordered = int(z.bits>>10&15) + 4
	z.drop(14)
	if c.literalCount > 286 || c.total-c.literalCount > 30 {
		return false, errDamaged
	}
	z.step = codeLengths
	return true, nil
}

// lengthOrder is the order in which the lengths of the codes for lengths come (RFC 1951 §3.2.7).
var lengthOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// codeLength reads the length of a code for lengths.
func (z *inflater) codeLength() (bool, error) {
	if z.n < 3 {
		return false, nil
	}
	c := z.codes
	c.lengths[lengthOrder[c.at]] = uint8(z.bits & 7)
	z.drop(3)
	if c.at++; c.at < c.ordered {
		return true, nil
	}
	if !c.distances.build(c.lengths[:len(lengthOrder)]) {
		return false, errDamaged
	}
	c.lengths, c.at = [maxSymbols]uint8{}, 0
	z.step = symbolLengths
	return true, nil
}

// repeats says how often the symbols 16 to 18 repeat a length.
var repeats = [3]extra{{3, 2}, {3, 3}, {11, 7}}

// symbolLength reads the length of a symbol's code, or of several.
func (z *inflater) symbolLength() (bool, error) {
	c := z.codes
	sym, used := c.distances.decode(z.bits, z.n)
	times, length := uint(1), uint8(0)
	switch {
	case used == 0:
		return false, nil
	case sym < 0:
		return false, errDamaged
	case sym < 16:
		length = uint8(sym)
	default:
		again := repeats[sym-16]
		if z.n-used < again.bits {
			return false, nil
		}
		times = again.of(z.bits >> used)
		used += again.bits
		if sym == 16 {
			if c.at == 0 {
				return false, errDamaged
			}
			length = c.lengths[c.at-1]
		}
	}
	z.drop(used)
	if c.at+int(times) > c.total {
		return false, errDamaged
	}
	for range times {
		c.lengths[c.at] = length
		c.at++
	}
	if c.at < c.total {
		return true, nil
	}
	z.step = symbols
	if c.lengths[256] == 0 || !c.literals.build(c.lengths[:c.literalCount]) || !c.distances.build(c.lengths[c.literalCount:c.total]) {
		return false, errDamaged // a block must be able to end
	}
	return true, nil
}

// fixedCodes are those of RFC 1951 §3.2.6.
var fixedCodes = sync.OnceValue(func() *inflateCodes {
	c := new(inflateCodes)
	var lengths [literalSymbols]uint8
	for i := range lengths {
		switch {
		case i < 144, i >= 280:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		default:
			lengths[i] = 7
		}
	}
	c.literals.build(lengths[:])
	c.distances.build([]uint8{
		5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5,
	})
	return c
})
