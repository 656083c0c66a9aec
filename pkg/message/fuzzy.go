package message

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fuzzy is a text to be searched for inexactly: its words, in any order, without their diacritics, as they stand, as parts
// of longer words, or with a letter or two wrong. It is immutable.
type Fuzzy struct {
	text  string // folded
	words []fuzzyWord
}

type fuzzyWord struct {
	text   string
	runes  []rune
	errors int // how many letters may be wrong
}

// Bounds of what is searched for and looked at.
const (
	maxFuzzyWords = 32
	maxFuzzyRunes = 64  // of a word that may have letters wrong
	maxWord       = 512 // octets of a word of a message that are looked at together
)

// The scores of a word that is found.
const (
	scoreWord   = 100
	scorePrefix = 90
	scorePart   = 75
	scoreError  = 30 // less than scoreWord for each letter that is wrong
)

// NewFuzzy makes a text ready to be searched for.
func NewFuzzy(text string) *Fuzzy {
	f := &Fuzzy{text: Fold(text)}
	for _, w := range strings.FieldsFunc(f.text, func(r rune) bool { return !isWordRune(r) }) {
		if len(f.words) == maxFuzzyWords {
			break
		}
		w = bare(w)
		runes := []rune(w)
		f.words = append(f.words, fuzzyWord{text: w, runes: runes, errors: errorsIn(runes)})
	}
	return f
}

// errorsIn is how many letters may be wrong in a word: none in short ones, nor where a character is half a word.
func errorsIn(word []rune) int {
	for _, r := range word {
		if unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai) {
			return 0
		}
	}
	switch n := len(word); {
	case n < 4 || n > maxFuzzyRunes:
		return 0
	case n < 8:
		return 1
	}
	return 2
}

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r) }

// bare takes the diacritics off a word. The marks that make other letters of kana are none.
func bare(word string) string {
	if asciiPrefix([]byte(word)) == len(word) {
		return word
	}
	var b strings.Builder
	for _, r := range norm.NFD.String(word) {
		if !unicode.Is(unicode.Mn, r) || r == 0x3099 || r == 0x309a {
			b.WriteRune(r)
		}
	}
	return norm.NFC.String(b.String())
}

// Fuzzy returns how well a message answers a search: from 1 to 100, or 0 if it does not. The error is one of reading.
func (p *Part) Fuzzy(body io.ReaderAt, in Scope, f *Fuzzy) (int, error) {
	if len(f.words) == 0 {
		return exactly(p.Search(body, in, f.text))
	}
	s := newScorer(f)
	m := newMatcher(nil)
	defer m.release()
	m.tap = s
	var err error
	if in == InText {
		err = m.mimeHeader(body, p)
	}
	if err == nil {
		err = p.searchBody(body, m, in)
	}
	if err != nil {
		return 0, fmt.Errorf("search inexactly: %w", err)
	}
	return s.score(), nil
}

// FuzzyHeader is Fuzzy in the header fields of a name.
func (p *Part) FuzzyHeader(body io.ReaderAt, field string, f *Fuzzy) (int, error) {
	if len(f.words) == 0 {
		return exactly(p.SearchHeader(body, field, f.text))
	}
	s := newScorer(f)
	m := newMatcher(nil)
	defer m.release()
	m.tap = s
	scan := newFieldScanner(section(body, p.Header, p.Body))
	defer scan.release()
	value := fieldText{m: m, charset: p.firstCharset()}
	scan.piece = func(b []byte) {
		if bytes.EqualFold(scan.name, []byte(field)) {
			value.add(b)
		}
	}
	for scan.next() {
		value.flush()
		m.end()
	}
	if scan.err != nil {
		return 0, fmt.Errorf("search header inexactly: %w", scan.err)
	}
	return s.score(), nil
}

func exactly(found bool, err error) (int, error) {
	if found && err == nil {
		return scoreWord, nil
	}
	return 0, err
}

// scorer is a TextReader that looks for words.
type scorer struct {
	f    *Fuzzy
	best []int // by word
	word []byte
	rest []byte // the beginning of a character
}

func newScorer(f *Fuzzy) *scorer {
	return &scorer{f: f, best: make([]int, len(f.words))}
}

// Text implements TextReader.
func (s *scorer) Text(_ Place, folded []byte) {
	if len(s.rest) > 0 {
		folded = append(s.rest, folded...)
		s.rest = nil
	}
	for len(folded) > 0 {
		if !utf8.FullRune(folded) {
			s.rest = bytes.Clone(folded)
			return
		}
		r, n := utf8.DecodeRune(folded)
		if isWordRune(r) {
			s.word = append(s.word, folded[:n]...)
		} else {
			s.flush(0)
		}
		if folded = folded[n:]; len(s.word) > maxWord {
			s.flush(maxWord / 2)
		}
	}
}

// End implements TextReader.
func (s *scorer) End() {
	s.rest = nil
	s.flush(0)
}

// flush compares the word at hand and keeps its last octets, as many at least.
func (s *scorer) flush(keep int) {
	if len(s.word) == 0 {
		return
	}
	word := bare(string(s.word))
	for i := range s.f.words {
		if s.best[i] < scoreWord {
			s.best[i] = max(s.best[i], s.f.words[i].score(word))
		}
	}
	from := len(s.word) - keep
	for from > 0 && from < len(s.word) && !utf8.RuneStart(s.word[from]) {
		from--
	}
	s.word = s.word[:copy(s.word, s.word[from:])]
}

// score is the mean of the words' scores; all of them must be found.
func (s *scorer) score() int {
	sum := 0
	for _, n := range s.best {
		if n == 0 {
			return 0
		}
		sum += n
	}
	return max(1, sum/len(s.best))
}

// score says how alike a word of a message is.
func (w *fuzzyWord) score(word string) int {
	switch {
	case word == w.text:
		return scoreWord
	case strings.HasPrefix(word, w.text):
		return scorePrefix
	case strings.Contains(word, w.text):
		return scorePart
	case w.errors == 0 || len(word) > maxWord:
		return 0
	}
	if d := distance(w.runes, []rune(word), w.errors); d <= w.errors {
		return scoreWord - scoreError*d
	}
	return 0
}

// distance counts the letters to change, add, take away or swap with their neighbour to make b of a; beyond most it does
// not matter how many.
func distance(a, b []rune, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most {
		return most + 1
	}
	var rows [3][maxFuzzyRunes + 4]int
	before, last, row := rows[0][:len(b)+1], rows[1][:len(b)+1], rows[2][:len(b)+1]
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
			d := last[j-1]
			if a[i-1] != b[j-1] {
				d = min(d, last[j], row[j-1]) + 1
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			row[j] = d
			least = min(least, d)
		}
		if least > most {
			return most + 1
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
