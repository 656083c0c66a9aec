package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestHeaderFields(t *testing.T) {
	t.Parallel()
	header := "A: 1\r\nb: 2\r\n folded\r\n\tmore\r\nA : 3\r\nno field\r\nC:\r\n"
	for _, row := range []struct {
		not    bool
		fields string
		want   string
	}{
		{false, "a", "A: 1\r\nA : 3\r\n\r\n"},
		{false, "B", "b: 2\r\n folded\r\n\tmore\r\n\r\n"},
		{false, "c a", "A: 1\r\nA : 3\r\nC:\r\n\r\n"},
		{false, "d", "\r\n"},
		{false, "", "\r\n"},
		{true, "", header + "\r\n"},
		{true, "a b", "no field\r\nC:\r\n\r\n"},
		{true, "x", header + "\r\n"},
	} {
		sec := Section{Kind: HeaderFields, Fields: strings.Fields(row.fields)}
		if row.not {
			sec.Kind = HeaderFieldsNot
		}
		for _, end := range []string{"", "\r\n", "\r\nbody\r\n", "\r\n\r\nA: in the body\r\n"} {
			s := spool(t, []byte(header+end), SpoolOptions{})
			if got := string(readSection(t, s, sec)); got != row.want {
				t.Errorf("%s not=%v of header and %q: %q, want %q", row.fields, row.not, end, got, row.want)
			}
		}
	}
	s := spool(t, []byte("A: 1\r\nB: cut"), SpoolOptions{})
	if got := string(readSection(t, s, Section{Kind: HeaderFields, Fields: []string{"b"}})); got != "B: cut\r\n\r\n" {
		t.Errorf("a field without line end: %q", got)
	}
}

