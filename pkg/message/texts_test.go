package message

import (
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// heard is all that Texts has said, a line for each text: nothing is found across "\n", which folded text does not have.
type heard struct {
	text [3]strings.Builder
	last Place
}

func (h *heard) Text(in Place, folded []byte) {
	h.last = in
	h.text[in].Write(folded)
}

func (h *heard) End() {
	for i := range h.text {
		h.text[i].WriteByte('\n')
	}
}

func (h *heard) has(pattern string, in ...Place) bool {
	for _, p := range in {
		if strings.Contains(h.text[p].String(), pattern) {
			return true
		}
	}
	return false
}

func textsOf(t *testing.T, p *Part, body io.ReaderAt) *heard {
	t.Helper()
	h := new(heard)
	if err := p.Texts(body, h); err != nil {
		t.Fatal(err)
	}
	return h
}

// TestTexts: what Texts says of the golden messages is what Search and SearchHeader find, and nothing else.
func TestTexts(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(8, 1))
	for name, raw := range golden(t) {
		s := spool(t, raw, SpoolOptions{})
		p, body := s.Part(), s
		h := textsOf(t, p, body)
		all := h.text[PlaceBody].String() + h.text[PlaceHeader].String() + h.text[PlaceField].String()
		for range 200 {
			pattern := someOf(r, all)
			for _, want := range []struct {
				in     Scope
				places []Place
			}{{InBody, []Place{PlaceBody}}, {InText, []Place{PlaceBody, PlaceHeader}}} {
				found, err := p.Search(body, want.in, pattern)
				if err != nil || found != h.has(pattern, want.places...) {
					t.Fatalf("%s: %q in %v: %v, %v", name, pattern, want.in, found, err)
				}
			}
			for _, field := range []string{"Subject", "From", "Received", "Message-ID", "Content-Type"} {
				if ok, err := p.SearchHeader(body, field, pattern); err != nil || ok && !h.has(pattern, PlaceField) {
					t.Fatalf("%s: %s %q is not in the texts of fields, %v", name, field, pattern, err)
				}
			}
		}
	}
}

// someOf cuts a pattern out of a text.
func someOf(r *rand.Rand, text string) string {
	for range 100 {
		at := r.IntN(len(text))
		n := min(1+r.IntN(12), len(text)-at)
		if s := text[at : at+n]; utf8.ValidString(s) && !strings.Contains(s, "\n") {
			return s
		}
	}
	return "nowhere"
}
