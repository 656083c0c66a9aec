package postgres

import "unicode/utf8"

// What the grams of a pattern of several say together is not sure: they may stand in different places of a text. There are
// grams besides that prove a pattern, one to one as all are, of what people look for most: words of four to eight letters and
// digits, words of three to six katakana, and three ideographs. A text that has the gram contains the pattern. One that has
// not may contain it all the same, in a longer word: that is read.
//
// Ideographs in threes are filed where there are kana too: in Japanese few words are so long and the index becomes 5 % larger
// for it (4 % for katakana), in Chinese it would be more than twice as large.

// alphabet is what a word consists of. Its letters have values from 1 on, below base.
type alphabet struct {
	base     uint64
	from, to int    // length of the words that are grams
	first    uint64 // below which there are no words of it
}

var (
	latin    = alphabet{base: 37, from: 4, to: 8}
	katakana = alphabet{base: 95, from: 3, to: 6, first: 37 * 37 * 37 * 37 * 37 * 37 * 37 * 37}
)

// Words of both alphabets fit below oneGram.
const _ = uint64(oneGram - 37*37*37*37*37*37*37*37 - 95*95*95*95*95*95)

// letterValues gives letters and digits their values.
var letterValues = func() (t [utf8.RuneSelf]uint64) {
	for i, c := range []byte("abcdefghijklmnopqrstuvwxyz0123456789") {
		t[c] = uint64(i + 1)
	}
	return t
}()

// katakanaValue is 0 of what is not katakana.
func katakanaValue(r rune) uint64 {
	const before, middleDot, last = 0x30a0, 0x30fb, 0x30fe
	if r <= before || r > last || r == middleDot {
		return 0
	}
	return uint64(r - before)
}

// wordLetter returns the value of a letter, and in which alphabet; 0 of what is in no word.
func wordLetter(r rune) (value uint64, of *alphabet) {
	if r < utf8.RuneSelf {
		return letterValues[r], &latin
	}
	return katakanaValue(r), &katakana
}

// speller spells a word.
type speller struct {
	of    *alphabet // nil before the first letter
	n     int
	chars uint64
}

func (s *speller) add(value uint64, of *alphabet) {
	s.of = of
	s.n++
	s.chars = s.chars*of.base + value
}

// gram returns the gram of the word, if it is of a length that has one.
func (s *speller) gram(header bool) (g gram, ok bool) {
	if s.of == nil || s.n < s.of.from || s.n > s.of.to {
		return 0, false
	}
	return makeGram(wordGram, s.of.first+s.chars, header), true
}

// The ideographs are those of Unicode's first block of them, in which there are all but a few hundred that anybody writes, and 々.
const (
	firstIdeograph = 0x4e00
	lastIdeograph  = 0x9fff
	again          = '々'
	ideographs     = lastIdeograph - firstIdeograph + 2
)

// ideograph numbers ideographs; -1 is none.
func ideograph(r rune) int64 {
	switch {
	case r >= firstIdeograph && r <= lastIdeograph:
		return int64(r - firstIdeograph)
	case r == again:
		return ideographs - 1
	}
	return -1
}

func isKana(r rune) bool { return r > 0x3040 && r < 0x3100 }

// trioRooms is what other kinds of grams leave free, where three ideographs go.
var trioRooms = [...]struct{ from, size uint64 }{
	{oneGram + oneRoom, twoGram - oneGram - oneRoom},
	{threeGram + threeRoom, headerGram - threeGram - threeRoom},
	{twoGram + twoRoom, threeGram - twoGram - twoRoom},
}

// Three ideographs fit.
const (
	oneRoom   = 1 << 21
	twoRoom   = (utf8.MaxRune + 1) << 21
	threeRoom = 1 << 36

	_ = uint64(headerGram - oneGram - oneRoom - twoRoom - threeRoom - ideographs*ideographs*ideographs)
)

// trioOf returns kind and characters of a gram of three ideographs.
func trioOf(a, b, c rune) (chars uint64, ok bool) {
	i, j, k := ideograph(a), ideograph(b), ideograph(c)
	if i < 0 || j < 0 || k < 0 {
		return 0, false
	}
	n := uint64((i*ideographs+j)*ideographs + k)
	for _, room := range trioRooms {
		if n < room.size {
			return room.from + n, true
		}
		n -= room.size
	}
	return 0, false
}

// proofOf returns the gram that proves a folded pattern, if it is one that has such a gram.
func proofOf(pattern string, header bool) (g gram, ok bool) {
	if runes := []rune(pattern); len(runes) == 3 {
		if chars, ok := trioOf(runes[0], runes[1], runes[2]); ok {
			return makeGram(0, chars, header), true
		}
	}
	var s speller
	for _, r := range pattern {
		value, of := wordLetter(r)
		if value == 0 || s.of != nil && s.of != of {
			return 0, false
		}
		s.add(value, of)
	}
	return s.gram(header)
}
