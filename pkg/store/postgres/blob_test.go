package postgres

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"postern/pkg/store"
)

// testKey returns an account's key under a compression, as the keyring hands it out.
func testKey(t testing.TB, account store.AccountID, compression string) *dataKey {
	t.Helper()
	ring, err := newKeyring(Options{MasterKey: masterKey, Compression: compression})
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := ring.make(account)
	if err != nil {
		t.Fatal(err)
	}
	k, err := ring.unwrap(account, wrapped, ring.id)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func testBlobKey(t testing.TB, k *dataKey, blob store.MessageID) *blobKey {
	t.Helper()
	b, err := k.forBlob(blob)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func noise(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestPartRoundTrip seals and opens columns under every compression, and opens each under every other one.
func TestPartRoundTrip(t *testing.T) {
	t.Parallel()
	texts := map[string][]byte{
		"empty": nil, "one": {'x'}, "text": []byte(strings.Repeat("All work and no play.\r\n", 500)), "noise": noise(5000),
		"window": bytes.Repeat([]byte("0123456789abcdef"), window/16),
	}
	want := map[string]codec{"s2": codecS2, "zstd": codecZstd, "none": codecRaw}
	for compression, by := range want {
		for name, raw := range texts {
			t.Run(compression+" "+name, func(t *testing.T) {
				t.Parallel()
				k := testBlobKey(t, testKey(t, 1, compression), 2)
				sealed := encodePart(nil, k, 3, columnData, raw)
				if name == "text" && codec(sealed[0]) != by {
					t.Errorf("text is kept with codec %d", sealed[0])
				}
				if (name == "noise" || name == "empty") && codec(sealed[0]) != codecRaw {
					t.Errorf("%s is kept with codec %d", name, sealed[0])
				}
				got, err := decodePart(nil, k, 3, columnData, bytes.Clone(sealed))
				if err != nil || !bytes.Equal(got, raw) {
					t.Errorf("opened: %d octets of %d, %v", len(got), len(raw), err)
				}
			})
		}
	}
}

// TestPartIsBoundToItsPlace moves a sealed column elsewhere and damages it: it must not open.
func TestPartIsBoundToItsPlace(t *testing.T) {
	t.Parallel()
	key := testKey(t, 1, "s2")
	k := testBlobKey(t, key, 2)
	sealed := encodePart(nil, k, 0, columnData, []byte(strings.Repeat("secret ", 100)))
	stranger := &dataKey{account: 9, secret: key.secret, codecs: key.codecs}
	for name, open := range map[string]func(b []byte) ([]byte, error){
		"another blob":    func(b []byte) ([]byte, error) { return decodePart(nil, testBlobKey(t, key, 3), 0, columnData, b) },
		"another account": func(b []byte) ([]byte, error) { return decodePart(nil, testBlobKey(t, stranger, 2), 0, columnData, b) },
		"another key": func(b []byte) ([]byte, error) {
			return decodePart(nil, testBlobKey(t, testKey(t, 1, "s2"), 2), 0, columnData, b)
		},
		"another part":   func(b []byte) ([]byte, error) { return decodePart(nil, k, 1, columnData, b) },
		"another column": func(b []byte) ([]byte, error) { return decodePart(nil, k, 0, columnHeader, b) },
		"nothing":        func([]byte) ([]byte, error) { return decodePart(nil, k, 0, columnData, nil) },
		"half":           func(b []byte) ([]byte, error) { return decodePart(nil, k, 0, columnData, b[:len(b)/2]) },
	} {
		if got, err := open(bytes.Clone(sealed)); err == nil {
			t.Errorf("%s: opened as %q", name, got)
		}
	}
	for i := range sealed {
		b := bytes.Clone(sealed)
		b[i] ^= 0x10
		if got, err := decodePart(nil, k, 0, columnData, b); err == nil {
			t.Errorf("octet %d changed: opened as %q", i, got)
		}
	}
}

// TestNoncesDiffer counts on the nonces of a body's columns being different.
func TestNoncesDiffer(t *testing.T) {
	t.Parallel()
	seen := make(map[[12]byte]string)
	for part := range 9000 {
		for _, col := range []column{columnHeader, columnTree, columnData} {
			place := fmt.Sprintf("part %d column %d", part, col)
			if other := seen[partNonce(part, col)]; other != "" {
				t.Fatalf("%s and %s", place, other)
			}
			seen[partNonce(part, col)] = place
		}
	}
}

func TestDerivedRoundTrip(t *testing.T) {
	t.Parallel()
	for _, compression := range []string{"s2", "zstd", "none"} {
		k := testKey(t, 1, compression)
		for _, raw := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("segment"), 1000), noise(1000)} {
			one, err1 := k.sealDerived([]byte("here"), raw)
			two, err2 := k.sealDerived([]byte("here"), raw)
			if err1 != nil || err2 != nil || bytes.Equal(one, two) {
				t.Fatalf("sealed twice alike, %v, %v", err1, err2)
			}
			if got, err := k.openDerived([]byte("here"), one); err != nil || !bytes.Equal(got, raw) {
				t.Errorf("%s: opened %d octets of %d, %v", compression, len(got), len(raw), err)
			}
			if _, err := k.openDerived([]byte("there"), one); !errors.Is(err, errDamaged) {
				t.Errorf("opened elsewhere: %v", err)
			}
			if _, err := k.openDerived([]byte("here"), one[:len(one)-1]); !errors.Is(err, errDamaged) {
				t.Errorf("opened cut: %v", err)
			}
		}
	}
}

// FuzzDecompress feeds what no encoder wrote; the result never exceeds what was announced.
func FuzzDecompress(f *testing.F) {
	f.Add([]byte("abc"), byte(codecRaw), 3)
	f.Add([]byte{10, 0, 1}, byte(codecS2), 10)
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd}, byte(codecZstd), 10)
	c, err := newCodecs("s2")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, packed []byte, by byte, size int) {
		if size < 0 || size > 1<<20 {
			return
		}
		if raw, err := c.decompress(nil, packed, codec(by), size); err == nil && len(raw) != size {
			t.Errorf("%d octets, %d announced", len(raw), size)
		}
	})
}

func BenchmarkEncodePart(b *testing.B) {
	raw := []byte(letter("benchmark", 20<<10))
	for _, compression := range []string{"s2", "zstd", "none"} {
		b.Run(compression, func(b *testing.B) {
			key := testKey(b, 1, compression)
			b.SetBytes(int64(len(raw)))
			var sealed []byte
			for i := range b.N {
				sealed = encodePart(sealed[:0], testBlobKey(b, key, store.MessageID(i)), 0, columnData, raw)
			}
		})
	}
}

// TestDerive: keys are those of HKDF.
func TestDerive(t *testing.T) {
	t.Parallel()
	k := &dataKey{secret: bytes.Repeat([]byte("secret"), 6)[:keySize]}
	for _, info := range []string{"", "postern body:\x00\x01", "postern derived", "postern derived"} {
		key, err := hkdf.Expand(sha256.New, k.secret, info, keySize)
		if err != nil {
			t.Fatal(err)
		}
		want, err := newAEAD(key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := k.derive(info)
		if err != nil {
			t.Fatal(err)
		}
		nonce, sealed := make([]byte, got.NonceSize()), []byte("text")
		if !bytes.Equal(got.Seal(nil, nonce, sealed, nil), want.Seal(nil, nonce, sealed, nil)) {
			t.Errorf("%q: another key", info)
		}
	}
}
