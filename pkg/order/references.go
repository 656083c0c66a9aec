package order

import (
	"cmp"
	"slices"
)

// References threads by what messages refer to, and threads of one subject together (RFC 5256 §3, REFERENCES). The steps are
// those of the RFC.
func References(msgs []Message) *Threads {
	l := newLinker(msgs)
	l.linkAll() // step 1
	t := l.prune()
	t.mergeSubjects() // step 5
	// Step 6. Only dummies among the roots have their dates from children.
	return t.threads(t.rank)
}

// Refs threads by what messages refer to, and leaves subjects alone. Threads are in the order of their latest messages
// (draft-ietf-morg-inthread, THREAD=REFS).
func Refs(msgs []Message) *Threads {
	l := newLinker(msgs)
	l.linkAll()
	t := l.prune()
	return t.threads(t.latest(l.order))
}

// linker finds the parent of each message.
type linker struct {
	msgs   []Message
	ids    map[uint64]int32 // nodes by the hash of their message id
	parent []int32          // of messages, then of dummies
	kids   []int32          // how many children each node has
	trees  forest           // the same trees, to see loops; node v is v+1 there
	order  []int32          // all nodes, parents first; set by prune
}

func newLinker(msgs []Message) *linker {
	n := len(msgs)
	l := &linker{msgs: msgs, ids: make(map[uint64]int32, 2*n), parent: filled(n), kids: make([]int32, n)}
	for i := range msgs {
		id := msgs[i].ID()
		if _, taken := l.ids[id]; id != 0 && !taken { // a second message with an id counts as having one of its own
			l.ids[id] = int32(i)
		}
	}
	l.trees.grow(int32(n))
	return l
}

// node returns the message with an id, or a dummy in its place.
func (l *linker) node(id uint64) int32 {
	v, ok := l.ids[id]
	if !ok {
		v = int32(len(l.parent))
		l.ids[id] = v
		l.parent = append(l.parent, none)
		l.kids = append(l.kids, 0)
		l.trees.grow(v + 1)
	}
	return v
}

func (l *linker) linkAll() {
	for i := range l.msgs {
		last := none
		for _, id := range l.msgs[i].Refs() { // step 1.A
			v := l.node(id)
			if last != none && l.parent[v] == none {
				l.link(v, last)
			}
			last = v
		}
		l.adopt(int32(i), last)
	}
}

// adopt gives a message the parent that it names itself, whatever others said (step 1.B).
func (l *linker) adopt(v, parent int32) {
	if old := l.parent[v]; old != none {
		if old == parent {
			return
		}
		l.trees.cut(v + 1)
		l.kids[old]--
		l.parent[v] = none
	}
	if parent != none {
		l.link(v, parent)
	}
}

// link makes a root a child, unless that makes a loop.
func (l *linker) link(root, parent int32) {
	if root == parent || l.kids[root] > 0 && l.trees.root(parent+1) == root+1 {
		return
	}
	l.trees.link(root+1, parent+1)
	l.parent[root] = parent
	l.kids[parent]++
}

// topDown lists all nodes, parents before their children.
func (l *linker) topDown() []int32 {
	n := len(l.parent)
	first, next := filled(n), filled(n)
	nodes := make([]int32, 0, n)
	for v, p := range l.parent {
		if p == none {
			nodes = append(nodes, int32(v))
			continue
		}
		next[v] = first[p]
		first[p] = int32(v)
	}
	for i := 0; i < len(nodes); i++ {
		for v := first[nodes[i]]; v != none; v = next[v] {
			nodes = append(nodes, v)
		}
	}
	return nodes
}

// prune removes dummies (step 3): their children go up, though not to the top unless there is but one.
func (l *linker) prune() *threader {
	n := int32(len(l.msgs))
	l.order = l.topDown()
	above := make([]int32, len(l.parent)) // the node itself if it stays, or the one above it that does
	kids := make([]int32, len(l.parent))
	only := filled(len(l.parent)) // the last child
	for _, v := range l.order {
		p := l.parent[v]
		if p != none {
			p = above[p]
		}
		switch {
		case v < n:
			above[v] = v
			l.parent[v] = p
			if p != none {
				kids[p]++
				only[p] = v
			}
		case p == none:
			above[v] = v
		default:
			above[v] = p
		}
	}
	t := &threader{msgs: l.msgs, ranked: byDate(l.msgs), parent: l.parent}
	t.rank = ranks(t.ranked)
	t.stays(kids, only)
	return t
}

