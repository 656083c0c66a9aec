package imap

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// samples are what is compressed in tests: mail, repetition, noise, and next to nothing.
func samples() [][]byte {
	r := rand.New(rand.NewPCG(4, 9))
	noise := make([]byte, 200_000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	var mail bytes.Buffer
	for i := range 3000 {
		fmt.Fprintf(&mail, "* %d FETCH (UID %d FLAGS (\\Seen) INTERNALDATE \"%d\")\r\n", i, i*7, r.IntN(1<<30))
	}
	return [][]byte{
		nil, []byte("a"), []byte("a NOOP\r\n"), mail.Bytes(), noise, bytes.Repeat([]byte{'x'}, 300_000),
		append(append(bytes.Clone(noise[:40_000]), mail.Bytes()...), noise[:40_000]...),
	}
}

// TestInflate: what any compressor of the standard library makes comes out as it was, however it is cut.
func TestInflate(t *testing.T) {
	t.Parallel()
	for i, sample := range samples() {
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, flate.BestSpeed, 6, flate.BestCompression} {
			var b bytes.Buffer
			w, err := flate.NewWriter(&b, level)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(sample); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			for name, cut := range map[string]func(io.Reader) io.Reader{
				"whole": func(r io.Reader) io.Reader { return r }, "octets": iotest.OneByteReader, "errors": iotest.DataErrReader,
			} {
				got, err := io.ReadAll(newInflater(cut(bytes.NewReader(b.Bytes())), nil))
				if err != nil || !bytes.Equal(got, sample) {
					t.Fatalf("sample %d, level %d, %s: %d octets, %v; want %d", i, level, name, len(got), err, len(sample))
				}
			}
		}
	}
}

// TestInflatePartialFlush: a command is there as soon as its last octet is, also when the client does not align what it
// sends: zlib's Z_PARTIAL_FLUSH, an empty block of fixed codes. The octets are zlib's.
func TestInflatePartialFlush(t *testing.T) {
	t.Parallel()
	flushed := []byte("\x4a\x54\xf0\xf3\xf7\x0f\xe0\xe5\x02\x08")
	r, w := io.Pipe()
	go func() { _, _ = w.Write(flushed) }() // and nothing more
	got := make([]byte, 8)
	if _, err := io.ReadFull(newInflater(r, nil), got); err != nil || string(got) != "a NOOP\r\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestInflateDamaged: nonsense is told from an end that comes too early.
func TestInflateDamaged(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		octets string
		want   error
	}{
		{"", nil},
		{"\x07", errDamaged},                         // no such block
		{"\x00\x01\x00\x01\x00", errDamaged},         // lengths that do not match
		{"\x00\x05\x00\xfa\xff", nil},                // cut off
		{"\x03\x02\x00", errDamaged},                 // refers to before the beginning
		{"\xfd\xff\xff\xff\xff\xff\xff", errDamaged}, // too many lengths
		{"\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", errDamaged},
	} {
		_, err := io.Copy(io.Discard, onlyReader{newInflater(strings.NewReader(test.octets), nil)})
		if !errors.Is(err, test.want) {
			t.Errorf("%x: %v, want %v", test.octets, err, test.want)
		}
	}
}

// TestInflateBehindDamage: octets from before the damage are good, what comes behind it is not looked at.
func TestInflateBehindDamage(t *testing.T) {
	t.Parallel()
	const damaged = "\x00\x02\x00\xfd\xffab" + "\x06" + "\x02\x00\xfd\xffcd" // with a kind of block there is none of
	got, err := io.ReadAll(newInflater(strings.NewReader(damaged), nil))
	if string(got) != "ab" || !errors.Is(err, errDamaged) {
		t.Errorf("%q, %v", got, err)
	}
}

type onlyReader struct{ io.Reader }

// TestInflateBurst: a little that stands for much is not made before someone asks for it.
func TestInflateBurst(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(w, zeros{}, 64<<20); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	z := newInflater(&b, nil)
	if _, err := z.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if ahead := z.made - z.given; ahead > inflateBurst+longestMatch || len(z.window) > inflateWindow {
		t.Errorf("%d octets made ahead, a window of %d", ahead, len(z.window))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// FuzzInflate compares with the standard library, which must find the same octets and the same faults.
func FuzzInflate(f *testing.F) {
	for _, sample := range samples() {
		var b bytes.Buffer
		z := &deflater{w: &b}
		if _, err := z.Write(sample[:min(len(sample), 2000)]); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		const limit = 1 << 20
		want, werr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(octets)), limit))
		got, err := io.ReadAll(io.LimitReader(newInflater(bytes.NewReader(octets), nil), limit))
		if werr == nil && (err != nil || !bytes.Equal(got, want)) {
			t.Fatalf("%d octets, %v; want %d", len(got), err, len(want))
		}
		if !bytes.HasPrefix(got, want[:min(len(want), len(got))]) {
			t.Fatalf("%x does not begin with %x", got, want)
		}
	})
}

// BenchmarkInflate compares with the standard library in the same run.
func BenchmarkInflate(b *testing.B) {
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, 6)
	if err != nil {
		b.Fatal(err)
	}
	sample := samples()[3]
	if _, err := w.Write(sample); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	for name, reader := range map[string]func(io.Reader) io.Reader{
		"ours":     func(r io.Reader) io.Reader { return newInflater(r, nil) },
		"standard": func(r io.Reader) io.Reader { return flate.NewReader(r) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(sample)))
			for b.Loop() {
				if _, err := io.Copy(io.Discard, onlyReader{reader(bytes.NewReader(packed.Bytes()))}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDeflate says what FETCH responses take on the wire and how fast that is.
func BenchmarkDeflate(b *testing.B) {
	sample := samples()[3]
	b.SetBytes(int64(len(sample)))
	var out bytes.Buffer
	for b.Loop() {
		out.Reset()
		z := &deflater{w: &out}
		if _, err := z.Write(sample); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(sample))/float64(out.Len()), "times-smaller")
}
