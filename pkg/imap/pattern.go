package imap

import (
	"math/bits"
	"strings"

	"postern/pkg/imap/wire"
	"postern/pkg/store"
)

// pattern is what LIST, LSUB and NOTIFY match names of mailboxes against: "*" stands for anything, "%" for anything within a
// level (RFC 3501 §6.3.8). It is normal: wildcards do not stand side by side, and there is no delimiter at either end.
type pattern string

// newPattern makes a pattern of what a client sent: a reference, and what it wants below it.
func newPattern(ref, want string) pattern {
	return pattern(wire.CanonicalName(trimDelimiters(store.NormalText(collapse(ref + want)))))
}

// collapse makes one wildcard of those that stand together, so that a long pattern costs no more than a long name.
func collapse(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		p := s[i]
		for ; i+1 < len(s) && isWildcard(p) && isWildcard(s[i+1]); i++ {
			if s[i+1] == '*' {
				p = '*'
			}
		}
		b.WriteByte(p)
	}
	return b.String()
}

func isWildcard(b byte) bool { return b == '*' || b == '%' }

// trimDelimiters takes off one delimiter at either end, which clients add (trap: Outlook, iOS).
func trimDelimiters(s string) string {
	if len(s) > 1 {
		s = strings.TrimPrefix(s, store.Delimiter)
	}
	if len(s) > 1 {
		s = strings.TrimSuffix(s, store.Delimiter)
	}
	return s
}

// matcher holds names against patterns. It is not for concurrent use.
type matcher struct {
	patterns []pattern
	letters  []int // how many octets of each pattern are no wildcards
	name     string
	reach    []uint64      // bit j: the pattern so far matches name[:j]
	within   []uint64      // bit j: name[j] is no delimiter
	places   [256][]uint64 // bit j of an octet's: name[j-1] is it; empty until it is asked for
	asked    []byte        // those that are not empty
	spare    [][]uint64    // memory for more
	folded   bool          // whether the name is INBOX, or below it: then the first level has no case
}

func newMatcher(patterns ...pattern) *matcher {
	m := &matcher{patterns: patterns, letters: make([]int, len(patterns))}
	for i, p := range patterns {
		m.letters[i] = len(p) - strings.Count(string(p), "*") - strings.Count(string(p), "%")
	}
	return m
}

// matches reports whether one of the patterns matches. What it costs is in the product of the lengths of pattern and name,
// whatever the wildcards, and 64 octets of the name are one step.
func (m *matcher) matches(name string) bool {
	for i, p := range m.patterns {
		switch {
		case m.letters[i] > len(name):
		case p == "*", string(p) == name:
			return true
		case p == "%":
			if !strings.Contains(name, store.Delimiter) {
				return true
			}
		default:
			if m.begin(name); m.run(p) {
				return true
			}
		}
	}
	return false
}

// begin prepares for a name, unless it is the one before.
func (m *matcher) begin(name string) {
	if m.name == name && m.reach != nil {
		return
	}
	m.name = name
	m.folded = name == store.Inbox || store.Below(name, store.Inbox)
	for _, b := range m.asked {
		m.spare = append(m.spare, m.places[b])
		m.places[b] = nil
	}
	m.asked = m.asked[:0]
	words := len(name)/64 + 1
	m.reach, m.within = zeroed(m.reach, words), zeroed(m.within, words)
	for j := range len(name) {
		if name[j] != store.Delimiter[0] {
			m.within[j/64] |= 1 << (j % 64)
		}
	}
}

func zeroed(b []uint64, words int) []uint64 {
	if cap(b) < words {
		return make([]uint64, words)
	}
	b = b[:words]
	clear(b)
	return b
}

func (m *matcher) run(p pattern) bool {
	clear(m.reach)
	m.reach[0] = 1
	for i := range len(p) {
		switch p[i] {
		case '*':
			m.all()
		case '%':
			m.level()
		default:
			m.octet(p[i])
		}
	}
	return m.reach[len(m.name)/64]>>(len(m.name)%64)&1 == 1
}

// all is a step by "*": from the first place on, every place is reached.
func (m *matcher) all() {
	for i, w := range m.reach {
		if w == 0 {
			continue
		}
		m.reach[i] = ^uint64(0) << bits.TrailingZeros64(w)
		for i++; i < len(m.reach); i++ {
			m.reach[i] = ^uint64(0)
		}
	}
}

// level is a step by "%": from each place on, the places up to the next delimiter are reached. The carry of an addition runs
// through the ones of within and stops at the first zero.
func (m *matcher) level() {
	var carry uint64
	for i, w := range m.reach {
		var sum uint64
		sum, carry = bits.Add64(w&m.within[i], m.within[i], carry)
		m.reach[i] = w | (sum ^ m.within[i])
	}
}

// octet is a step by an octet: from each place to the next, if that is it.
func (m *matcher) octet(b byte) {
	places := m.at(b)
	var carry uint64
	for i, w := range m.reach {
		m.reach[i] = (w<<1 | carry) & places[i]
		carry = w >> 63
	}
}

func (m *matcher) at(b byte) []uint64 {
	if m.places[b] != nil {
		return m.places[b]
	}
	var memory []uint64
	if n := len(m.spare); n > 0 {
		memory, m.spare = m.spare[n-1], m.spare[:n-1]
	}
	places := zeroed(memory, len(m.reach))
	for j := range len(m.name) {
		if m.name[j] == b || m.folded && j < len(store.Inbox) && m.name[j] == upper(b) {
			places[(j+1)/64] |= 1 << ((j + 1) % 64)
		}
	}
	m.places[b] = places
	m.asked = append(m.asked, b)
	return places
}

func upper(b byte) byte {
	if 'a' <= b && b <= 'z' {
		return b - 'a' + 'A'
	}
	return b
}
