package store

import (
	"fmt"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// Annotation is an entry of METADATA (RFC 5464): of a mailbox, or of the account as a whole.
type Annotation struct {
	Box   MailboxID // 0 means the account, which is "the server" of RFC 5464
	Entry string    // canonical, see CanonicalEntry
	Value []byte    // nil means that there is none; in an answer also that it was not asked for
	Size  int       // octets of the value
}

// AnnotationQuery says which annotations are asked for.
type AnnotationQuery struct {
	Boxes   []MailboxID // nil means all there are; 0 stands for the account
	Entries []string    // canonical; nil means all
	Depth   Depth       // how far below Entries
	MaxSize int         // longer values come with their Size only; negative means any length
}

// Depth says how far below an entry a query goes (RFC 5464 §4.2.2).
type Depth int8

// The depths there are.
const (
	ThisEntry Depth = iota // the entry alone
	OneBelow               // and those one level below it
	AllBelow               // and all below it
)

// Bounds on annotations. A client can fill all of them; each is small enough to be read at once.
const (
	MaxEntryName       = 512     // octets of an entry's name
	MaxAnnotation      = 1 << 20 // octets of a value, whatever a protocol allows
	MaxAnnotations     = 1000    // of one mailbox, or of the account as a whole
	MaxAllAnnotations  = 20_000  // of all mailboxes of an account
	MaxAnnotationTotal = 8 << 20 // octets of all values of an account
	AnnotationsGone    = 1000    // removed ones of an account that are remembered for AnnotationChanges, the latest
)

// The roots of entry names (RFC 5464 §3.1).
const (
	PrivateEntries = "/private"
	SharedEntries  = "/shared"
)

// SpecialUseEntry stands for the special uses of a mailbox (RFC 6154 §4): a value is their names with spaces between them.
const SpecialUseEntry = PrivateEntries + "/specialuse"

// ParseUse reads a value of SpecialUseEntry. ErrUse.
func ParseUse(value []byte) ([]imap.MailboxAttr, error) {
	var use []imap.MailboxAttr
	for _, word := range strings.Fields(string(value)) {
		use = append(use, imap.MailboxAttr(word))
	}
	return CanonicalUse(use)
}

// CanonicalEntry brings the name of an annotation to the form in which it is kept: lower case, for it has none
// (RFC 5464 §3.2). ErrName for a name that is not below /private or /shared, has an empty component, "*", "%" or
// anything that is not printable ASCII, or is too long.
func CanonicalEntry(name string) (string, error) {
	if len(name) > MaxEntryName {
		return "", entryError(name, "too long")
	}
	for i := range len(name) {
		if b := name[i]; b < ' ' || b > '~' || b == '*' || b == '%' {
			return "", entryError(name, "character not allowed")
		}
	}
	canonical := strings.ToLower(name)
	switch {
	case !IsPrivate(canonical) && !BelowEntry(canonical, SharedEntries):
		return "", entryError(name, "not below /private or /shared")
	case strings.Contains(canonical, "//"), strings.HasSuffix(canonical, "/"):
		return "", entryError(name, "empty component")
	}
	return canonical, nil
}

func entryError(name, why string) error {
	if len(name) > 100 {
		name = name[:100] + "…"
	}
	return fmt.Errorf("entry %q: %s: %w", name, why, ErrName)
}

// IsPrivate reports whether a canonical entry is one that only its user sees.
func IsPrivate(entry string) bool { return BelowEntry(entry, PrivateEntries) }

// BelowEntry reports whether entry is below parent, at any depth. Both are canonical.
func BelowEntry(entry, parent string) bool { return strings.HasPrefix(entry, parent+"/") }

// Selects reports whether a query asks for an entry.
func (q *AnnotationQuery) Selects(entry string) bool {
	if q.Entries == nil {
		return true
	}
	for _, want := range q.Entries {
		switch {
		case entry == want,
			q.Depth == AllBelow && BelowEntry(entry, want),
			q.Depth == OneBelow && BelowEntry(entry, want) && !strings.Contains(entry[len(want)+1:], "/"):
			return true
		}
	}
	return false
}

// CheckAnnotations checks what an account is about to set by itself: canonical entries, each once, values that are not too
// long, special uses of its own mailboxes alone. ErrName, ErrTooBig, ErrTooManyAnnotations.
func CheckAnnotations(by AccountID, at Place, set []Annotation) error {
	own := at.Mailbox != 0 && at.Account == by
	seen := make(map[string]bool, len(set))
	for _, a := range set {
		canonical, err := CanonicalEntry(a.Entry)
		switch {
		case err != nil:
			return err
		case canonical != a.Entry, seen[a.Entry]:
			return entryError(a.Entry, "not canonical, or twice")
		case a.Entry == SpecialUseEntry && !own:
			return entryError(a.Entry, "not of a mailbox of one's own")
		case len(a.Value) > MaxAnnotation:
			return fmt.Errorf("entry %q: %d octets: %w", a.Entry, len(a.Value), ErrTooBig)
		}
		seen[a.Entry] = true
	}
	if len(set) > MaxAnnotations {
		return ErrTooManyAnnotations
	}
	return nil
}

// AnnotationUse is how many annotations there are, to be held against the bounds.
type AnnotationUse struct {
	Box    int   // in one mailbox, or of the account as a whole
	All    int   // in the account
	Octets int64 // of all values
}

// Check returns ErrTooManyAnnotations or ErrOverQuota when a bound is exceeded.
func (u AnnotationUse) Check() error {
	switch {
	case u.Box > MaxAnnotations, u.All > MaxAllAnnotations:
		return ErrTooManyAnnotations
	case u.Octets > MaxAnnotationTotal:
		return fmt.Errorf("annotations: %w", ErrOverQuota)
	}
	return nil
}
