package imap

import (
	"encoding/binary"
	"io"
	"sync"
)

// errDamaged ends the session of a client whose compressed data makes no sense.
var errDamaged = &farewell{text: "The compressed data is damaged.", reason: "damaged deflate data"}

const (
	inflateInput    = readBuffer // octets read at a time; what was read behind COMPRESS fits
	inflateWindow   = 32 << 10   // how far back a client may refer (RFC 1951 §2)
	inflateSmallest = 1 << 10
	inflateBurst    = 16 << 10 // octets inflated ahead of those who read them
	longestMatch    = 258
)

// inflater undoes deflate (RFC 1951). Unlike the readers of the flate packages it hands out every octet as soon as the bits
// for it are there: these wait for the end of a block, and so for ever for the last command of clients that flush with
// Z_PARTIAL_FLUSH, as mbsync does. Its memory grows with what the client has sent, to inflateInput + inflateWindow, and the
// codes of a block are borrowed while the block lasts. It makes no more than it is asked for, so a small input that stands
// for a large one is bounded by whoever reads it.
type inflater struct {
	src  io.Reader
	in   [inflateInput]byte
	left []byte // of in, not yet taken
	bits uint64 // taken and not used, the next one lowest
	n    uint   // how many

	window      []byte // a ring: octet i of the output is at i modulo its length
	made, given uint64 // octets of output

	step   inflateStep
	last   bool // the block is the final one
	stored int  // octets left of a stored block
	codes  *inflateCodes
	fixed  bool  // codes are those of fixed blocks, which nobody owns
	err    error // what comes behind damage is nothing
}

// inflateStep is what the next bits are.
type inflateStep int

const (
	blockHeader inflateStep = iota
	storedHeader
	storedOctets
	codesHeader
	codeLengths
	symbolLengths
	symbols
	endOfInput
)

func newInflater(src io.Reader, behind []byte) *inflater {
	z := &inflater{src: src, window: make([]byte, inflateSmallest)}
	z.left = z.in[:copy(z.in[:], behind)]
	return z
}

// Read implements io.Reader. It asks the source only when it has nothing to give.
func (z *inflater) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	want := uint64(min(len(p), inflateBurst))
	for {
		for ok := true; ok && z.err == nil && z.made-z.given < want; {
			z.refill()
			ok, z.err = z.advance()
		}
		switch {
		case z.made > z.given:
			return z.give(p), nil
		case z.err != nil:
			return 0, z.err
		}
		n, err := z.src.Read(z.in[:])
		z.left = z.in[:n]
		if n == 0 && err != nil {
			return 0, err
		}
	}
}

// give copies octets out of the window.
func (z *inflater) give(p []byte) int {
	at := int(z.given % uint64(len(z.window)))
	n := copy(p[:min(uint64(len(p)), z.made-z.given)], z.window[at:])
	z.given += uint64(n)
	return n
}

// refill takes input until there are bits enough for any single step.
func (z *inflater) refill() {
	if len(z.left) >= 8 {
		k := (63 - z.n) / 8
		z.bits |= binary.LittleEndian.Uint64(z.left) << z.n
		z.left = z.left[k:]
		z.n += k * 8
		z.bits &= 1<<z.n - 1
		return
	}
	for z.n <= 56-1 && len(z.left) > 0 {
		z.bits |= uint64(z.left[0]) << z.n
		z.left, z.n = z.left[1:], z.n+8
	}
}

func (z *inflater) drop(n uint) { z.bits, z.n = z.bits>>n, z.n-n }

// advance takes one step, or reports that it needs more input than there is.
func (z *inflater) advance() (bool, error) {
	switch z.step {
	case blockHeader:
		return z.header()
	case storedHeader:
		return z.storedLength()
	case storedOctets:
		return z.copyStored(), nil
	case codesHeader:
		return z.codeCounts()
	case codeLengths:
		return z.codeLength()
	case symbolLengths:
		return z.symbolLength()
	case symbols:
		return z.symbol()
	}
	return false, io.EOF
}

// next begins the next block, if there is one.
func (z *inflater) next() {
	if z.codes != nil && !z.fixed {
		inflateCodePool.Put(z.codes)
	}
	z.codes, z.fixed = nil, false
	z.step = blockHeader
	if z.last {
		z.step = endOfInput
	}
}

// header reads the three bits that begin a block (RFC 1951 §3.2.3).
func (z *inflater) header() (bool, error) {
	if z.n < 3 {
		return false, nil
	}
	z.last = z.bits&1 == 1
	kind := z.bits >> 1 & 3
	z.drop(3)
	switch kind {
	case 0:
		z.step = storedHeader
	case 1:
		z.step, z.codes, z.fixed = symbols, fixedCodes(), true
	case 2:
		z.step, z.codes = codesHeader, inflateCodePool.Get().(*inflateCodes)
		z.codes.lengths, z.codes.at = [maxSymbols]uint8{}, 0
	default:
		return false, errDamaged
	}
	return true, nil
}

