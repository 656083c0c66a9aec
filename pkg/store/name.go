package store

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
	"golang.org/x/text/unicode/norm"
)

// Inbox is the name of the mailbox every account has.
const Inbox = "INBOX"

// maxLevel and maxName bound a mailbox name, in octets, maxDepth how many levels a new one has.
const (
	maxLevel = 255
	maxName  = 1000
	maxDepth = 100
)

// DefaultMaxMailboxes is how many mailboxes an account can have unless a store is told otherwise.
const DefaultMaxMailboxes = 20_000

// SubscriptionsPerMailbox is to how many names an account can be subscribed for each mailbox that it can have: names need no
// mailbox, and what others share may be among them.
const SubscriptionsPerMailbox = 2

// CanonicalName brings a mailbox name to the form in which it is kept and compared: NFC, INBOX as the first level in
// capitals (RFC 3501 §5.1), without a leading or trailing delimiter, which clients are in the habit of adding. ErrName
// for a name with an empty level, with control characters, not UTF-8, or too long: 255 octets a level, 1000 in all.
func CanonicalName(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", nameError(name, "not UTF-8")
	}
	canonical := norm.NFC.String(strings.TrimSuffix(strings.TrimPrefix(name, Delimiter), Delimiter))
	if strings.ContainsFunc(canonical, unicode.IsControl) {
		return "", nameError(name, "control character")
	}
	if len(canonical) > maxName {
		return "", nameError(name, "too long")
	}
	levels := strings.Split(canonical, Delimiter)
	for _, level := range levels {
		if level == "" || len(level) > maxLevel {
			return "", nameError(name, "level empty or too long")
		}
	}
	if strings.EqualFold(levels[0], Inbox) {
		levels[0] = Inbox
	}
	return strings.Join(levels, Delimiter), nil
}

// NormalText brings a part of a name to the form that names are kept in, NFC, without looking at what it says.
func NormalText(s string) string { return norm.NFC.String(s) }

// NewName is CanonicalName for a mailbox to be made: "*" and "%", which LIST could not tell from wildcards, are refused
// too, and so are names of other people's mailboxes and those of more than 100 levels.
func NewName(name string) (string, error) {
	if strings.ContainsAny(name, "*%") {
		return "", nameError(name, "wildcard")
	}
	canonical, err := CanonicalName(name)
	switch {
	case err != nil:
		return "", err
	case canonical == OthersName || Below(canonical, OthersName):
		return "", nameError(name, "other people's")
	case strings.Count(canonical, Delimiter) >= maxDepth:
		return "", nameError(name, "too deep")
	}
	return canonical, nil
}

func nameError(name, why string) error {
	if len(name) > 100 {
		name = name[:100] + "…"
	}
	return fmt.Errorf("mailbox name %q: %s: %w", name, why, ErrName)
}

// Parents returns the names above a canonical name, from the top.
func Parents(name string) []string {
	var parents []string
	for i := range len(name) {
		if name[i] == Delimiter[0] {
			parents = append(parents, name[:i])
		}
	}
	return parents
}

// Below reports whether name is below parent in the tree. Both are canonical.
func Below(name, parent string) bool { return strings.HasPrefix(name, parent+Delimiter) }

// Renamed returns the new name of a mailbox when from, which is it or above it, becomes to. All are canonical. ErrName if
// it would be too long or too deep.
func Renamed(name, from, to string) (string, error) {
	renamed := to + strings.TrimPrefix(name, from)
	if len(renamed) > maxName || strings.Count(renamed, Delimiter) >= maxDepth {
		return "", nameError(renamed, "too long or too deep")
	}
	return renamed, nil
}

// DefaultMailbox is a mailbox that a new account has, subscribed.
type DefaultMailbox struct {
	Name string
	Use  []imap.MailboxAttr
}

// DefaultMailboxes are the mailboxes of a new account. They must not be changed.
var DefaultMailboxes = []DefaultMailbox{
	{Name: Inbox},
	{Name: "Drafts", Use: []imap.MailboxAttr{imap.MailboxAttrDrafts}},
	{Name: "Sent", Use: []imap.MailboxAttr{imap.MailboxAttrSent}},
	{Name: "Junk", Use: []imap.MailboxAttr{imap.MailboxAttrJunk}},
	{Name: "Trash", Use: []imap.MailboxAttr{imap.MailboxAttrTrash}},
	{Name: "Archive", Use: []imap.MailboxAttr{imap.MailboxAttrArchive}},
}

// SpecialUses are the special uses a mailbox can have (RFC 6154 §2), in the order in which they are kept. \All and
// \Flagged are no mailboxes of their own here.
var SpecialUses = []imap.MailboxAttr{
	imap.MailboxAttrArchive, imap.MailboxAttrDrafts, imap.MailboxAttrJunk, imap.MailboxAttrSent, imap.MailboxAttrTrash,
}

// CanonicalUse spells special uses as SpecialUses does, in its order, each once. ErrUse for any other attribute
// (RFC 6154 §3).
func CanonicalUse(use []imap.MailboxAttr) ([]imap.MailboxAttr, error) {
	var canonical []imap.MailboxAttr
	for _, attr := range SpecialUses {
		if slices.ContainsFunc(use, sameAttr(attr)) {
			canonical = append(canonical, attr)
		}
	}
	for _, attr := range use {
		if !slices.ContainsFunc(canonical, sameAttr(attr)) {
			return nil, fmt.Errorf("special use %q: %w", attr, ErrUse)
		}
	}
	return canonical, nil
}

func sameAttr(a imap.MailboxAttr) func(imap.MailboxAttr) bool {
	return func(b imap.MailboxAttr) bool { return strings.EqualFold(string(a), string(b)) }
}
