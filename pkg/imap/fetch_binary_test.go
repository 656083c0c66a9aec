package imap

import (
	"bytes"
	"encoding/base64"
	"io"
	"testing"

	"postern/pkg/message"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// countedBody counts the octets that are read.
type countedBody struct {
	io.ReaderAt
	n int64
}

func (c *countedBody) ReadAt(p []byte, at int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, at)
	c.n += int64(n)
	return n, err
}

// TestBinaryFragments: a part that is fetched in fragments is decoded about once, not from its beginning for each of them.
func TestBinaryFragments(t *testing.T) {
	t.Parallel()
	want := bytes.Repeat([]byte("0123456789abcde\x00"), 1<<16)
	s, err := message.Spool(bytes.NewReader(append([]byte("Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n"),
		base64.StdEncoding.EncodeToString(want)...)), message.SpoolOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // it is only read
	for _, step := range []int64{windowSize, windowSize - 1, 3 * windowSize} {
		body := &countedBody{ReaderAt: s}
		m := &store.Message{UID: 7, Size: s.Size(), Body: body, Part: s.Part()}
		w := windows{place: &place{}}
		var got bytes.Buffer
		for offset := int64(0); offset < int64(len(want)); offset += step {
			w.reset()
			it := &binaryItem{path: []int{1}, partial: &imap.SectionPartial{Offset: offset, Size: step}}
			x, err := it.open(m, &w)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := got.ReadFrom(x.r); err != nil || n != x.size {
				t.Fatalf("%d octets, %v, want %d", n, err, x.size)
			}
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("fragments of %d do not make up the whole", step)
		}
		if limit := 3 * s.Size(); body.n > limit {
			t.Errorf("fragments of %d: read %d octets of %d", step, body.n, s.Size())
		}
	}
}
