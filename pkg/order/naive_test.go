package order

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// tree is a message of the naive algorithm; nil msg for a dummy.
type tree struct {
	at       int // in the list, or -1
	parent   *tree
	children []*tree
}

func (n *tree) under(other *tree) bool {
	for ; n != nil; n = n.parent {
		if n == other {
			return true
		}
	}
	return false
}

func (n *tree) moveTo(p *tree) {
	if n.parent != nil {
		n.parent.children = slices.DeleteFunc(n.parent.children, func(c *tree) bool { return c == n })
	}
	n.parent = p
	if p != nil {
		p.children = append(p.children, n)
	}
}

// naive is RFC 5256's REFERENCES, step by step, with pointers and recursion.
type naive struct {
	msgs []Message
	root *tree
}

func (a *naive) link() {
	byID := make(map[uint64]*tree)
	var all []*tree
	own := make([]*tree, len(a.msgs))
	for i, m := range a.msgs {
		own[i] = &tree{at: i}
		all = append(all, own[i])
		if m.ID() != 0 && byID[m.ID()] == nil {
			byID[m.ID()] = own[i]
		}
	}
	for i, m := range a.msgs {
		var last *tree
		for _, id := range m.Refs() {
			n := byID[id]
			if n == nil {
				n = &tree{at: -1}
				byID[id] = n
				all = append(all, n)
			}
			if last != nil && n.parent == nil && !last.under(n) {
				n.moveTo(last)
			}
			last = n
		}
		own[i].moveTo(nil)
		if last != nil && !last.under(own[i]) {
			own[i].moveTo(last)
		}
	}
	a.root = &tree{at: -1}
	for _, n := range all {
		if n.parent == nil {
			n.moveTo(a.root)
		}
	}
}

func (a *naive) prune(n *tree) {
	for _, c := range slices.Clone(n.children) {
		a.prune(c)
	}
	if n == a.root || n.at >= 0 {
		return
	}
	if len(n.children) == 0 {
		n.moveTo(nil)
		return
	}
	if p := n.parent; p != a.root || len(n.children) == 1 {
		n.moveTo(nil)
		for _, c := range slices.Clone(n.children) {
			c.moveTo(p)
		}
	}
}

// key is by what a node is sorted: itself, or its first child.
func (a *naive) key(n *tree) (int64, int) {
	if n.at < 0 {
		a.order(n)
		n = n.children[0]
	}
	return a.msgs[n.at].date(), n.at
}

func (a *naive) order(n *tree) {
	sort.SliceStable(n.children, func(i, j int) bool {
		di, si := a.key(n.children[i])
		dj, sj := a.key(n.children[j])
		return di < dj || di == dj && si < sj
	})
}

func (a *naive) orderAll(n *tree) {
	for _, c := range n.children {
		a.orderAll(c)
	}
	a.order(n)
}

func (a *naive) subject(n *tree) (string, bool) {
	if n.at < 0 {
		a.order(n)
		s, _ := a.subject(n.children[0])
		return s, false
	}
	return a.msgs[n.at].Text(Subject), a.msgs[n.at].Reply()
}

func (a *naive) merge() {
	a.order(a.root)
	table := make(map[string]*tree)
	for _, n := range a.root.children {
		s, reply := a.subject(n)
		if s == "" {
			continue
		}
		had := table[s]
		if had == nil {
			table[s] = n
			continue
		}
		_, hadReply := a.subject(had)
		if had.at >= 0 && (n.at < 0 || hadReply && !reply) {
			table[s] = n
		}
	}
	for _, n := range slices.Clone(a.root.children) {
		s, reply := a.subject(n)
		into := table[s]
		if into == nil || into == n || n.parent != a.root {
			continue
		}
		_, intoReply := a.subject(into)
		switch {
		case n.at < 0 && into.at < 0:
			n.moveTo(nil)
			for _, c := range slices.Clone(n.children) {
				c.moveTo(into)
			}
		case into.at < 0, reply && !intoReply:
			n.moveTo(into)
		default:
			d := &tree{at: -1}
			d.moveTo(a.root)
			n.moveTo(d)
			into.moveTo(d)
			table[s] = d
		}
	}
}

func (a *naive) spell(n *tree) string {
	var words []string
	for {
		if n.at >= 0 {
			words = append(words, fmt.Sprint(n.at+1))
		}
		if len(n.children) != 1 {
			break
		}
		n = n.children[0]
	}
	nested := ""
	for _, c := range n.children {
		nested += a.spell(c)
	}
	if nested != "" {
		words = append(words, nested)
	}
	return "(" + strings.Join(words, " ") + ")"
}

func naiveReferences(msgs []Message) string {
	a := &naive{msgs: msgs}
	a.link()
	a.prune(a.root)
	a.merge()
	a.orderAll(a.root)
	out := ""
	for _, c := range a.root.children {
		out += a.spell(c)
	}
	return out
}

func (a *naive) latest(n *tree) (int64, int) {
	date, at := int64(NoDate), -1
	if n.at >= 0 {
		date, at = a.msgs[n.at].date(), n.at
	}
	for _, c := range n.children {
		if d, i := a.latest(c); d > date || d == date && i > at {
			date, at = d, i
		}
	}
	return date, at
}

func naiveRefs(msgs []Message) string {
	a := &naive{msgs: msgs}
	a.link()
	a.prune(a.root)
	a.orderAll(a.root)
	sort.SliceStable(a.root.children, func(i, j int) bool {
		di, si := a.latest(a.root.children[i])
		dj, sj := a.latest(a.root.children[j])
		return di < dj || di == dj && si < sj
	})
	out := ""
	for _, c := range a.root.children {
		out += a.spell(c)
	}
	return out
}
