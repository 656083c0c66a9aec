package postgres

import (
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// codec says how a column is compressed. The numbers are stored.
type codec byte

const (
	codecRaw codec = iota
	codecS2
	codecZstd
)

// maxRaw bounds what a column may claim to unpack to. MIME trees are the only ones that can exceed a window.
const maxRaw = 64 << 20

var errDamaged = errors.New("stored data is damaged")

// codecs compresses and decompresses. It is safe for concurrent use.
type codecs struct {
	use codec
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodecs(name string) (*codecs, error) {
	known := map[string]codec{"none": codecRaw, "s2": codecS2, "zstd": codecZstd}
	use, ok := known[name]
	if !ok {
		return nil, fmt.Errorf("compression %q is not known; there are s2, zstd and none", name)
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxRaw))
	if err != nil {
		return nil, err
	}
	return &codecs{use: use, enc: enc, dec: dec}, nil
}

// compress appends raw to dst, compressed if that gains 5 %, and leaves room for spare more octets behind it.
func (c *codecs) compress(dst, raw []byte, spare int) ([]byte, codec) {
	n := len(dst)
	enough := len(raw) - len(raw)/20
	switch c.use {
	case codecS2:
		dst = slices.Grow(dst, s2.MaxEncodedLen(len(raw))+spare)
		if packed := s2.Encode(dst[n:n+s2.MaxEncodedLen(len(raw))], raw); len(packed) < enough {
			return dst[:n+len(packed)], codecS2
		}
	case codecZstd:
		dst = slices.Grow(dst, len(raw)+spare)
		if packed := c.enc.EncodeAll(raw, dst); len(packed)-n < enough {
			return packed, codecZstd
		}
	}
	return append(slices.Grow(dst, len(raw)+spare), raw...), codecRaw
}

// decompress undoes compress. It never makes more than size octets; they are in dst if there is room, or packed itself if that is
// not compressed.
func (c *codecs) decompress(dst, packed []byte, by codec, size int) ([]byte, error) {
	var raw []byte
	var err error
	switch by {
	case codecRaw:
		raw = packed
	case codecS2:
		if n, err := s2.DecodedLen(packed); err != nil || n != size {
			return nil, errDamaged
		}
		raw, err = s2.Decode(dst[:cap(dst)], packed)
	case codecZstd:
		raw, err = c.dec.DecodeAll(packed, slices.Grow(dst[:0], size))
	default:
		return nil, fmt.Errorf("codec %d: %w", by, errDamaged)
	}
	if err != nil || len(raw) != size {
		return nil, errors.Join(errDamaged, err)
	}
	return raw, nil
}
