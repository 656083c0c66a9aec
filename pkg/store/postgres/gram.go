package postgres

import (
	"slices"
	"strings"
	"unicode/utf8"

	"postern/pkg/message"
)

// gram names a few neighbouring characters and where they stand, in gramBits bits: what the substring index files
// messages under. It is the characters themselves, shuffled (one to one, so that nothing is lost), not a hash: what the
// index says of a pattern that is a single gram is exact.
type gram uint64

const (
	gramBits = 45
	gramMask = 1<<gramBits - 1

	wordGram  = 0 << 42 // a whole word, see wordOf
	oneGram   = 1 << 42
	twoGram   = 2 << 42
	threeGram = 3 << 42

	// headerGram tells a gram of what only SEARCH TEXT reads from one of the body.
	headerGram = 1 << 44
)

// wideFrom is the first of the characters that say so much that one or two make a gram: Thai and all that follows, among
// them kana, ideographs, Hangul and pictures. The characters before need three.
const wideFrom = 0x0e00

// shuffle spreads grams evenly. It is a permutation of the numbers of gramBits bits: each step can be undone.
func shuffle(x uint64) gram {
	x ^= x >> 22
	x = x * 0x1e3779b97f4a7c15 & gramMask
	x ^= x >> 23
	x = x * 0x0f58476d1ce4e5b9 & gramMask
	return gram(x ^ x>>22)
}

// makeGram makes the gram of some characters.
func makeGram(kind, chars uint64, header bool) gram {
	if header {
		kind |= headerGram
	}
	return shuffle(kind | chars)
}

// window3 is the last characters of a text; -1 where it has not begun.
type window3 struct{ b, c rune }

// slide adds the character r and visits the grams that end with it.
func (w *window3) slide(r rune, visit func(kind, chars uint64)) {
	b, c := w.b, w.c
	w.b, w.c = c, r
	if r >= wideFrom {
		visit(oneGram, uint64(r))
		if c >= wideFrom || isWord(c) {
			visit(twoGram, uint64(c)<<21|uint64(r))
		}
		return
	}
	switch {
	case c >= wideFrom:
		if isWord(r) {
			visit(twoGram, uint64(c)<<21|uint64(r))
		}
	case b >= 0 && b < wideFrom && c >= 0:
		visit(threeGram, uint64(b)<<24|uint64(c)<<12|uint64(r))
	}
}

// isWord tells the narrow characters that make a gram with one wide neighbour.
func isWord(r rune) bool {
	return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r >= 0x80
}

// gramsOf returns the grams that a text must have to contain a folded pattern, those that say most first; none if any text
// may. exact says that a text with these grams contains it.
func gramsOf(pattern string, header bool) (grams []gram, exact bool) {
	if !utf8.ValidString(pattern) {
		return nil, false
	}
	w := window3{-1, -1}
	var ones, more []gram
	runes, says := 0, 0 // characters there are, and in the last gram
	for _, r := range pattern {
		runes++
		w.slide(r, func(kind, chars uint64) {
			g := makeGram(kind, chars, header)
			if kind == oneGram {
				ones = append(ones, g)
				return
			}
			more = append(more, g)
			says = int(kind >> 42)
		})
	}
	if len(more) == 0 {
		more, says = ones, 1
	}
	// What is not UTF-8 in a text looks like the replacement character here.
	exact = len(more) == 1 && says == runes && !strings.ContainsRune(pattern, utf8.RuneError)
	return spread(dedupe(more)), exact
}

// Words of so many letters and digits are grams too, one to one. What the other grams say of a longer pattern is not sure;
// that a text has the very word is.
const (
	wordFrom = 4
	wordTo   = 8 // 37 to the power of 8 is less than 2 to that of 42
)

// letters gives those that words are made of their values, which are not 0.
var letters = func() (t [256]uint64) {
	for i, c := range []byte("abcdefghijklmnopqrstuvwxyz0123456789") {
		t[c] = uint64(i + 1)
	}
	return t
}()

// speller spells a word.
type speller struct {
	n     int
	chars uint64
}

func (s *speller) add(value uint64) {
	s.n++
	s.chars = s.chars*37 + value
}

// gram returns the gram of the word, if it is of a length that has one.
func (s *speller) gram(header bool) (g gram, ok bool) {
	if s.n < wordFrom || s.n > wordTo {
		return 0, false
	}
	return makeGram(wordGram, s.chars, header), true
}

// wordOf returns the gram of a folded pattern that is a word. A text that has it contains the pattern; one that has not may
// contain it in another word.
func wordOf(pattern string, header bool) (g gram, ok bool) {
	var s speller
	for i := range len(pattern) {
		value := letters[pattern[i]]
		if value == 0 {
			return 0, false
		}
		s.add(value)
	}
	return s.gram(header)
}

