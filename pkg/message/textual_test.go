package message

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// TestTextual: what binary parts hold is what BINARY fetches of the message that was made of them, and all else is as it was.
func TestTextual(t *testing.T) {
	t.Parallel()
	content := "\x00\n\r\n--b\r-\n" + strings.Repeat("0123\n56789\r\x00", 1000) + "\n"
	for name, test := range map[string]struct {
		in   string
		path []int
		want string // empty: nothing to change
	}{
		"text":          {"Subject: x\r\n\r\nhello\r\n", nil, ""},
		"said only":     {"Content-Transfer-Encoding: 8bit\r\n\r\n\x00\r\n", nil, ""},
		"whole message": {"Content-Type: image/png\r\nContent-Transfer-Encoding: BINARY\r\n\r\n" + content, []int{1}, content},
		"a part": {
			"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding:\r\n binary\r\n\r\n--b\r\n\r\ntext\r\n" +
				"--b\r\ncontent-transfer-encoding: binary\r\nContent-Type: a/b\r\n\r\n" + content + "\r\n--b--\r\n",
			[]int{2},
			content,
		},
		"in a message": {
			"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: binary\r\n\r\nContent-Transfer-Encoding: binary\r\n\r\n" + content,
			[]int{1, 1},
			content,
		},
		"empty":       {"Content-Transfer-Encoding: binary\r\n\r\n", []int{1}, ""},
		"bare LF":     {"Subject: x\n\nhello\n", []int{1}, "hello\r\n"},
		"no line end": {"Content-Transfer-Encoding: binary\r\n\r\nx", []int{1}, "x"},
	} {
		exact := spooledFrom(t, strings.NewReader(test.in), SpoolOptions{Exact: true, Memory: 100, Dir: t.TempDir()})
		r, err := exact.Textual()
		if err != nil {
			t.Fatal(err)
		}
		if r == nil {
			if test.want != "" {
				t.Errorf("%s: nothing to change", name)
			}
			continue
		}
		if test.want == "" && name != "empty" {
			t.Errorf("%s: something to change", name)
			continue
		}
		s := spooledFrom(t, r, SpoolOptions{})
		c, err := s.Part().Decoded(s, test.path)
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := io.ReadAll(c)
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %d octets, %v; want %d", name, len(got), err, len(test.want))
		}
		if whole := octetsOf(t, s); bytes.IndexByte(whole, 0) >= 0 || bytes.Contains(bytes.ToLower(whole), []byte("binary")) {
			t.Errorf("%s: binary is left in %.200q", name, whole)
		}
	}
}

func spooledFrom(t *testing.T, r io.Reader, o SpoolOptions) *Spooled {
	t.Helper()
	s, err := Spool(r, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func octetsOf(t *testing.T, s *Spooled) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(s, 0, s.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestShelf: messages behind one another in a file do not see each other.
func TestShelf(t *testing.T) {
	t.Parallel()
	shelf := &Shelf{}
	var all []*Spooled
	text := func(i int) string { return "Subject: x\r\n\r\n" + strings.Repeat(string(rune('a'+i)), 1000*i) + "\r\n" }
	for i := range 10 {
		all = append(all, spooledFrom(t, strings.NewReader(text(i)), SpoolOptions{Memory: 500, Dir: t.TempDir(), Shelf: shelf}))
		if _, err := Spool(strings.NewReader(text(3)), SpoolOptions{Memory: 500, Limit: 2000, Shelf: shelf}); err == nil {
			t.Error("too big and not refused")
		}
	}
	for i, s := range all {
		if got := octetsOf(t, s); string(got) != text(i) {
			t.Errorf("message %d has %d octets, want %d", i, len(got), len(text(i)))
		}
		if n, err := s.ReadAt(make([]byte, 10), s.Size()-1); n != 1 || !errors.Is(err, io.EOF) {
			t.Errorf("message %d: %d octets at its end, %v", i, n, err)
		}
	}
	if err := shelf.Close(); err != nil {
		t.Error(err)
	}
}
