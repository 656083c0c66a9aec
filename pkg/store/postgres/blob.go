package postgres

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"

	"postern/pkg/store"
)

// window is how much of a message one part holds, and how much of its header the header column.
const window = 256 << 10

// column names a sealed column of bodies; it is part of the nonce. The values are stored.
type column byte

const (
	columnHeader column = 1
	columnTree   column = 2
	columnData   column = 3
)

// headerColumn is how many octets of a message with a header of hsize octets are in bodies.hdr; the rest is in the
// windows of bodies.data.
func headerColumn(hsize int64) int64 { return min(hsize, window) }

// dataKey is an account's key. It is safe for concurrent use.
type dataKey struct {
	account store.AccountID
	bodies  string // the partition that holds the account's; empty: not known
	secret  []byte
	codecs  *codecs
	macs    sync.Pool // of hash.Hash: HMAC with secret, used one after another
}

// in makes a statement that reads bodies read the partition they are in. Where there are many to choose from, PostgreSQL
// plans a statement anew each time it is run, and that takes longer than to run it.
func (k *dataKey) in(sql string) string {
	if k.bodies == "" {
		return sql
	}
	return strings.Replace(sql, "from bodies\n", "from "+k.bodies+"\n", 1)
}

// blobKey seals and opens the columns of one body.
type blobKey struct {
	*dataKey
	blob store.MessageID
	aead cipher.AEAD
}

// forBlob derives a body's own key, so that a nonce need be unique only within the body.
func (k *dataKey) forBlob(blob store.MessageID) (*blobKey, error) {
	info := binary.BigEndian.AppendUint64([]byte("postern body:"), uint64(blob))
	aead, err := k.derive(string(info))
	if err != nil {
		return nil, err
	}
	return &blobKey{dataKey: k, blob: blob, aead: aead}, nil
}

// derive is HKDF-Expand of one block (RFC 5869 §2.3), which is all that a key takes. To begin HMAC anew for each body takes
// several times as long as that.
func (k *dataKey) derive(info string) (cipher.AEAD, error) {
	mac, ok := k.macs.Get().(hash.Hash)
	if !ok {
		mac = hmac.New(sha256.New, k.secret)
	}
	defer k.macs.Put(mac)
	mac.Reset()
	mac.Write([]byte(info + "\x01"))
	return newAEAD(mac.Sum(nil))
}

// encodePart compresses and seals one column of one part and appends it to dst. The result says of itself how it is
// compressed and how long it was: codec, length as a varint, sealed octets. A column of a part must be sealed once only,
// or again with the same octets.
func encodePart(dst []byte, k *blobKey, part int, col column, raw []byte) []byte {
	at := len(dst)
	dst = binary.AppendUvarint(append(dst, 0), uint64(len(raw)))
	n := len(dst)
	dst, by := k.codecs.compress(dst, raw, k.aead.Overhead())
	dst[at] = byte(by)
	nonce := partNonce(part, col)
	return k.aead.Seal(dst[:n], nonce[:], dst[n:], k.context(part, col, by, len(raw)))
}

// decodePart undoes encodePart. The result is in dst if there is room; if dst is nil it may be in sealed, which is
// overwritten.
func decodePart(dst []byte, k *blobKey, part int, col column, sealed []byte) ([]byte, error) {
	by, size, packed, err := splitSealed(sealed)
	if err != nil {
		return nil, k.damaged(part, col, err)
	}
	nonce := partNonce(part, col)
	into := packed[:0]
	if by == codecRaw && dst != nil {
		into = dst[:0] // opening the seal is all there is to do
	}
	packed, err = k.aead.Open(into, nonce[:], packed, k.context(part, col, by, size))
	if err != nil {
		return nil, k.damaged(part, col, err)
	}
	raw, err := k.codecs.decompress(dst, packed, by, size)
	if err != nil {
		return nil, k.damaged(part, col, err)
	}
	return raw, nil
}

func (k *blobKey) damaged(part int, col column, err error) error {
	if !errors.Is(err, errDamaged) {
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	return fmt.Errorf("account %d, body %d, part %d, column %d: %w", k.account, k.blob, part, col, err)
}

func splitSealed(sealed []byte) (by codec, size int, packed []byte, err error) {
	if len(sealed) < 2 {
		return 0, 0, nil, errDamaged
	}
	u, n := binary.Uvarint(sealed[1:])
	if n <= 0 || u > maxRaw {
		return 0, 0, nil, errDamaged
	}
	return codec(sealed[0]), int(u), sealed[1+n:], nil
}

func partNonce(part int, col column) (nonce [12]byte) {
	binary.BigEndian.PutUint32(nonce[:], uint32(part))
	nonce[4] = byte(col)
	return nonce
}

// context is the additional data of a seal: octets cannot be moved to another place and still open.
func (k *blobKey) context(part int, col column, by codec, size int) []byte {
	b := make([]byte, 0, 32)
	b = binary.BigEndian.AppendUint64(b, uint64(k.account))
	b = binary.BigEndian.AppendUint64(b, uint64(k.blob))
	b = binary.BigEndian.AppendUint32(b, uint32(part))
	b = append(b, byte(col), byte(by))
	return binary.BigEndian.AppendUint64(b, uint64(size))
}

// sealDerived compresses and seals derived data, which is written again under the same name: the nonce is random.
// context says what it is and where it belongs.
func (k *dataKey) sealDerived(context, raw []byte) ([]byte, error) {
	aead, err := k.derive("postern derived")
	if err != nil {
		return nil, err
	}
	head := make([]byte, 1+binary.MaxVarintLen64, 64)
	n := 1 + binary.PutUvarint(head[1:], uint64(len(raw)))
	if _, err := rand.Read(head[n : n+aead.NonceSize()]); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	head = head[:n+aead.NonceSize()]
	out, by := k.codecs.compress(head, raw, aead.Overhead())
	out[0] = byte(by)
	return aead.Seal(out[:len(head)], out[n:len(head)], out[len(head):], k.derivedContext(context, by, len(raw))), nil
}

// openDerived undoes sealDerived.
func (k *dataKey) openDerived(context, sealed []byte) ([]byte, error) {
	aead, err := k.derive("postern derived")
	if err != nil {
		return nil, err
	}
	by, size, rest, err := splitSealed(sealed)
	if err != nil || len(rest) < aead.NonceSize() {
		return nil, errDamaged
	}
	nonce, packed := rest[:aead.NonceSize()], rest[aead.NonceSize():]
	packed, err = aead.Open(nil, nonce, packed, k.derivedContext(context, by, size))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return k.codecs.decompress(nil, packed, by, size)
}

func (k *dataKey) derivedContext(context []byte, by codec, size int) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(k.account))
	b = append(b, byte(by))
	b = binary.BigEndian.AppendUint64(b, uint64(size))
	return append(b, context...)
}
