package postgres

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"postern/pkg/message"
)

// TestWords: words of four to eight letters and digits, or three to six katakana, are grams, wherever a text is cut; others are
// not, nor are patterns that are more or less than a word. Ideographs are grams in threes, in longer words too.
func TestWords(t *testing.T) {
	t.Parallel()
	text := "the annual invoice2, naïvely 東京invoice; whatsoever カード東京都庁メールsystemシステム々々々、デ・キャンセルポリシーの"
	for cut := range len(text) {
		s := newGramSet()
		s.Text(message.PlaceBody, []byte("lost"))
		s.reset()
		s.Text(message.PlaceBody, []byte(text[:cut]))
		s.Text(message.PlaceBody, []byte(text[cut:]))
		s.End()
		s.Text(message.PlaceHeader, []byte("subject: paid 領収書"))
		s.End()
		s.Text(message.PlaceField, []byte(" paid"))
		s.End()
		for pattern, want := range map[string]bool{
			"annual": true, "invoice2": true, "vely": true, "invoice": true, "subject": true, "paid": true,
			"the": false, "nvoice": false, "whatsoever": false, "whatsoev": false, "lost": false, "annual ": false, "invoice2,": false,
			"カード": true, "メール": true, "system": true, "システム": true, "ステム": false, "システ": false, "ムシステ": false, "systemシ": false,
			"キャンセル": false, "デ・キ": false, "東京都": true, "京都庁": true, "都庁メ": false, "々々々": true, "京都府": false, "領収書": true,
		} {
			header := pattern == "subject" || pattern == "paid" || pattern == "領収書"
			proof, ok := proofOf(pattern, header)
			if has := ok && s.has(proof); has != want {
				t.Errorf("cut at %d: %q: %v", cut, pattern, has)
			}
			if other, _ := proofOf(pattern, !header); ok && s.has(other) {
				t.Errorf("cut at %d: %q is in the wrong place", cut, pattern)
			}
		}
	}
}

// TestTriosNeedKana: what three ideographs there are is filed as soon as there are kana, but not in a long text that has none.
func TestTriosNeedKana(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("東京都港区", triosKept)
	for _, row := range []struct {
		text string
		want bool
	}{
		{"見積書", false},
		{"見積書\r\n株式会社", false},
		{"見積書\r\n株式会社\r\nお世話", true},
		{"お世話\r\n見積書", true},
		{"メール\r\n見積書", true},
		{long + "見積書の", false},
		{long + "の見積書", true},
		{"見積書" + long + "の", true},
		{"見積 書の", false},
	} {
		s := newGramSet()
		s.Text(message.PlaceBody, []byte("の見積書"))
		s.End()
		s.reset()
		s.Text(message.PlaceBody, []byte(row.text))
		s.End()
		proof, ok := proofOf("見積書", false)
		if !ok || s.has(proof) != row.want {
			t.Errorf("%.30q: %v", row.text, s.has(proof))
		}
	}
	s := newGramSet()
	s.Text(message.PlaceHeader, []byte("見積書の"))
	s.End()
	n := len(s.list)
	s.Text(message.PlaceField, []byte("見積書"))
	if s.End(); len(s.list) != n {
		t.Error("the value of a field proves something")
	}
}

// TestTriosAreApart: no two grams of any kinds are one.
func TestTriosAreApart(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 8))
	some := func() rune {
		return []rune{firstIdeograph, lastIdeograph, again, firstIdeograph + rune(r.IntN(ideographs-1))}[r.IntN(4)]
	}
	seen := make(map[uint64][3]rune)
	for range 200_000 {
		trio := [3]rune{some(), some(), some()}
		chars, ok := trioOf(trio[0], trio[1], trio[2])
		if was, there := seen[chars]; !ok || there && was != trio {
			t.Fatalf("%c and %c are both %x, %v", trio, was, chars, ok)
		}
		seen[chars] = trio
		kind, rest := chars&^(1<<42-1), chars&(1<<42-1)
		if room := map[uint64]uint64{oneGram: oneRoom, twoGram: twoRoom, threeGram: threeRoom}[kind]; room == 0 || rest < room {
			t.Fatalf("%c is %x: another kind", trio, chars)
		}
	}
	for _, most := range []struct {
		kind, chars, room uint64
	}{
		{oneGram, utf8.MaxRune, oneRoom},
		{twoGram, utf8.MaxRune<<21 | utf8.MaxRune, twoRoom},
		{threeGram, (wideFrom-1)<<24 | (wideFrom-1)<<12 | (wideFrom - 1), threeRoom},
	} {
		if most.chars >= most.room {
			t.Errorf("grams of kind %x take more than %x", most.kind, most.room)
		}
	}
}