// storedLength reads the length of a stored block (RFC 1951 §3.2.4), which begins with an octet.
func (z *inflater) storedLength() (bool, error) {
	padding := z.n % 8
	if z.n-padding < 32 {
		return false, nil
	}
	z.drop(padding)
	size, check := uint16(z.bits), uint16(z.bits>>16)
	z.drop(32)
	if size != ^check {
		return false, errDamaged
	}
	z.stored, z.step = int(size), storedOctets
	if size == 0 {
		z.next()
	}
	return true, nil
}

func (z *inflater) copyStored() bool {
	switch {
	case z.n >= 8:
		z.put(byte(z.bits))
		z.drop(8)
	case len(z.left) > 0:
		z.put(z.left[0])
		z.left = z.left[1:]
	default:
		return false
	}
	if z.stored--; z.stored == 0 {
		z.next()
	}
	return true
}

// put adds an octet to the output. The window grows until it is as long as any reference.
func (z *inflater) put(b byte) {
	size := uint64(len(z.window))
	if z.made == size && size < inflateWindow {
		z.window = append(z.window, make([]byte, size)...)
		size *= 2
	}
	z.window[z.made&(size-1)] = b
	z.made++
}

// symbol reads an octet, or a reference to earlier ones (RFC 1951 §3.2.5).
func (z *inflater) symbol() (bool, error) {
	sym, used := z.codes.literals.decode(z.bits, z.n)
	switch {
	case used == 0:
		return false, nil
	case sym < 0 || sym > 285:
		return false, errDamaged
	case sym < 256:
		z.drop(used)
		z.put(byte(sym))
		return true, nil
	case sym == 256:
		z.drop(used)
		z.next()
		return true, nil
	}
	return z.reference(lengths[sym-257], used)
}

// reference copies what was said before; the bits for its length and distance are taken together or not at all.
func (z *inflater) reference(length extra, used uint) (bool, error) {
	n, bits := z.n-used, z.bits>>used
	if n < length.bits {
		return false, nil
	}
	size := length.of(bits)
	n, bits = n-length.bits, bits>>length.bits
	sym, used := z.codes.distances.decode(bits, n)
	switch {
	case used == 0:
		return false, nil
	case sym < 0 || sym > 29:
		return false, errDamaged
	}
	distance := distances[sym]
	n, bits = n-used, bits>>used
	if n < distance.bits {
		return false, nil
	}
	back := uint64(distance.of(bits))
	if back > z.made {
		return false, errDamaged
	}
	z.drop(z.n - (n - distance.bits))
	for range size {
		z.put(z.window[(z.made-back)&uint64(len(z.window)-1)])
	}
	return true, nil
}

// extra is a length or a distance: the least that its symbol stands for, and how many bits are to be added.
type extra struct{ base, bits uint }

func (e extra) of(bits uint64) uint { return e.base + uint(bits&(1<<e.bits-1)) }

// lengths are what the symbols from 257 on stand for, and distances those of the other code (RFC 1951 §3.2.5).
var (
	lengths = [29]extra{
		{3, 0},
		{4, 0},
		{5, 0},
		{6, 0},
		{7, 0},
		{8, 0},
		{9, 0},
		{10, 0},
		{11, 1},
		{13, 1},
		{15, 1},
		{17, 1},
		{19, 2},
		{23, 2},
		{27, 2},
		{31, 2},
		{35, 3},
		{43, 3},
		{51, 3},
		{59, 3},
		{67, 4},
		{83, 4},
		{99, 4},
		{115, 4},
		{131, 5},
		{163, 5},
		{195, 5},
		{227, 5},
		{longestMatch, 0},
	}
	distances = [30]extra{
		{1, 0},
		{2, 0},
		{3, 0},
		{4, 0},
		{5, 1},
		{7, 1},
		{9, 2},
		{13, 2},
		{17, 3},
		{25, 3},
		{33, 4},
		{49, 4},
		{65, 5},
		{97, 5},
		{129, 6},
		{193, 6},
		{257, 7},
		{385, 7},
		{513, 8},
		{769, 8},
		{1025, 9},
		{1537, 9},
		{2049, 10},
		{3073, 10},
		{4097, 11},
		{6145, 11},
		{8193, 12},
		{12289, 12},
		{16385, 13},
		{24577, 13},
	}
)

var inflateCodePool = sync.Pool{New: func() any { return new(inflateCodes) }}
