package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// OthersName is the first level of the names under which an account knows other people's mailboxes. It has none of its
// own there.
const OthersName = "Other Users"

// Anyone is the identifier that stands for everyone (RFC 4314 §2).
const Anyone = "anyone"

// MaxACL is how many entries a mailbox's list can have.
const MaxACL = 1000

var (
	// ErrIdentifier is returned for what cannot be in a list of rights.
	ErrIdentifier = errors.New("not an identifier of rights")
	// ErrACLFull is returned when a list has MaxACL entries.
	ErrACLFull = errors.New("too many entries in the list of rights")
)

// Sharing is the part of Account that concerns what several people use.
type Sharing interface {
	// Address is the account's own: by it others know the account.
	Address() string

	// ACL returns a mailbox's list of rights, in the order of identifiers. The owner is not in it: he has all rights,
	// always.
	ACL(ctx context.Context, box MailboxID) ([]ACLEntry, error)
	// SetACL changes one entry of a mailbox's list; an entry without rights is none. ErrACLFull. Every Watch on the
	// account is woken. A mailbox that is created begins with the list of the one above it.
	SetACL(ctx context.Context, box MailboxID, ch ACLChange) error

	// Shared returns the first of names that is a mailbox of another account, and this account's rights to it. Without
	// any right it is ErrNotFound, and takes as long, as if there were no such mailbox.
	Shared(ctx context.Context, owner string, names ...string) (Shared, error)
	// SharedMailboxes returns the mailboxes of other accounts for which this one has RightLookup, in the order of owners
	// and names: those of the account with the address owner that are in any of the branches, or in its whole tree if there
	// is none; or if owner is empty, those of all accounts.
	SharedMailboxes(ctx context.Context, owner string, in ...Branch) ([]Shared, error)
	// SharedRights returns this account's rights to a mailbox of another. ErrNotFound when there is no such mailbox.
	SharedRights(ctx context.Context, at Place) (Rights, error)

	// Transfer is Copy or Move to a mailbox that may be another account's, whose quota then counts, and where some flags
	// may not be set. It is one transaction too; on return the Watches on both accounts have been woken. ErrExpunged, see
	// Transfer.Whole.
	Transfer(ctx context.Context, t Transfer) (imap.CopyData, error)
}

// Transfer says which messages go where, and how.
type Transfer struct {
	From   MailboxID
	To     Place
	UIDs   imap.UIDSet
	Move   bool
	Whole  bool   // all of the messages go or, if some are not there any more, none: ErrExpunged
	Denied Rights // flags these rights are about are not taken along
	By     Actor  // of a Move
}

// Place is a mailbox of any account.
type Place struct {
	Account AccountID
	Mailbox MailboxID
}

// Shared is a mailbox of another account. What Mailbox says of subscriptions is the owner's.
type Shared struct {
	Mailbox
	Owner   AccountID
	Address string // of the owner
	Rights  Rights // never none
}

// ACLEntry is what a list of rights says of an identifier: Anyone, the address of an account, or "@" and a domain for all
// accounts there.
type ACLEntry struct {
	Identifier string
	Negative   bool // Rights are taken away, whoever else grants them (RFC 4314 §2)
	Rights     Rights
}

// String is the identifier as the protocol has it: with "-" before it if the entry is a negative one.
func (e ACLEntry) String() string {
	if e.Negative {
		return "-" + e.Identifier
	}
	return e.Identifier
}

// ACLChange is what SETACL asks for: that the rights of an entry become, gain or lose Rights.
type ACLChange struct {
	ACLEntry
	Op imap.RightModification
}

// Apply returns what the change makes of an entry's rights.
func (ch ACLChange) Apply(old Rights) Rights {
	switch ch.Op {
	case imap.RightModificationAdd:
		return old | ch.Rights
	case imap.RightModificationRemove:
		return old &^ ch.Rights
	default:
		return ch.Rights
	}
}

// ParseIdentifier reads an identifier as a client writes it and returns an entry without rights. ErrIdentifier.
func ParseIdentifier(s string) (ACLEntry, error) {
	name, negative := strings.CutPrefix(s, "-")
	if strings.EqualFold(name, Anyone) {
		return ACLEntry{Identifier: Anyone, Negative: negative}, nil
	}
	a, ok := ParseAddress(name)
	if !ok {
		return ACLEntry{}, fmt.Errorf("identifier %.100q: %w", s, ErrIdentifier)
	}
	return ACLEntry{Identifier: a.String(), Negative: negative}, nil
}

// Identifiers are those that mean the account with an address.
func Identifiers(address string) []string {
	return []string{address, address[strings.LastIndexByte(address, '@'):], Anyone}
}

// RightsOf returns the rights that a list gives to whom the identifiers mean: what any entry grants, without what any
// takes away (RFC 4314 §2).
func RightsOf(list []ACLEntry, identifiers []string) Rights {
	var granted, denied Rights
	for _, e := range list {
		switch {
		case !slices.Contains(identifiers, e.Identifier):
		case e.Negative:
			denied |= e.Rights
		default:
			granted |= e.Rights
		}
	}
	return granted &^ denied
}

// MayPost reports whether mail for "user+name" goes to the mailbox with a list of rights: who sends it is not known, so
// anyone must have RightPost. A mailbox without a list is as its owner's server has it for all.
func MayPost(list []ACLEntry) bool {
	return len(list) == 0 || RightsOf(list, []string{Anyone}).Has(RightPost)
}
