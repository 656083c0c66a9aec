package imap

import (
	"slices"
	"strings"

	"postern/pkg/store"
)

// scope is the part of the trees that a LIST can concern: who asks for one name does not wait for all to be read.
type scope struct {
	mine []store.Branch // of the user's own tree; none if none of that can be meant

	others bool           // other people's mailboxes can be meant:
	owner  string         // of this account, or of all if it is empty,
	theirs []store.Branch // these, or all if there are none
}

// maxBranches is how many parts of the tree are looked at one by one. Beyond it, all is read.
const maxBranches = 50

// wholeTree is all of a tree.
var wholeTree = store.Branch{Depth: store.AllBelow}

// scope returns what the patterns can match, and with RECURSIVEMATCH what is below it, for that is looked at too.
func (r *listRequest) scope() scope {
	var s scope
	for _, p := range r.patterns {
		b, start := p.branch()
		if r.recursive {
			b.Depth = store.AllBelow
		}
		switch _, err := store.CanonicalName(b.Top); {
		case b.Top != "" && err != nil: // NUL, or what is not UTF-8: no name is like that, and not every store can be asked for it
		case b.Top == store.OthersName, below(b.Top, store.OthersName):
			s.addOthers(b.Top)
		case b.Top == "" && strings.HasPrefix(store.OthersName, start):
			s.addOthers("")
			s.add(b)
		default:
			s.add(b)
		}
	}
	if len(s.mine) > maxBranches {
		s.mine = []store.Branch{wholeTree}
	}
	if len(s.theirs) > maxBranches {
		s.theirs = []store.Branch{wholeTree}
	}
	return s
}

// branch returns the least part of a tree that holds all the names that match, and what names that match begin with.
func (p pattern) branch() (b store.Branch, start string) {
	wild := strings.IndexAny(string(p), "*%")
	if wild < 0 {
		return store.Branch{Top: string(p)}, string(p)
	}
	start, rest := string(p[:wild]), string(p[wild:])
	b = store.Branch{Top: parentOf(start), Depth: store.AllBelow}
	if !strings.ContainsAny(rest, "*"+store.Delimiter) {
		b.Depth = store.OneBelow
	}
	return b, start
}

func (s *scope) add(b store.Branch) {
	if !slices.Contains(s.mine, b) {
		s.mine = append(s.mine, b)
	}
}

// addOthers adds what is below a name that is OthersName or below it, or all. What a mailbox has below it is looked at even
// if its name is all that is asked for: others may know of a part only.
func (s *scope) addOthers(top string) {
	p, _ := otherPath(top)
	if p.owner == "" && strings.Count(top, store.Delimiter) == 1 { // it is the owner's level
		p, _ = otherPath(top + store.Delimiter + store.Inbox)
		p.name = ""
	}
	switch first := !s.others; {
	case p.owner == "", !first && p.owner != s.owner:
		s.owner, s.theirs = "", nil
	case first, s.owner != "":
		s.owner = p.owner
		s.theirs = append(s.theirs, store.Branch{Top: p.name, Depth: store.AllBelow})
	}
	s.others = true
}

// holds reports whether a name is in the scope, or may be.
func (s *scope) holds(name string) bool {
	if name == store.OthersName || below(name, store.OthersName) {
		return s.others
	}
	return len(s.mine) > 0 && store.InBranches(name, s.mine)
}
