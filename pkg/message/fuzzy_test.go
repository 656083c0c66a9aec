package message

import (
	"strings"
	"testing"
)

func TestFuzzy(t *testing.T) {
	t.Parallel()
	mail := "Subject: =?UTF-8?Q?Caf=C3=A9_meeting?=\r\nFrom: Zoë Müller <zoe@example.org>\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\n\r\nThe tomorrow's lunch, délicieux; 東京で会議があります。 " +
		strings.Repeat("x", 3000) + "needle\r\n"
	body := spool(t, []byte(mail), SpoolOptions{})
	p := body.Part()
	for _, tt := range []struct {
		in   Scope
		text string
		want int
	}{
		{InBody, "lunch", 100},
		{InBody, "LUNCH Tomorrow", 100},
		{InBody, "lun", 90},
		{InBody, "unch", 75},
		{InBody, "lnch", 70},
		{InBody, "lucnh", 70},
		{InBody, "delicieux", 100},
		{InBody, "delcieus", 40},
		{InBody, "tomorow lunch", 85},
		{InBody, "会議", 75},
		{InBody, "会義", 0},
		{InBody, "needle", 75},
		{InBody, "lunch dinner", 0},
		{InBody, "lux", 0},
		{InBody, "meeting", 0},
		{InText, "meeting", 100},
		{InText, "muller cafe", 100},
		{InBody, "", 100},
		{InBody, ";", 100},
		{InBody, "#", 0},
	} {
		got, err := p.Fuzzy(body, tt.in, NewFuzzy(tt.text))
		if err != nil || got != tt.want {
			t.Errorf("%v %q: %d, %v, want %d", tt.in, tt.text, got, err, tt.want)
		}
	}
	for _, tt := range []struct {
		field, text string
		want        int
	}{{"subject", "cafe", 100}, {"From", "muler", 70}, {"To", "cafe", 0}, {"From", "", 100}, {"To", "", 0}} {
		got, err := p.FuzzyHeader(body, tt.field, NewFuzzy(tt.text))
		if err != nil || got != tt.want {
			t.Errorf("%s %q: %d, %v, want %d", tt.field, tt.text, got, err, tt.want)
		}
	}
}

// FuzzFuzzy: what is found exactly as a word is found inexactly, and a score is a score.
func FuzzFuzzy(f *testing.F) {
	f.Add("héllo wörld", "hello")
	f.Add("会議 meeting", "会")
	f.Fuzz(func(t *testing.T, text, pattern string) {
		z := NewFuzzy(pattern)
		s := newScorer(z)
		folded := []byte(Fold(text))
		cut := len(folded) / 2
		s.Text(PlaceBody, folded[:cut])
		s.Text(PlaceBody, folded[cut:])
		s.End()
		if len(z.words) == 0 {
			return
		}
		if n := s.score(); n < 0 || n > 100 {
			t.Fatalf("%q in %q: %d", pattern, text, n)
		}
		own := newScorer(z)
		own.Text(PlaceBody, []byte(Fold(pattern)))
		own.End()
		if len(pattern) < maxWord/2 && own.score() != 100 {
			t.Fatalf("%q in itself: %d", pattern, own.score())
		}
	})
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want int
	}{{"lunch", "lunch", 0}, {"lunch", "lnuch", 1}, {"lunch", "launch", 1}, {"lunch", "lun", 2}, {"kitten", "sitting", 3}, {"abcdef", "ghijkl", 3}} {
		if got := distance([]rune(tt.a), []rune(tt.b), 2); got != tt.want {
			t.Errorf("%s, %s: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
