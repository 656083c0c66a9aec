package store

import "strings"

// Branch is a part of a tree of mailboxes: one, and what is below it.
type Branch struct {
	Top   string // a canonical name, whether or not there is such a mailbox; empty for what has none above it
	Depth Depth  // ThisEntry for Top alone, OneBelow for those directly below it too, AllBelow for all below it too
}

// Holds reports whether a mailbox with a canonical name is in the branch.
func (b Branch) Holds(name string) bool {
	rest := name
	if b.Top != "" {
		if name == b.Top {
			return true
		}
		if !Below(name, b.Top) {
			return false
		}
		rest = name[len(b.Top)+len(Delimiter):]
	}
	return b.Depth == AllBelow || b.Depth == OneBelow && !strings.Contains(rest, Delimiter)
}

// InBranches reports whether a name is in one of branches. No branches at all mean the whole tree.
func InBranches(name string, branches []Branch) bool {
	for _, b := range branches {
		if b.Holds(name) {
			return true
		}
	}
	return len(branches) == 0
}

// MarkParents sets HasChildren in a whole tree.
func MarkParents(tree []Mailbox) {
	parents := make(map[string]bool)
	for i := range tree {
		name := tree[i].Name
		for {
			end := strings.LastIndex(name, Delimiter)
			if end < 0 || parents[name[:end]] {
				break // where one is marked, those above it are
			}
			name = name[:end]
			parents[name] = true
		}
	}
	for i := range tree {
		tree[i].HasChildren = parents[tree[i].Name]
	}
}
