package postgres

import (
	"unicode/utf8"

	"postern/pkg/message"
)

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

	kana  bool   // the message has some
	trios []gram // of three ideographs, until there are kana
}

// triosKept is how many grams of three ideographs wait for kana, which come soon in Japanese: after names and titles.
const triosKept = 256

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
	s.kana, s.trios = false, s.trios[:0]
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
		if c := text[0]; c < utf8.RuneSelf {
			s.spell(letterValues[c], &latin)
			s.last.slide(rune(c), visit)
			text = text[1:]
			continue
		}
		if !utf8.FullRune(text) {
			s.split = append(s.split[:0], text...)
			return
		}
		r, n := utf8.DecodeRune(text)
		s.spell(katakanaValue(r), &katakana)
		s.prove(r)
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

// spell adds a letter to the word, which ends with what is no letter of the same alphabet.
func (s *gramSet) spell(value uint64, of *alphabet) {
	if s.word.n > 0 && (value == 0 || s.word.of != of) {
		s.endWord()
	}
	if value != 0 {
		s.word.add(value, of)
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

// prove adds the three ideographs that a text has come to the end of with r, if it has, once there are kana too.
func (s *gramSet) prove(r rune) {
	if !s.kana && isKana(r) {
		s.kana = true
		for _, g := range s.trios {
			s.add(g)
		}
	}
	chars, ok := trioOf(s.last.b, s.last.c, r)
	if !ok || s.in == message.PlaceField {
		return
	}
	switch g := makeGram(0, chars, s.in == message.PlaceHeader); {
	case s.kana:
		s.add(g)
	case len(s.trios) < triosKept:
		s.trios = append(s.trios, g)
	}
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
