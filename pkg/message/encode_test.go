package message

import (
	"reflect"
	"strings"
	"testing"
)

// TestCompactForm holds the stored form still: what is written today must be read for ever.
func TestCompactForm(t *testing.T) {
	t.Parallel()
	s := spool(t, golden(t)["plain.eml"], SpoolOptions{})
	old := *s.Part()
	old.Preview = nil
	got, err := old.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "\x01\x00\xf8\x01\x37\x01\x03\x05\x01\x13\x1b\x09\x01\x00\x00\x00\x01\x0bHMon, 7 Feb 1994 21:52:25 -0800 (PST)" +
		"\"afternoon meetingF<B27397-0100000@cac.washington.edu>\x01\x07\x1aAlice Example\nalice\x16example.org\x01\x01" +
		"\x01\x06\x06bob\x16example.net\x00\x00\x00"
	if string(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
	got, err = s.Part().AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	want = "\x02" + want[1:] + "jHello Joe, do you think we can meet at 3:30 tomorrow?"
	if string(got) != want {
		t.Errorf("with a preview: %q, want %q", got, want)
	}
}

func TestCompactSize(t *testing.T) {
	t.Parallel()
	total, octets := 0, 0
	for _, raw := range golden(t) {
		s := spool(t, raw, SpoolOptions{})
		b, err := s.Part().AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		total += len(b)
		octets += int(s.Part().Body)
	}
	if total > octets {
		t.Errorf("%d octets for headers of %d", total, octets)
	}
}

func TestUnmarshalErrors(t *testing.T) {
	t.Parallel()
	s := spool(t, golden(t)["nested.eml"], SpoolOptions{})
	b, err := s.Part().AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range b {
		if err := new(Part).UnmarshalBinary(b[:n]); err == nil {
			t.Errorf("%d octets of %d are accepted", n, len(b))
		}
	}
	if err := new(Part).UnmarshalBinary(append(b, 0)); err == nil {
		t.Error("an octet too many is accepted")
	}
	b[0]++
	if err := new(Part).UnmarshalBinary(b); err == nil {
		t.Error("an unknown version is accepted")
	}
}

func TestUnmarshalKeepsNothing(t *testing.T) {
	t.Parallel()
	s := spool(t, golden(t)["nested.eml"], SpoolOptions{})
	b, err := s.Part().AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var p Part
	if err := p.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	clear(b)
	if !sameTree(&p, s.Part()) {
		t.Error("the tree changes with the octets it was read from")
	}
}

// TestMarshalComplete fails when a field is added to the tree that the compact form does not keep.
func TestMarshalComplete(t *testing.T) {
	t.Parallel()
	str := func(s string) *string { return &s }
	list := []Address{{str("n"), str("m"), str("h")}, {}, {nil, str("g"), nil}}
	p := &Part{
		Header: 0, Body: 3, End: 9, Lines: 2, Type: "TEXT", Subtype: "X-ODD", Params: []Param{{"a", "b"}, {"a", ""}},
		ID: str("id"), Description: str(""), Encoding: "X", MD5: str("md5"), Disposition: "INLINE", Language: []string{"de", ""},
		DispositionParams: []Param{{"filename", "ü"}}, Location: str("loc"),
		Envelope: &Envelope{str("d"), str("s"), list, list, list[:2], list, list, list, str("i"), str("m")},
	}
	for _, v := range []reflect.Value{reflect.ValueOf(*p), reflect.ValueOf(*p.Envelope)} {
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "Header" && name != "Children" && name != "Preview" {
				t.Fatalf("%s is not set in this test", name)
			}
		}
	}
	p = &Part{Body: 1, End: 20, Type: "MULTIPART", Subtype: "MIXED", Encoding: "7BIT", Children: []*Part{p.move(2)}, Preview: str("p")}
	b, err := p.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var q Part
	if err := q.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(p, &q) {
		t.Errorf("%s, want %s", structure(&q), structure(p))
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, raw := range golden(f) {
		b, err := spool(f, raw, SpoolOptions{}).Part().AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Part
		if err := p.UnmarshalBinary(b); err != nil {
			return
		}
		checkRoundTrip(t, &p)
		for _, path := range paths(&p, nil) {
			if part := p.Find(path); part.Header < 0 || part.Body < part.Header || part.End < part.Body || part.End > p.End {
				t.Fatalf("part %v at %d %d %d", path, part.Header, part.Body, part.End)
			}
		}
		if _, err := p.Section(strings.NewReader(""), Section{Kind: HeaderFields}); err == nil && p.Body > p.Header {
			t.Fatal("a header is read where none is")
		}
	})
}