// TestLongHeader picks fields from headers too long to be kept, and compares with a plain filter.
func TestLongHeader(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		var header, want strings.Builder
		for header.Len() < 3*headerWindow {
			name := string(rune('a' + rnd.IntN(4)))
			field := fmt.Sprintf("%s: %s\r\n%s", name, strings.Repeat("v", rnd.IntN(20_000)/(1+rnd.IntN(1000))), strings.Repeat(" more\r\n", rnd.IntN(2)))
			header.WriteString(field)
			if name < "c" {
				want.WriteString(field)
			}
		}
		s := spool(t, []byte(header.String()+"\r\nbody"), SpoolOptions{})
		r, err := s.Part().Section(s, Section{Kind: HeaderFieldsNot, Fields: []string{"C", "D"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(r, []byte(want.String()+"\r\n")); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func TestSectionErrors(t *testing.T) {
	t.Parallel()
	s := spool(t, golden(t)["forwarded.eml"], SpoolOptions{})
	for _, sec := range []Section{
		{Kind: MIME},
		{Path: []int{0}},
		{Path: []int{-1}},
		{Path: []int{3}},
		{Path: []int{1, 1}},
		{Path: []int{1}, Kind: Header},
		{Path: []int{1}, Kind: Text},
		{Path: []int{1}, Kind: HeaderFields, Fields: []string{"a"}},
		{Path: []int{2, 3}},
		{Path: []int{2, 2, 2}},
		{Path: []int{2, 2, 1, 1}},
		{Kind: SectionKind(99)},
	} {
		if r, err := s.Part().Section(s, sec); r != nil || !errors.Is(err, ErrNoSection) {
			t.Errorf("%v: %v", sec, err)
		}
	}
	broken := errors.New("broken")
	for _, body := range []io.ReaderAt{brokenReaderAt{broken}, brokenReaderAt{io.EOF}} {
		if _, err := s.Part().Section(body, Section{Kind: HeaderFields}); err == nil || errors.Is(err, ErrNoSection) {
			t.Errorf("an error of reading is lost: %v", err)
		}
	}
}

// TestShortBody reads from a body that lacks its last octets: whatever needs them must fail, not be cut.
func TestShortBody(t *testing.T) {
	t.Parallel()
	raw := "Subject: x\r\nX: " + strings.Repeat("y", 2*headerWindow) + "\r\n\r\nbody"
	s := spool(t, []byte(raw), SpoolOptions{})
	for _, n := range []int{0, 5, 20, headerWindow, len(raw) - 1} {
		body := strings.NewReader(raw[:n])
		r, err := s.Part().Section(body, Section{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(r); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d octets of %d, whole: %v", n, len(raw), err)
		}
		if _, err := s.Part().Search(body, InText, "z"); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d octets of %d, search: %v", n, len(raw), err)
		}
		_, err = s.Part().Section(body, Section{Kind: HeaderFields, Fields: []string{"x"}})
		if want := n < len(raw)-1; errors.Is(err, io.ErrUnexpectedEOF) != want {
			t.Errorf("%d octets of %d, header fields: %v", n, len(raw), err)
		}
	}
}

// TestShift puts a header before each golden message: the tree that Shift makes is the one that reading makes.
func TestShift(t *testing.T) {
	t.Parallel()
	prefix := "Return-Path: <a@b>\r\nReceived: by x;\r\n\ty\r\n"
	for name, raw := range golden(t) {
		s := spool(t, raw, SpoolOptions{})
		whole := append([]byte(prefix), readSection(t, s, Section{})...)
		want := spool(t, whole, SpoolOptions{})
		got := s.Part().Shift(int64(len(prefix)))
		if !sameTree(got, want.Part()) {
			t.Errorf("%s: %s, want %s", name, structure(got), structure(want.Part()))
		}
		if s.Part().Body == got.Body {
			t.Errorf("%s: the tree itself has been changed", name)
		}
		packed, err := got.AppendBinary(nil)
		if shifted := s.Part().AppendShifted(nil, int64(len(prefix))); err != nil || !bytes.Equal(shifted, packed) {
			t.Errorf("%s: packed %q, want %q, %v", name, shifted, packed, err)
		}
	}
}

// FuzzSection asks a message, of which the header too is anything, for any section.
func FuzzSection(f *testing.F) {
	for _, raw := range golden(f) {
		f.Add(raw, []byte{1, 1}, byte(2), "subject from")
	}
	f.Fuzz(func(t *testing.T, raw, path []byte, kind byte, fields string) {
		s := spool(t, raw, SpoolOptions{})
		sec := Section{Kind: SectionKind(kind % 6), Fields: strings.Fields(fields)}
		for _, n := range path {
			sec.Path = append(sec.Path, int(int8(n)))
		}
		got := readSection(t, s, sec)
		if sec.Kind == HeaderFields || sec.Kind == HeaderFieldsNot {
			checkFiltered(t, s, sec, got)
			return
		}
		if whole := readSection(t, s, Section{}); !bytes.Contains(whole, got) {
			t.Fatal("the section is not in the message")
		}
	})
}

// checkFiltered checks that the fields selected and those not selected are the whole header, and end in an empty line.
func checkFiltered(t *testing.T, s *Spooled, sec Section, got []byte) {
	t.Helper()
	all, rest := sec, sec
	all.Kind, rest.Kind = Header, HeaderFields+HeaderFieldsNot-sec.Kind
	header := readSection(t, s, all)
	if _, err := s.Part().Section(s, all); err != nil {
		return
	}
	if !bytes.HasSuffix(got, []byte("\r\n")) {
		t.Fatalf("%q does not end in an empty line", got)
	}
	lines := append(bytes.SplitAfter(got, lf), bytes.SplitAfter(readSection(t, s, rest), lf)...)
	want := bytes.SplitAfter(bytes.TrimSuffix(header, []byte("\r\n")), lf)
	for _, l := range [][][]byte{lines, want} {
		for i := range l {
			l[i] = bytes.TrimSuffix(l[i], []byte("\r\n"))
		}
		slices.SortFunc(l, bytes.Compare)
	}
	lines = slices.DeleteFunc(lines, func(b []byte) bool { return len(b) == 0 })
	want = slices.DeleteFunc(want, func(b []byte) bool { return len(b) == 0 })
	if !slices.EqualFunc(lines, want, bytes.Equal) {
		t.Fatalf("%q is not divided: %q", want, lines)
	}
}
