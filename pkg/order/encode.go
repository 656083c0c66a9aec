package order

import (
	"encoding/binary"
	"errors"
)

// encodingVersion is the first octet of the stored form of a Block. A stored block of another version is made anew.
const encodingVersion = 1

var errEncoding = errors.New("malformed block of sort keys")

// AppendBinary appends a compact form of b, for UnmarshalBinary. The error is always nil.
func (b *Block) AppendBinary(dst []byte) ([]byte, error) {
	dst = binary.AppendUvarint(append(dst, encodingVersion), uint64(b.Len()))
	dst = binary.AppendUvarint(dst, uint64(len(b.ends)))
	last := uint32(0)
	for _, end := range b.ends {
		dst = binary.AppendUvarint(dst, uint64(end-last))
		last = end
	}
	dst = append(dst, b.arena...)
	for _, col := range b.text {
		for _, k := range col {
			dst = binary.LittleEndian.AppendUint16(dst, k)
		}
	}
	var sent int64
	for i := range b.sent {
		dst = binary.AppendVarint(dst, b.sent[i]-sent) // may wrap around, and back
		sent = b.sent[i]
		dst = binary.LittleEndian.AppendUint64(dst, b.id[i])
		refs := b.Key(i).Refs()
		dst = binary.AppendUvarint(dst, uint64(len(refs))<<1|bit(b.reply[i]))
		for _, ref := range refs {
			dst = binary.LittleEndian.AppendUint64(dst, ref)
		}
	}
	return dst, nil
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// UnmarshalBinary makes b what AppendBinary has written. Any input is safe.
func (b *Block) UnmarshalBinary(src []byte) error {
	d := &decoder{src: src}
	if d.byte() != encodingVersion {
		return errEncoding
	}
	n := d.count(MaxRows)
	*b = Block{sent: make([]int64, n), id: make([]uint64, n), reply: make([]bool, n), refsEnd: make([]uint32, n)}
	b.decodeTexts(d, n)
	var sent int64
	for i := range n {
		sent += d.varint()
		b.sent[i], b.id[i] = sent, d.uint64()
		head := d.count(2*maxReferences + 1)
		b.reply[i] = head&1 != 0
		for range head >> 1 {
			b.refs = append(b.refs, d.uint64())
		}
		b.refsEnd[i] = uint32(len(b.refs))
	}
	if d.bad || len(d.src) > 0 {
		return errEncoding
	}
	return nil
}

func (b *Block) decodeTexts(d *decoder, n int) {
	b.ends = make([]uint32, max(1, d.count(n*int(texts)+1)))
	end := uint32(0)
	for k := range b.ends {
		end += uint32(d.count(maxText))
		b.ends[k] = end
	}
	b.arena = string(d.take(int(end)))
	for t := range b.text {
		b.text[t] = make([]uint16, n)
		col := d.take(2 * n)
		for i := 0; 2*i < len(col); i++ {
			b.text[t][i] = binary.LittleEndian.Uint16(col[2*i:])
			d.bad = d.bad || int(b.text[t][i]) >= len(b.ends)
		}
	}
	d.bad = d.bad || b.ends[0] != 0
}

// decoder reads numbers. After a fault it yields zeros.
type decoder struct {
	src []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || len(d.src) < n {
		d.bad = true
		return nil
	}
	b := d.src[:n]
	d.src = d.src[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// count reads a number of at most limit.
func (d *decoder) count(limit int) int {
	u, n := binary.Uvarint(d.src)
	if d.bad || n <= 0 || u > uint64(limit) {
		d.bad = true
		return 0
	}
	d.src = d.src[n:]
	return int(u)
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.src)
	if d.bad || n <= 0 {
		d.bad = true
		return 0
	}
	d.src = d.src[n:]
	return v
}
