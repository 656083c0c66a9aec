// Which mailboxes a command is about (filter-mailboxes: RFC 5465 §6, RFC 7377 §2.2).

package imap

import (
	"slices"
	"strings"

	"postern/pkg/imap/wire"
	"postern/pkg/store"
)

// filterKind is a way to say which mailboxes are meant.
type filterKind string

// The kinds of RFC 5465 §6 and, the last, of RFC 7377 §2.2.
const (
	filterSelected        filterKind = "SELECTED"
	filterSelectedDelayed filterKind = "SELECTED-DELAYED"
	filterInboxes         filterKind = "INBOXES"
	filterPersonal        filterKind = "PERSONAL"
	filterSubscribed      filterKind = "SUBSCRIBED"
	filterMailboxes       filterKind = "MAILBOXES"
	filterSubtree         filterKind = "SUBTREE"
	filterSubtreeOne      filterKind = "SUBTREE-ONE"
)

// filterTakesNames says of each kind whether names of mailboxes follow.
var filterTakesNames = map[filterKind]bool{
	filterSelected: false, filterSelectedDelayed: false, filterInboxes: false, filterPersonal: false, filterSubscribed: false,
	filterMailboxes: true, filterSubtree: true, filterSubtreeOne: true,
}

// maxFilterNames bounds the names of one filter (rule 11).
const maxFilterNames = 1000

// mailboxFilter says which mailboxes are meant.
type mailboxFilter struct {
	kind  filterKind
	names []string // of those that take them, at least one
}

func parseMailboxFilter(d *wire.Decoder) mailboxFilter {
	f := mailboxFilter{kind: filterKind(d.Keyword())}
	switch takes, ok := filterTakesNames[f.kind]; {
	case !ok:
		d.Fail("which mailboxes before this")
	case !takes:
	case d.SP().Peek() == '(':
		d.List(func() {
			if f.names = append(f.names, asListed(d.Mailbox())); len(f.names) > maxFilterNames {
				d.Fail("at most %d mailboxes", maxFilterNames)
			}
		})
		if len(f.names) == 0 {
			d.Fail("a mailbox before this")
		}
	default:
		f.names = []string{asListed(d.Mailbox())}
	}
	return f
}

// reachesOthers reports whether names that are meant may be other people's.
func (f mailboxFilter) reachesOthers() bool {
	return slices.ContainsFunc(f.names, func(name string) bool { return name == store.OthersName || below(name, store.OthersName) })
}

// selects reports whether a mailbox with this name is meant. SELECTED is not for a name to tell.
func (f *mailboxFilter) selects(name string, subscribed bool) bool {
	switch f.kind {
	case filterPersonal:
		return true
	case filterSubscribed:
		return subscribed
	case filterInboxes: // RFC 5465 §6.4: where a delivery agent may put messages
		return name == store.Inbox || strings.HasPrefix(name, store.Inbox+store.Delimiter)
	}
	for _, root := range f.names {
		below, ok := strings.CutPrefix(name, root+store.Delimiter)
		switch {
		case name == root:
			return true
		case ok && f.kind == filterSubtree,
			ok && f.kind == filterSubtreeOne && !strings.Contains(below, store.Delimiter):
			return true
		}
	}
	return false
}
