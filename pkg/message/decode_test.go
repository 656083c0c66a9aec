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
	"testing/iotest"
)

func TestDecodeTransfer(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ encoding, in, want string }{
		{"7BIT", "a=b\r\n", "a=b\r\n"},
		{"BINARY", "\x00\xff", "\x00\xff"},
		{"BASE64", "", ""},
		{"BASE64", "aGVsbG8=", "hello"},
		{"BASE64", "aGVs\r\nbG8=\r\n", "hello"},
		{"BASE64", "aGVsbG8", "hello"},
		{"BASE64", "a", ""},
		{"BASE64", "aA", "h"},
		{"BASE64", "aGVsbG8=aGVsbG8=", "hellohello"},
		{"BASE64", "aG==VsbG8=", "hV\xc6\xc6"},
		{"BASE64", "a*G V!s\tb-G_8=", "hello"},
		{"BASE64", "====", ""},
		{"QUOTED-PRINTABLE", "", ""},
		{"QUOTED-PRINTABLE", "a=3Db=3d", "a=b="},
		{"QUOTED-PRINTABLE", "soft=\r\nbreak=\nand", "softbreakand"},
		{"QUOTED-PRINTABLE", "soft= \t\r\nbreak", "softbreak"},
		{"QUOTED-PRINTABLE", "end=", "end"},
		{"QUOTED-PRINTABLE", "end= ", "end"},
		{"QUOTED-PRINTABLE", "padding \t\r\n next \n", "padding\r\n next\n"},
		{"QUOTED-PRINTABLE", "at the end  ", "at the end"},
		{"QUOTED-PRINTABLE", "a = b =ZZ =4", "a = b =ZZ =4"},
		{"QUOTED-PRINTABLE", "lone \r cr=\r", "lone \r cr=\r"},
		{"QUOTED-PRINTABLE", "8bit \xff\x00=FF", "8bit \xff\x00\xff"},
		{"QUOTED-PRINTABLE", "=20\r\n=09", " \r\n\t"},
		{"QUOTED-PRINTABLE", "=" + strings.Repeat(" ", 2000) + "x", "=" + strings.Repeat(" ", 2000) + "x"},
		{"QUOTED-PRINTABLE", strings.Repeat("x", 9000) + "=41", strings.Repeat("x", 9000) + "A"},
	} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "octets": iotest.OneByteReader, "last with EOF": iotest.DataErrReader,
		} {
			r, err := decodeTransfer(row.encoding, wrap(strings.NewReader(row.in)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err != nil || string(got) != row.want {
				t.Errorf("%s %.60q in %s: %.60q, %v, want %.60q", row.encoding, row.in, name, got, err, row.want)
			}
		}
	}
	if _, err := decodeTransfer("X-UUENCODE", nil); !errors.Is(err, ErrEncoding) {
		t.Errorf("an unknown encoding: %v", err)
	}
}

// TestDecodeOracle compares with the strict decoders of the standard library, on what those can write.
func TestDecodeOracle(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		data := make([]byte, rnd.IntN(20_000))
		for i := range data {
			data[i] = byte(rnd.IntN(256))
			if seed%2 == 0 {
				data[i] = "abc =\t\xc3\x00"[rnd.IntN(8)]
			}
		}
		var qp bytes.Buffer
		w := quotedprintable.NewWriter(&qp)
		w.Binary = true
		_, err := w.Write(data)
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		for encoding, text := range map[string]string{
			"BASE64": fold76(base64.StdEncoding.EncodeToString(data)), "QUOTED-PRINTABLE": qp.String(),
		} {
			r, err := decodeTransfer(encoding, &randomReader{b: []byte(text), rand: rnd})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("seed %d, %s: %d octets of %d, %v", seed, encoding, len(got), len(data), err)
			}
		}
	}
}

func fold76(s string) string {
	var b strings.Builder
	for len(s) > 76 {
		b.WriteString(s[:76] + "\r\n")
		s = s[76:]
	}
	return b.String() + s
}

func TestDecoded(t *testing.T) {
	t.Parallel()
	raw := "Content-Type: multipart/mixed; boundary=x\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		"--x\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--x\r\nContent-Transfer-Encoding: odd\r\n\r\n?\r\n--x--\r\n"
	s := spool(t, []byte(raw), SpoolOptions{})
	for _, row := range []struct {
		path []int
		want string
		err  error
	}{
		{nil, raw, nil},
		{[]int{1}, "hello", nil},
		{[]int{2}, "", ErrEncoding},
		{[]int{3}, "", ErrNoSection},
		{[]int{1, 1}, "", ErrNoSection},
	} {
		r, err := s.Part().Decoded(s, row.path)
		if !errors.Is(err, row.err) {
			t.Errorf("%v: %v, want %v", row.path, err, row.err)
		}
		if err != nil {
			continue
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != row.want {
			t.Errorf("%v: %q, %v", row.path, got, err)
		}
	}
	broken := errors.New("broken")
	r, err := s.Part().Decoded(brokenReaderAt{broken}, []int{1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); !errors.Is(err, broken) {
		t.Errorf("an error of reading is lost: %v", err)
	}
}

type brokenReaderAt struct{ err error }

func (r brokenReaderAt) ReadAt([]byte, int64) (int, error) { return 0, r.err }
