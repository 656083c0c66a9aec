package imap

import (
	"math/rand/v2"
	"strings"
	"testing"

	"postern/pkg/store"
)

func TestPattern(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a/b", true},
		{"%", "a/b", false},
		{"%", "a", true},
		{"%/%", "a/b", true},
		{"%/%", "a/b/c", false},
		{"a*c", "a/b/c", true},
		{"a%c", "abc", true},
		{"a%c", "a/c", false},
		{"a/%", "a", false},
		{"a", "A", false},
		{"iNBox", "INBOX", true},
		{"in%", "INBOX", true},
		{"in%", "INBOX/a", false},
		{"in*A", "INBOX/a", false},
		{"in*a", "INBOX/a", true},
		{"inb*", "inbred", true},
		{"inb%", "INBRED", false},
		{"*x", "INBOX", true},
		{"%x/a", "INBOX/a", true},
		{"", "a", false},
		{"a", "ab", false},
		{"ab", "a", false},
		{"%a%a%", "banana", true},
		{"日%", "日本語", true},
		{"/a/", "a", true},
		{"%/", "a", true},
		{"/%", "a/b", false},
		{"re\u0301%", "résumé", true},
		{"*" + strings.Repeat("a", 70) + "%", strings.Repeat("b/", 60) + strings.Repeat("a", 80), true},
		{"%" + strings.Repeat("a", 70) + "%", strings.Repeat("b", 120) + strings.Repeat("a", 80), true},
		{"%" + strings.Repeat("a", 70) + "%", strings.Repeat("b/", 60) + strings.Repeat("a", 80), false},
	} {
		if got := newMatcher(newPattern("", tt.pattern)).matches(tt.name); got != tt.want {
			t.Errorf("%q matches %q: %v", tt.pattern, tt.name, got)
		}
	}
}

// naive is what a pattern means, at whatever cost.
func naive(p, name string) bool {
	switch {
	case p == "":
		return name == ""
	case p[0] == '*':
		return naive(p[1:], name) || name != "" && naive(p, name[1:])
	case p[0] == '%':
		return naive(p[1:], name) || name != "" && name[0] != '/' && naive(p, name[1:])
	}
	return name != "" && name[0] == p[0] && naive(p[1:], name[1:])
}

func checkPattern(t *testing.T, ref, want string, names ...string) {
	t.Helper()
	p := newPattern(ref, want)
	m := newMatcher("no such name", p)
	for _, name := range names {
		if strings.HasPrefix(strings.ToUpper(name), store.Inbox) {
			continue // of its case the table above speaks
		}
		if got, want := m.matches(name), naive(string(p), name); got != want {
			t.Errorf("%q matches %q: %v, want %v", p, name, got, want)
		}
	}
}

// TestPatternRandom holds the matcher against what patterns mean, with names of one word and of several.
func TestPatternRandom(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	word := func(letters string, n int) string {
		var b strings.Builder
		for range r.IntN(n + 1) {
			b.WriteByte(letters[r.IntN(len(letters))])
		}
		return b.String()
	}
	for range 20_000 {
		long := strings.Repeat(word("ab/", 3), r.IntN(60))
		checkPattern(t, "", word("ab/*%", 6)+long[:min(len(long), 20)]+word("*%a", 2), word("ab/", 12), long+word("ab/", 4), long)
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("", "%a*%b", "a/b/ab")
	f.Add("a/", "**%%", "a/"+strings.Repeat("x", 70))
	f.Fuzz(func(t *testing.T, ref, want, name string) {
		if len(ref)+len(want) > 14 || len(name) > 200 {
			return // or the reference takes for ever
		}
		checkPattern(t, ref, want, name, name+"/x")
	})
}

// TestPatternInTime: no pattern is worse than the product of the lengths.
func TestPatternInTime(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("a", 1000)
	for _, unit := range []string{"*a", "%a", "*%", "*%a", "a"} {
		if newMatcher(newPattern("", strings.Repeat(unit, 200_000)+"b")).matches(name) {
			t.Errorf("%s… matches", unit)
		}
	}
}

// BenchmarkPattern is the worst there is for a long name, and what clients ask for.
func BenchmarkPattern(b *testing.B) {
	for _, bb := range []struct{ name, pattern, mailbox string }{
		{"worst", strings.Repeat("%a", 499) + "b", strings.Repeat("a", 1000)},
		{"level", "Lists/%", "Lists/some-project/announce"},
		{"all", "*", "Lists/some-project/announce"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			m := newMatcher(newPattern("", bb.pattern))
			for b.Loop() {
				m.name = ""
				m.matches(bb.mailbox)
			}
		})
	}
}
