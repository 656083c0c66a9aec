package message

import (
	"bytes"
	"io"
	"testing"
)

// FuzzMessage reads any octets as a message and checks what holds for all: see checkTree; every section can be read, and
// whatever is asked has an answer.
func FuzzMessage(f *testing.F) {
	for _, raw := range golden(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := spool(t, raw, SpoolOptions{})
		p := s.Part()
		checkTree(t, p, s.Size())
		checkRoundTrip(t, p)
		checkWire(t, s)
		if whole := readSection(t, s, Section{}); !bytes.Equal(bytes.ReplaceAll(whole, []byte("\r\n"), lf), bytes.ReplaceAll(raw, []byte("\r\n"), lf)) {
			t.Fatal("the octets are not those received")
		}
		for _, path := range paths(p, nil) {
			for kind := Whole; kind <= MIME; kind++ {
				readSection(t, s, Section{Path: path, Kind: kind, Fields: []string{"subject"}})
			}
			r, err := p.Decoded(s, path)
			if err != nil {
				continue
			}
			if _, err := io.Copy(io.Discard, r); err != nil {
				t.Fatal(err)
			}
		}
		p.Envelope.Sent()
		for _, scope := range []Scope{InBody, InText} {
			if _, err := p.Search(s, scope, "needle", "日本"); err != nil {
				t.Fatal(err)
			}
		}
		if found, err := p.SearchHeader(s, "subject", ""); err != nil || !found && p.Envelope.Subject != nil {
			t.Fatalf("subject found %v, %v", found, err)
		}
	})
}
