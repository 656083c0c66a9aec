package message

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

func TestSpoolLineEnds(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                    "",
		"a":                   "a",
		"\n":                  "\r\n",
		"\r":                  "\r",
		"\r\n":                "\r\n",
		"\n\n":                "\r\n\r\n",
		"\r\r\n":              "\r\r\n",
		"\n\r":                "\r\n\r",
		"a\nb\r\nc\rd":        "a\r\nb\r\nc\rd",
		"a\x00\n\xff\n":       "a\x00\r\n\xff\r\n",
		"\r\n\n\r\n":          "\r\n\r\n\r\n",
		"\n\na\n\r\n\r\r\n\r": "\r\n\r\na\r\n\r\n\r\r\n\r",
	} {
		for name, r := range map[string]io.Reader{
			"whole": strings.NewReader(in), "octets": iotest.OneByteReader(strings.NewReader(in)),
			"halves": iotest.HalfReader(strings.NewReader(in)), "data and EOF": iotest.DataErrReader(strings.NewReader(in)),
		} {
			s, err := Spool(r, SpoolOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got := string(readSection(t, s, Section{})); got != want || s.Size() != int64(len(want)) {
				t.Errorf("%q in %s: %q (%d), want %q", in, name, got, s.Size(), want)
			}
			if s.Hash() != sha256.Sum256([]byte(in)) {
				t.Errorf("%q in %s: hash is not that of the octets received", in, name)
			}
		}
	}
}

func TestSpoolPadding(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{
		"": 1, "\r\n": 0, "\r": 2, "A: b": 2, "A: b\r": 2, "A: b\r\n": 1, "A: b\r\n\r\n": 0, "A: b\n\nbody": 1, "A: b\n\nbody\n": 0,
		"A: b\n\nbody\r": 1, "\nbody\r\n": 0, "A: b\nno header": 2, " \r\n": 1,
		"Content-Type: multipart/mixed; boundary=x\n\n--x\nA: b\n": 0,
	} {
		s := spool(t, []byte(in), SpoolOptions{})
		if s.Padding() != want {
			t.Errorf("%q: padding %d, want %d", in, s.Padding(), want)
		}
		checkWire(t, s)
	}
}

// TestSpoolChunks reads the golden messages in chunks of every kind, in memory and in a file, with the same result.
func TestSpoolChunks(t *testing.T) {
	t.Parallel()
	for name, raw := range golden(t) {
		want := spool(t, raw, SpoolOptions{})
		for seed := range uint64(5) {
			r := &randomReader{b: raw, rand: rand.New(rand.NewPCG(seed, 0))}
			s, err := Spool(r, SpoolOptions{Memory: 1 + int(seed)*40, Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			if !sameTree(s.Part(), want.Part()) || s.Hash() != want.Hash() || s.Padding() != want.Padding() ||
				!bytes.Equal(readSection(t, s, Section{}), readSection(t, want, Section{})) {
				t.Errorf("%s in chunks %d differs:\n%s\nnot\n%s", name, seed, structure(s.Part()), structure(want.Part()))
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// golden returns the messages in testdata.
func golden(t testing.TB) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".eml") {
			raw, err := os.ReadFile("testdata/" + e.Name())
			if err != nil {
				t.Fatal(err)
			}
			all[e.Name()] = raw
		}
	}
	return all
}

// randomReader yields some octets, or none, at a time.
type randomReader struct {
	b    []byte
	rand *rand.Rand
}

func (r *randomReader) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.b[:min(len(r.b), r.rand.IntN(9))])
	r.b = r.b[n:]
	return n, nil
}

func TestSpoolLimit(t *testing.T) {
	t.Parallel()
	raw := "A: b\n\n" + strings.Repeat("x", 100_000)
	size := int64(len(raw))
	if s, err := Spool(strings.NewReader(raw), SpoolOptions{Limit: size}); err != nil || s.Size() != size+2 {
		t.Errorf("a message of exactly the limit, as received: %v", err)
	}
	r := strings.NewReader(raw + "the rest")
	if _, err := Spool(r, SpoolOptions{Limit: size - 1}); !errors.Is(err, ErrTooBig) {
		t.Errorf("one octet more than the limit: %v", err)
	}
	if r.Len() != len("the rest") {
		t.Errorf("%d octets left unread, want what follows the limit", r.Len())
	}
}

func TestSpoolErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, r := range map[string]io.Reader{
		"at once":  iotest.ErrReader(broken),
		"midway":   io.MultiReader(strings.NewReader("A: b\n"), iotest.ErrReader(broken)),
		"in file":  io.MultiReader(strings.NewReader(strings.Repeat("x", 1000)), iotest.ErrReader(broken)),
		"nothing":  emptyReader{},
		"deadline": iotest.TimeoutReader(strings.NewReader(strings.Repeat("x", 10_000))),
	} {
		dir := t.TempDir()
		s, err := Spool(r, SpoolOptions{Memory: 100, Dir: dir})
		if s != nil || !errors.Is(err, broken) && !errors.Is(err, io.ErrNoProgress) && !errors.Is(err, iotest.ErrTimeout) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
		checkEmpty(t, dir)
	}
	if _, err := Spool(strings.NewReader("A: b\n\nbody"), SpoolOptions{Memory: 1, Dir: "/nonexistent/folder"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder for the file: %v", err)
	}
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }

// TestSpoolFile checks that a long message leaves nothing behind, not even while it is open.
func TestSpoolFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	raw := []byte("A: b\r\n\r\n" + strings.Repeat("0123456789\r\n", 50_000))
	s, err := Spool(bytes.NewReader(raw), SpoolOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	checkEmpty(t, dir)
	if s.file == nil || s.memory != nil {
		t.Error("the message is not in a file")
	}
	if got := readSection(t, s, Section{}); !bytes.Equal(got, raw) {
		t.Errorf("%d octets differ from the %d written", len(got), len(raw))
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func checkEmpty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestReadAt(t *testing.T) {
	t.Parallel()
	raw := []byte("A: b\r\n\r\nbody\r\n")
	for _, memory := range []int{1, 1000} {
		s := spool(t, raw, SpoolOptions{Memory: memory, Dir: t.TempDir()})
		if err := iotest.TestReader(io.NewSectionReader(s, 0, s.Size()), raw); err != nil {
			t.Error(err)
		}
		b := make([]byte, 4)
		if n, err := s.ReadAt(b, s.Size()); n != 0 || !isEOF(err) {
			t.Errorf("at the end: %d, %v", n, err)
		}
		if n, err := s.ReadAt(b, s.Size()-2); n != 2 || !isEOF(err) {
			t.Errorf("over the end: %d, %v", n, err)
		}
		if n, err := s.ReadAt(b, -1); n != 0 || err == nil {
			t.Errorf("before the beginning: %d, %v", n, err)
		}
	}
}
