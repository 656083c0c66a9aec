package message

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"mime/quotedprintable"
	"strings"
	"testing"
)

// encodings write data in the ways a part can be encoded, base64 in lines whose length is no multiple of four.
var encodings = map[string]func([]byte) string{
	"7bit": func(data []byte) string { return string(data) },
	"base64": func(data []byte) string {
		s := base64.StdEncoding.EncodeToString(data)
		var b strings.Builder
		for ; len(s) > 77; s = s[77:] {
			b.WriteString(s[:77] + "\r\n")
		}
		return b.String() + s
	},
	"quoted-printable": func(data []byte) string {
		var b strings.Builder
		w := quotedprintable.NewWriter(&b)
		_, err := w.Write(data)
		if err = errors.Join(err, w.Close()); err != nil {
			panic(err)
		}
		return b.String()
	},
}

func encodedMessage(encoding string, data []byte) []byte {
	return []byte("Content-Type: image/png\r\nContent-Transfer-Encoding: " + encoding + "\r\n\r\n" + encodings[encoding](data))
}

// TestDecodedFrom reads fragments forwards, backwards and anywhere with one Mark: they are those of the whole.
func TestDecodedFrom(t *testing.T) {
	t.Parallel()
	for encoding := range encodings {
		for seed := range uint64(20) {
			rnd := rand.New(rand.NewPCG(seed, 9))
			data := make([]byte, rnd.IntN(60_000)+1)
			for i := range data {
				data[i] = "abc=\x00\xff d"[rnd.IntN(8)]
				if encoding == "7bit" {
					data[i] = 'a' + byte(rnd.IntN(26))
				}
			}
			s := spool(t, encodedMessage(encoding, data), SpoolOptions{})
			var mark Mark
			offset := 0
			for range 30 {
				n := rnd.IntN(9000)
				r, err := s.Part().DecodedFrom(s, []int{1}, int64(offset), &mark)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(io.LimitReader(r, int64(n)))
				want := data[min(offset, len(data)):min(offset+n, len(data))]
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%s %d: %d octets from %d: %.40q, %v, want %.40q", encoding, seed, n, offset, got, err, want)
				}
				if offset += n; rnd.IntN(4) == 0 {
					offset = rnd.IntN(len(data) + 100)
				}
			}
		}
	}
}

// TestDecodedFromReadsOnce: to read in fragments costs little more than to read once.
func TestDecodedFromReadsOnce(t *testing.T) {
	t.Parallel()
	for encoding := range encodings {
		data := []byte(strings.Repeat("some text, ", 100_000))
		s := spool(t, encodedMessage(encoding, data), SpoolOptions{})
		body := &countingReaderAt{r: s}
		var mark Mark
		for offset := 0; offset < len(data); offset += 16 << 10 {
			r, err := s.Part().DecodedFrom(body, []int{1}, int64(offset), &mark)
			if err == nil {
				_, err = io.CopyN(io.Discard, r, 16<<10)
			}
			if err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		}
		if body.n > s.Size()*2 {
			t.Errorf("%s: read %d octets of %d", encoding, body.n, s.Size())
		}
	}
}

type countingReaderAt struct {
	r io.ReaderAt
	n int64
}

func (c *countingReaderAt) ReadAt(p []byte, at int64) (int, error) {
	n, err := c.r.ReadAt(p, at)
	c.n += int64(n)
	return n, err
}

func TestDecodedFromErrors(t *testing.T) {
	t.Parallel()
	s := spool(t, encodedMessage("base64", make([]byte, 9000)), SpoolOptions{})
	if _, err := s.Part().DecodedFrom(s, []int{2}, 0, &Mark{}); !errors.Is(err, ErrNoSection) {
		t.Errorf("no such part: %v", err)
	}
	broken := errors.New("broken")
	if _, err := s.Part().DecodedFrom(brokenReaderAt{broken}, []int{1}, 5, &Mark{}); !errors.Is(err, broken) {
		t.Errorf("a body that cannot be read: %v", err)
	}
	r, err := s.Part().DecodedFrom(s, []int{1}, 1<<40, &Mark{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); len(got) > 0 || err != nil {
		t.Errorf("beyond the end: %q, %v", got, err)
	}
}