// threader holds trees of messages, below roots that may be dummies.
type threader struct {
	msgs   []Message
	ranked []int32 // messages by sent date
	rank   []int32 // of a message among them; of a dummy that of its first child
	parent []int32
	roots  []int32 // by rank
}

// stays settles which nodes are roots, and puts them in order (step 4).
func (t *threader) stays(kids, only []int32) {
	n := len(t.msgs)
	for d := n; d < len(t.parent); d++ {
		if kids[d] == 1 {
			t.parent[only[d]] = none
		}
		t.parent[d] = none
	}
	t.rank = append(t.rank, filled(len(t.parent)-n)...)
	for _, v := range t.ranked {
		t.settle(v)
	}
}

// settle makes a message a root, or the dummy above it when this is the first of its children to come.
func (t *threader) settle(v int32) {
	p := t.parent[v]
	switch {
	case p == none:
		t.roots = append(t.roots, v)
	case int(p) >= len(t.msgs) && t.rank[p] == none:
		t.rank[p] = t.rank[v]
		t.roots = append(t.roots, p)
	}
}

// mergeSubjects joins threads whose first messages have one base subject.
func (t *threader) mergeSubjects() {
	n := len(t.msgs)
	table := make(map[string]int32, len(t.roots)) // steps 5.A and 5.B
	for _, v := range t.roots {
		s := t.subject(v)
		had, ok := table[s]
		dummy := int(v) >= n
		if s != "" && (!ok || int(had) < n && (dummy || t.msgs[had].Reply() && !t.msgs[v].Reply())) {
			table[s] = v
		}
	}
	gone := make(map[int32]int32) // dummies whose children are another's now
	for _, v := range t.roots {   // step 5.C
		s := t.subject(v)
		into, ok := table[s]
		switch {
		case !ok || into == v || t.parent[v] != none:
		case int(v) >= n:
			gone[v] = into
		case int(into) >= n || t.msgs[v].Reply() && !t.msgs[into].Reply():
			t.parent[v] = into
		default:
			d := int32(len(t.parent))
			t.parent = append(t.parent, none)
			t.rank = append(t.rank, none)
			t.parent[v], t.parent[into], table[s] = d, d, d
		}
	}
	t.resettle(gone)
}

// subject is the base subject of a thread: of its first message.
func (t *threader) subject(root int32) string { return t.msgs[t.ranked[t.rank[root]]].Text(Subject) }

// resettle brings the roots up to date.
func (t *threader) resettle(gone map[int32]int32) {
	n := len(t.msgs)
	for d := n; d < len(t.rank); d++ {
		t.rank[d] = none
	}
	t.roots = t.roots[:0]
	for _, v := range t.ranked {
		if into, ok := gone[t.parent[v]]; ok {
			t.parent[v] = into
		}
		t.settle(v)
	}
}

// latest returns the rank of the latest message in the thread of each root. topDown lists parents before their children.
func (t *threader) latest(topDown []int32) []int32 {
	late := filled(len(t.parent))
	root := make([]int32, len(t.parent))
	for _, v := range topDown {
		if int(v) >= len(t.msgs) {
			root[v] = v
			continue
		}
		root[v] = v
		if p := t.parent[v]; p != none {
			root[v] = root[p]
		}
		late[root[v]] = max(late[root[v]], t.rank[v])
	}
	return late
}

// threads are the trees with their roots in the order of key.
func (t *threader) threads(key []int32) *Threads {
	slices.SortStableFunc(t.roots, func(a, b int32) int { return cmp.Compare(key[a], key[b]) })
	return newThreads(len(t.msgs), t.parent, t.roots, t.ranked)
}
