//go:build !race

package message

import (
	"bytes"
	"testing"

	"postern/pkg/allocs"
)

// TestBudget: what a message of 10 KB with an attachment takes to be read, packed and unpacked. The parts of the tree and
// what stands in their headers are kept; the rest should be memory that is used again.
func TestBudget(t *testing.T) {
	raw := sample(0)
	r := bytes.NewReader(nil)
	allocs.Check(t, "spooling", allocs.Most{Objects: 72, Octets: 3264}, func() {
		r.Reset(raw)
		s, err := Spool(r, SpoolOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
	s := spool(t, raw, SpoolOptions{})
	allocs.Check(t, "a preview", allocs.Most{Objects: 3, Octets: 256}, func() {
		if _, err := s.Part().MakePreview(s); err != nil {
			t.Fatal(err)
		}
	})
	allocs.Check(t, "a search that finds nothing", allocs.Most{Objects: 120, Octets: 2 << 10}, func() { // entities of HTML, most of them
		if found, err := s.Part().Search(s, InBody, "kittiwake"); found || err != nil {
			t.Fatal(found, err)
		}
	})
	packed, err := s.Part().AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 2*len(packed))
	allocs.Check(t, "packing a tree", allocs.Most{}, func() {
		if _, err := s.Part().AppendBinary(buf); err != nil {
			t.Fatal(err)
		}
	})
	allocs.Check(t, "unpacking a tree", allocs.Most{Objects: 21, Octets: 3024}, func() {
		var p Part
		if err := p.UnmarshalBinary(packed); err != nil {
			t.Fatal(err)
		}
	})
}