func dedupe(grams []gram) []gram {
	seen := make(map[gram]bool, len(grams))
	return slices.DeleteFunc(grams, func(g gram) bool {
		was := seen[g]
		seen[g] = true
		return was
	})
}

// spread puts grams in an order in which any number of the first come from all over the pattern: parts of it are words
// that every message has.
func spread(grams []gram) []gram {
	n := len(grams)
	out := make([]gram, 0, n)
	size := 1
	for size < n {
		size *= 2
	}
	for i := range size {
		j := 0
		for bit, k := 1, size>>1; k > 0; bit, k = bit<<1, k>>1 {
			if i&bit != 0 {
				j |= k
			}
		}
		if j < n {
			out = append(out, grams[j])
		}
	}
	return out
}

// maxGrams is how many grams a message may have to be indexed: a book has fewer. Others are read whenever a search asks.
const maxGrams = 1 << 19

// gramSet collects the grams of one message: it is a message.TextReader. It is used for one after another.
type gramSet struct {
	list  []gram
	table []gram // open addressing; 0 is free; whether the gram that is 0 is there, zero says
	zero  bool
	odd   bool // it must not be indexed

	last  window3
	word  speller       // at the end of last
	in    message.Place // where that is
	split []byte        // of a character over the edge of two pieces
}

func newGramSet() *gramSet {
	return &gramSet{table: make([]gram, 1<<14), last: window3{-1, -1}}
}

func (s *gramSet) reset() {
	switch {
	case len(s.table) > 1<<17:
		s.table = make([]gram, 1<<14)
	default:
		clear(s.table)
	}
	s.list, s.zero, s.odd = s.list[:0], false, false
	s.last, s.word, s.split = window3{-1, -1}, speller{}, s.split[:0]
}

// Text implements message.TextReader.
func (s *gramSet) Text(in message.Place, text []byte) {
	if s.odd {
		return
	}
	if len(s.split) > 0 {
		text = append(s.split, text...)
		s.split = s.split[:0]
	}
	visit := s.visitor(in)
	s.in = in
	for len(text) > 0 {
		if value := letters[text[0]]; value != 0 {
			s.word.add(value)
		} else {
			s.endWord()
		}
		if text[0] < utf8.RuneSelf {
			s.last.slide(rune(text[0]), visit)
			text = text[1:]
			continue
		}
		if !utf8.FullRune(text) {
			s.split = append(s.split[:0], text...)
			return
		}
		r, n := utf8.DecodeRune(text)
		s.last.slide(r, visit)
		text = text[n:]
	}
}

// visitor returns what is done with each gram of a text. The values of fields must not have any that the header has not:
// where they do, having been folded in other pieces, the index would not be exact, and the message is left out of it.
func (s *gramSet) visitor(in message.Place) func(kind, chars uint64) {
	switch in {
	case message.PlaceBody:
		return func(kind, chars uint64) { s.add(shuffle(kind | chars)) }
	case message.PlaceHeader:
		return func(kind, chars uint64) { s.add(shuffle(kind | headerGram | chars)) }
	default:
		return func(kind, chars uint64) {
			if !s.has(shuffle(kind | headerGram | chars)) {
				s.odd = true
			}
		}
	}
}

// endWord adds the word that a text has come to the end of, if it has. In the value of a field it would be sure of nothing: an
// index does not say in which field.
func (s *gramSet) endWord() {
	if g, ok := s.word.gram(s.in == message.PlaceHeader); ok && s.in != message.PlaceField {
		s.add(g)
	}
	s.word = speller{}
}

// End implements message.TextReader. Half a character at the end of a text is in no pattern.
func (s *gramSet) End() {
	s.endWord()
	s.last, s.split = window3{-1, -1}, s.split[:0]
}

func (s *gramSet) has(g gram) bool {
	if g == 0 {
		return s.zero
	}
	mask := len(s.table) - 1
	for i := int(g) & mask; s.table[i] != 0; i = (i + 1) & mask {
		if s.table[i] == g {
			return true
		}
	}
	return false
}

func (s *gramSet) add(g gram) {
	if g == 0 {
		if !s.zero {
			s.zero = true
			s.list = append(s.list, 0)
		}
		return
	}
	mask := len(s.table) - 1
	i := int(g) & mask
	for ; s.table[i] != 0; i = (i + 1) & mask {
		if s.table[i] == g {
			return
		}
	}
	s.table[i] = g
	s.list = append(s.list, g)
	if s.odd = s.odd || len(s.list) > maxGrams; 2*len(s.list) > len(s.table) {
		s.grow()
	}
}

func (s *gramSet) grow() {
	old := s.table
	s.table = make([]gram, 2*len(old))
	mask := len(s.table) - 1
	for _, g := range old {
		if g == 0 {
			continue
		}
		i := int(g) & mask
		for s.table[i] != 0 {
			i = (i + 1) & mask
		}
		s.table[i] = g
	}
}
