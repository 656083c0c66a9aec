package postgres

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/message"
)

func TestGramsOf(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		pattern string
		grams   int
		exact   bool
	}{
		{"", 0, false},
		{"a", 0, false},
		{"ab", 0, false},
		{"abc", 1, true},
		{"abcd", 2, false},
		{"aaaa", 1, false},
		{"東", 1, true},
		{"東京", 1, true},
		{"東京都", 2, false},
		{"3月", 1, true},
		{"月 ", 1, false},
		{"日 a", 1, false},
		{"ab東", 1, false},
		{"naï", 1, true},
		{"ไทย", 2, false},
		{"🎉", 1, true},
		{"ab 東", 1, false},
		{"abc東", 2, false},
		{"\xff東", 0, false},
		{"\ufffd", 1, false},
		{"東\ufffd", 1, false},
		{"東東", 1, true},
		{"東東東", 1, false},
	} {
		grams, exact := gramsOf(row.pattern, false)
		if len(grams) != row.grams || exact != row.exact {
			t.Errorf("%q: %d grams, exact %v; want %d, %v", row.pattern, len(grams), exact, row.grams, row.exact)
		}
	}
}

// TestGramsRandom cuts patterns out of texts, and out of others: what occurs has all grams; what is exact and has them,
// occurs.
func TestGramsRandom(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 3))
	for range 3000 {
		text, other := message.Fold(phrase(r, words, 12)), message.Fold(phrase(r, words, 3))
		s := newGramSet()
		for rest := text; rest != ""; { // in pieces that end anywhere
			n := 1 + r.IntN(len(rest))
			s.Text(message.PlaceBody, []byte(rest[:n]))
			rest = rest[n:]
		}
		s.End()
		for _, from := range []string{text, other} {
			at := r.IntN(len(from))
			pattern := from[at:min(len(from), at+1+r.IntN(20))]
			grams, exact := gramsOf(pattern, false)
			if proof, ok := proofOf(pattern, false); ok && s.has(proof) && !strings.Contains(text, pattern) {
				t.Fatalf("%q is proven of %q", pattern, text)
			}
			has := !slices.ContainsFunc(grams, func(g gram) bool { return !s.has(g) })
			if occurs := strings.Contains(text, pattern); occurs && !has || exact && has && !occurs {
				t.Fatalf("%q in %q: %v, but its grams say %v, exact %v", pattern, text, occurs, has, exact)
			}
		}
	}
}

func TestGramPlaces(t *testing.T) {
	t.Parallel()
	s := newGramSet()
	s.Text(message.PlaceBody, []byte("body"))
	s.End()
	s.Text(message.PlaceHeader, []byte("subject: 東京"))
	s.End()
	for pattern, want := range map[string][2]bool{"body": {true, false}, "東京": {false, true}, "bod": {true, false}, "ysu": {}} {
		for i, header := range []bool{false, true} {
			grams, _ := gramsOf(pattern, header)
			if has := !slices.ContainsFunc(grams, func(g gram) bool { return !s.has(g) }); has != want[i] {
				t.Errorf("%q, header %v: %v", pattern, header, has)
			}
		}
	}
	s.Text(message.PlaceField, []byte(" 東京"))
	if s.odd {
		t.Error("a field that is in the header makes the message odd")
	}
	s.Text(message.PlaceField, []byte("大阪"))
	if !s.odd {
		t.Error("a field that is not in the header does not make the message odd")
	}
	if s.reset(); s.odd || len(s.list) != 0 {
		t.Error("reset leaves something")
	}
}

// TestShuffle: no two numbers become one, so grams are exact.
func TestShuffle(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 4))
	seen := make(map[gram]uint64)
	for i := range uint64(200_000) {
		x := i
		if i%2 == 0 {
			x = r.Uint64() & gramMask
		}
		g := shuffle(x)
		if was, ok := seen[g]; ok && was != x || g > gramMask {
			t.Fatalf("%x and %x are both %x", was, x, g)
		}
		seen[g] = x
	}
}

func TestGramSetGrows(t *testing.T) {
	t.Parallel()
	s := newGramSet()
	for i := range gram(100_000) {
		s.add(i)
		s.add(i)
	}
	if len(s.list) != 100_000 || !s.has(0) || !s.has(99_999) || s.has(100_000) || s.odd {
		t.Errorf("%d grams", len(s.list))
	}
	for i := range gram(maxGrams + 1) {
		s.add(i)
	}
	if !s.odd {
		t.Error("a message with too many grams would be indexed")
	}
}

