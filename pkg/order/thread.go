package order

import (
	"cmp"
	"slices"
)

// Threads is messages as trees. Nodes below the number of messages are those; others are dummies, which stand for a message
// that is not there and have at least two children.
type Threads struct {
	messages int
	first    []int32 // child of each node, or none
	next     []int32 // sibling of each node, or none
	root     int32   // the first
}

// none is no node.
const none int32 = -1

// None is what First, Next and Root return at an end.
const None = none

// Root returns the first thread.
func (t *Threads) Root() int32 { return t.root }

// First returns the first child of a node.
func (t *Threads) First(node int32) int32 { return t.first[node] }

// Next returns the node after this one, of the same parent.
func (t *Threads) Next(node int32) int32 { return t.next[node] }

// Message reports whether a node is a message: its place.
func (t *Threads) Message(node int32) bool { return int(node) < t.messages }

// newThreads makes trees of parents: roots in the order they are given, all others in the order of ranked, which names each
// message once.
func newThreads(messages int, parent []int32, roots, ranked []int32) *Threads {
	t := &Threads{messages: messages, first: filled(len(parent)), next: filled(len(parent)), root: none}
	last := filled(len(parent))
	for _, v := range ranked {
		p := parent[v]
		if p == none {
			continue
		}
		if last[p] == none {
			t.first[p] = v
		} else {
			t.next[last[p]] = v
		}
		last[p] = v
	}
	before := none
	for _, v := range roots {
		if before == none {
			t.root = v
		} else {
			t.next[before] = v
		}
		before = v
	}
	return t
}

// filled is n times none.
func filled(n int) []int32 {
	s := make([]int32, n)
	for i := range s {
		s[i] = none
	}
	return s
}

// OrderedSubject threads by subject alone (RFC 5256 §3, ORDEREDSUBJECT): messages of one base subject, by sent date, are the
// first and its children; threads are in the order of their first messages.
func OrderedSubject(msgs []Message) *Threads {
	parent := filled(len(msgs))
	places := Sort(msgs, []Criterion{{By: BySubject}, {By: Date}})
	var roots []int32
	for i, v := range places {
		if i > 0 && msgs[v].Text(Subject) == msgs[places[i-1]].Text(Subject) {
			parent[v] = roots[len(roots)-1]
		} else {
			roots = append(roots, v)
		}
	}
	ranked := byDate(msgs)
	rank := ranks(ranked)
	slices.SortFunc(roots, func(a, b int32) int { return cmp.Compare(rank[a], rank[b]) })
	return newThreads(len(msgs), parent, roots, ranked)
}

// byDate are the places of messages by sent date.
func byDate(msgs []Message) []int32 { return Sort(msgs, []Criterion{{By: Date}}) }

// ranks says where in places each message is.
func ranks(places []int32) []int32 {
	rank := make([]int32, len(places))
	for i, v := range places {
		rank[v] = int32(i)
	}
	return rank
}
