package store

import "postern/pkg/message"

// Leaf is one thing that a Matcher looks for in the octets of messages: what an index may know the answer to.
type Leaf struct {
	In      LeafIn
	Pattern string // folded, not empty
}

// LeafIn says where a Leaf is looked for.
type LeafIn uint8

// Where leaves are looked for.
const (
	LeafBody  LeafIn = iota // message.InBody
	LeafText                // message.InText
	LeafField               // in the values of header fields of some name
	LeafName                // at the beginning of header fields: a name and a colon
)

// Verdict is what is known of a Leaf or a message, a truth value of Kleene's logic: "and" is min, "or" is max, "not" is
// Yes minus it.
type Verdict = verdict

// The verdicts.
const (
	No      = no
	Unknown = unknown
	Yes     = yes
)

// Hint says what an index knows of a Leaf of the message that is being judged.
type Hint func(Leaf) Verdict

// Leaves returns what m looks for in octets, each once.
func (m *Matcher) Leaves() []Leaf {
	var all []Leaf
	seen := make(map[Leaf]bool)
	m.walk(func(l Leaf) {
		if !seen[l] {
			seen[l] = true
			all = append(all, l)
		}
	})
	return all
}

func (m *Matcher) walk(visit func(Leaf)) {
	m.own(visit)
	for _, n := range m.not {
		n.walk(visit)
	}
	for _, or := range m.or {
		or[0].walk(visit)
		or[1].walk(visit)
	}
}

// own visits the leaves that all must be found for m to match.
func (m *Matcher) own(visit func(Leaf)) {
	for _, h := range m.header {
		if h.Value != "" {
			visit(Leaf{LeafField, h.Value})
		} else if isASCII(h.Key) {
			visit(Leaf{LeafName, message.Fold(h.Key + ":")})
		}
	}
	for _, p := range m.body {
		visit(Leaf{LeafBody, p})
	}
	for _, p := range m.text {
		visit(Leaf{LeafText, p})
	}
}

// JudgeRow is MatchRow with what an index knows.
func (m *Matcher) JudgeRow(s *Snapshot, i int, hint Hint) Verdict {
	r := s.Row(i)
	return m.judge(&r, hint)
}

// hinted decides about what m itself looks for in octets. Yes takes an index that is sure of each leaf, and nothing that
// is no leaf.
func (m *Matcher) hinted(hint Hint) verdict {
	if !m.needsOctets() {
		return yes
	}
	if hint == nil {
		return unknown
	}
	v := yes
	if m.hasSent || len(m.loose) > 0 {
		v = unknown
	}
	for _, h := range m.header {
		if !isASCII(h.Key) {
			v = min(v, unknown)
		}
	}
	m.own(func(l Leaf) {
		known := hint(l)
		if l.In == LeafField || l.In == LeafName { // in which field, no index says
			known = min(known, unknown)
		}
		v = min(v, known)
	})
	return v
}

// Bounds is the algebra of sets in which Bound works.
type Bounds[S any] struct {
	All     S
	Leaf    func(Leaf) S // the messages in which it may be found
	And, Or func(a, b S) S
}

// Bound returns a set of messages that holds all that m matches.
func Bound[S any](m *Matcher, b Bounds[S]) S {
	set := b.All
	m.own(func(l Leaf) { set = b.And(set, b.Leaf(l)) })
	for _, or := range m.or {
		set = b.And(set, b.Or(Bound(or[0], b), Bound(or[1], b)))
	}
	return set
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