func TestCover(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(6, 6))
	for range 200 {
		c := new(cover)
		uids := make(map[imap.UID]int)
		for uid := imap.UID(1); len(uids) < 50; uid += imap.UID(1 + r.IntN(3)*r.IntN(50)) {
			uids[uid] = c.n
			c.add(uid)
		}
		d, err := decodeCover(c.encode())
		if err != nil || !slices.Equal(d.runs, c.runs) || d.n != c.n {
			t.Fatalf("%+v, %v, want %+v", d, err, c)
		}
		for uid := range imap.UID(3000) {
			want, in := uids[uid]
			if at, ok := d.place(uid); ok != in || at != want {
				t.Fatalf("place(%d) = %d, %v, want %d, %v", uid, at, ok, want, in)
			}
		}
	}
}

func FuzzDecodeCover(f *testing.F) {
	c := new(cover)
	c.add(1)
	c.add(7)
	f.Add(c.encode())
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := decodeCover(b); err == nil {
			if d, err := decodeCover(c.encode()); err != nil || d.n != c.n {
				t.Fatalf("%x: %v", b, err)
			}
		}
	})
}

// TestBlocks writes random segments and reads them back.
func TestBlocks(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 9))
	for range 50 {
		b := &segmentBuilder{docs: segmentDocs}
		want := make(map[gram][]int)
		n := 1 + r.IntN(200)
		for i := range n {
			var grams []gram
			for g := range gram(300) {
				if r.IntN(int(g)+1) < 20 {
					grams = append(grams, shuffle(uint64(g)))
					want[shuffle(uint64(g))] = append(want[shuffle(uint64(g))], i)
				}
			}
			r.Shuffle(len(grams), func(i, j int) { grams[i], grams[j] = grams[j], grams[i] })
			b.add(imap.UID(3*i+1), grams)
		}
		var blocks [][]byte
		bits, err := b.blocks(func(block int, raw []byte) error {
			if block != len(blocks) {
				return fmt.Errorf("block %d after %d", block, len(blocks))
			}
			blocks = append(blocks, bytes.Clone(raw))
			return nil
		})
		if err != nil || len(blocks) != 1<<bits {
			t.Fatalf("%d blocks of %d bits, %v", len(blocks), bits, err)
		}
		for at, raw := range blocks {
			for br := newBlockReader(raw, n, bits, at); br.next(); {
				var got []int
				br.places(func(p int) { got = append(got, p) })
				set := newPlaceSet(n)
				br.into(set)
				if !slices.Equal(got, want[br.gram]) || set.count() != len(got) || blockOf(br.gram, bits) != at {
					t.Fatalf("gram %x: %v, want %v", br.gram, got, want[br.gram])
				}
				delete(want, br.gram)
			}
		}
		if len(want) > 0 {
			t.Fatalf("%d grams are lost", len(want))
		}
	}
}

func FuzzBlockReader(f *testing.F) {
	f.Add([]byte{5, 4, 1, 1, 9, 3, 0xff}, 8)
	f.Add([]byte{0, 200}, 100)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		if n < 1 || n > 1000 {
			return
		}
		last := -1
		for r := newBlockReader(b, n, 4, 3); r.next(); last = -1 {
			r.places(func(p int) {
				if p <= last || p >= (n+7)/8*8 {
					t.Fatalf("place %d after %d of %d", p, last, n)
				}
				last = p
			})
			r.into(newPlaceSet(n))
		}
	})
}

func TestMergeable(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		levels string // of segments: a digit, or t
		want   string // first-last:level
	}{
		{"", ""},
		{"000", ""},
		{"0000", "0-3:1"},
		{"10000", "1-4:1"},
		{"100011111", "1-3:1"},
		{"1111", "0-3:2"},
		{"2111t0", ""},
		{"tttttttt", "0-7:0"},
		{"0ttttttt", ""},
		{"11101", "0-3:2"},
		{"11101000", "0-3:2"},
		{"1t1t1t1", "0-3:2"},
		{"0tt0", "1-2:0"},
		{"2t02", "1-2:2"},
	} {
		var ready []*gramSeg
		for i, c := range row.levels {
			level := int(c - '0')
			if c == 't' {
				level = levelTail
			}
			ready = append(ready, &gramSeg{level: level, lo: int64(i)})
		}
		got := ""
		if run, level := mergeable(ready, 4); run != nil {
			got = fmt.Sprintf("%d-%d:%d", run[0].lo, run[len(run)-1].lo, level)
		}
		if got != row.want {
			t.Errorf("%s: %s, want %s", row.levels, got, row.want)
		}
	}
}
