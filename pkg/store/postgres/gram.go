package postgres

import (
	"slices"
	"strings"
	"unicode/utf8"
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
