package store

import (
	"context"
	"iter"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/order"
)

type (
	// AccountID names an account. It is never reused.
	AccountID int64
	// MailboxID names a mailbox of an account. It survives renaming and is never reused in the account.
	MailboxID int64
	// MessageID names a message's octets within an account: copies of a message share it (EMAILID, RFC 8474).
	MessageID int64
	// ModSeq is a mod-sequence (RFC 7162): one counter per mailbox; every committed change of it takes the next value.
	ModSeq uint64
)

// Store opens accounts. It is safe for concurrent use.
type Store interface {
	// Account returns the account with the given id, or ErrNotFound.
	Account(ctx context.Context, id AccountID) (Account, error)

	// Route says where mail for an address goes, or ErrNotFound. It knows aliases, catch-alls and +detail. An answer may
	// be a few seconds old, except for Target.OverQuota.
	Route(ctx context.Context, address string) (Route, error)

	// SetLimits replaces an account's limits, also below what it holds. ErrNotFound. What they refuse is ErrOverQuota:
	// Append, Copy and a Transfer to another account for octets and messages, Create and Rename for mailboxes. Other
	// processes follow within seconds.
	SetLimits(ctx context.Context, id AccountID, l Limits) error

	// Watch reports that something in an account may have changed. See Watch.
	Watch(id AccountID) *Watch
}

// Account is one user's mail. Handles are cheap, hold no connection and may be used concurrently. Names of mailboxes
// are as in Mailbox.Name; any spelling of INBOX is accepted. Methods that take a mailbox return ErrNotFound when it is
// not there.
type Account interface {
	ID() AccountID
	Sharing

	// Mailboxes returns the mailboxes in any of the branches, each once, or without one the whole tree, with counts, in
	// name order. What it costs is in the size of the branches, not of the tree.
	Mailboxes(ctx context.Context, in ...Branch) ([]Mailbox, error)
	// Mailbox returns one mailbox, or ErrNotFound.
	Mailbox(ctx context.Context, name string) (Mailbox, error)
	// Create makes a mailbox and those of its parents that are missing. ErrExists, ErrName; ErrUse when another mailbox
	// has the special use already (RFC 6154 §3); ErrTooManyMailboxes.
	Create(ctx context.Context, name string, use ...imap.MailboxAttr) (Mailbox, error)
	// Rename gives a mailbox and all below it a new name, making missing parents. Renaming INBOX moves its messages to a
	// new mailbox and leaves INBOX and what is below it in place (RFC 3501 §6.3.5). ErrTooManyMailboxes, for what it makes.
	Rename(ctx context.Context, from, to string) error
	// Delete removes a mailbox and its messages. ErrHasChildren when others are below it, ErrName for INBOX.
	Delete(ctx context.Context, name string) error
	// Subscribe sets or ends a subscription. The name need not exist (RFC 3501 §6.3.6). ErrName, ErrTooManySubscribed.
	Subscribe(ctx context.Context, name string, on bool) error
	// Subscriptions returns all subscribed names in order, those without a mailbox too.
	Subscriptions(ctx context.Context) ([]string, error)

	// Open and Refresh are each one consistent snapshot; both are cheap when nothing has changed. Open needs one
	// statement when the mailbox is cached and unchanged. Refresh returns have itself when nothing has changed, and
	// ErrNotFound when the mailbox has been deleted.
	Open(ctx context.Context, name string) (Mailbox, *Snapshot, error)
	Refresh(ctx context.Context, have *Snapshot) (*Snapshot, Changes, error)
	// RefreshTo is Refresh for a caller who has just changed the mailbox himself, to mod-sequence at: what others have changed
	// after that may be missing if no Watch has been woken for it yet. In return, it needs no statement most of the time.
	RefreshTo(ctx context.Context, have *Snapshot, at ModSeq) (*Snapshot, Changes, error)
	// Since returns what happened in (at, have.ModSeq()]: for QRESYNC. at may be any value a client made up.
	Since(ctx context.Context, have *Snapshot, at ModSeq) (Changes, error)
	// Messages yields the messages of have named by uids, ascending, skipping UIDs that have does not hold. An error that
	// comes with a message concerns that message alone and the sequence goes on; an error with a nil message ends it. No
	// connection is held while the caller has control. With want zero it runs no SQL. A Body can be read under ctx, after
	// the sequence has ended too.
	Messages(ctx context.Context, have *Snapshot, uids imap.UIDSet, want Fields) iter.Seq2[*Message, error]
	// Search returns the UIDs in have that match, ascending.
	Search(ctx context.Context, have *Snapshot, c *Criteria) ([]imap.UID, error)
	// Keys returns the keys of the messages of have with these UIDs, which are ascending: one Key for each, the zero Key for
	// a message that cannot be read or that have does not hold. See KeyFields.
	Keys(ctx context.Context, have *Snapshot, uids []imap.UID) ([]order.Key, error)
	// ClaimRecent says which messages are \Recent for the caller (RFC 3501 §2.3.2): those with from <= UID < upTo. Each
	// UID is claimed by one caller only, save after a crash. upTo is at most the UIDNEXT of a Snapshot the caller has.
	ClaimRecent(ctx context.Context, box MailboxID, upTo imap.UID) (from imap.UID, err error)

	// The writing methods. Each call is one transaction and takes one mod-sequence of each mailbox it touches. When it
	// returns, it is committed and every Watch on the account has been woken. UIDs that are not (or no longer) there are
	// skipped without error; a call that changes nothing takes no mod-sequence.

	// Append stores drafts in order and returns their UIDs. ErrOverQuota, ErrTooManyKeywords. A draft whose DeliveryKey
	// was delivered to this account within the last 24 hours is not stored again; its UID is 0.
	Append(ctx context.Context, box MailboxID, drafts ...*Draft) ([]imap.UID, error)
	// SetFlags changes flags. ErrTooManyKeywords.
	SetFlags(ctx context.Context, box MailboxID, uids imap.UIDSet, ch FlagChange) (FlagResult, error)
	// Copy copies messages with their flags. ErrOverQuota. SourceUIDs and DestUIDs of the result correspond in order.
	Copy(ctx context.Context, from, to MailboxID, uids imap.UIDSet) (imap.CopyData, error)
	// Move is Copy and Expunge in one transaction: a message is in exactly one mailbox at any time (RFC 6851). Moving
	// within one mailbox gives the messages new UIDs.
	Move(ctx context.Context, from, to MailboxID, uids imap.UIDSet) (imap.CopyData, error)
	// Expunge removes messages, whatever their flags, and returns those it removed, ascending. IMAP passes those with
	// \Deleted. They stay recoverable for the store's undelete period.
	Expunge(ctx context.Context, box MailboxID, uids imap.UIDSet, by Actor) ([]imap.UID, error)
	// Replace is Append and Expunge in one transaction (RFC 8508): it returns the UID of the new message. ErrExpunged, and
	// nothing is stored, when the one to be replaced is not there any more; ErrOverQuota when the difference does not fit;
	// ErrTooManyKeywords. Within one mailbox it takes one mod-sequence.
	Replace(ctx context.Context, r Replacement) (imap.UID, error)

	// Annotations returns the annotations that q asks for, by mailbox and entry. Shared entries of a mailbox are kept by the
	// account whose mailbox it is, private ones by the account whose user sees them: its Box may be another account's.
	Annotations(ctx context.Context, q AnnotationQuery) ([]Annotation, error)
	// SetAnnotations sets entries of a mailbox, or with at.Mailbox 0 of this account, all or none; one without a Value is
	// removed. If the mailbox is another account's, that one keeps the shared entries and this one the private ones.
	// SpecialUseEntry, of a mailbox of this account's own, says which special uses it has from now on: it is not among
	// Annotations, and its changes are among AnnotationChanges. ErrName, ErrTooBig, ErrTooManyAnnotations, ErrOverQuota;
	// ErrUse as for Create; ErrNotFound. Annotations go with their mailbox when it is deleted, those that others have of it
	// too; a Watch is woken as for the tree.
	SetAnnotations(ctx context.Context, at Place, set ...Annotation) error
	// AnnotationChanges returns which annotations were set or removed after the point since, in the order of the changes, each
	// once and without its value, and the point up to which that is all. Points only grow; 0 is before all. Removals of
	// long ago may be missing. A since below 0 asks for the present point only.
	AnnotationChanges(ctx context.Context, since int64) (changed []Annotation, until int64, err error)

	// Quota returns limits and use.
	Quota(ctx context.Context) (Quota, error)

	// LockMaildrop takes the account's exclusive POP3 lock (RFC 1939 §3), or ErrInUse. IMAP and LMTP are not held up.
	LockMaildrop(ctx context.Context) (*Lease, error)
}

// Replacement is what Replace has to do. The Draft's DeliveryKey is not looked at.
type Replacement struct {
	From  MailboxID
	UID   imap.UID // of the message to be replaced
	To    MailboxID
	Draft *Draft
	By    Actor
}

// Actor says who did something, for the record kept of expunged messages.
type Actor struct {
	Session  string // the connection's id, as in the log
	Protocol string // "imap", "pop3", "admin"
}

// Route is where mail for an address goes.
type Route struct {
	Targets []Target // one, or several for an alias
}

// Target is one account that gets a copy.
type Target struct {
	Account   AccountID
	Address   string    // the account's own address, for Delivered-To
	Inbox     MailboxID // its INBOX
	Detail    string    // what followed "+" in the local part, as written
	OverQuota bool
}

// Quota is an account's limits and use.
type Quota struct {
	Limit    int64 // octets; 0 means none
	Used     int64 // octets
	Messages int64

	MessageLimit int64 // 0 means none
	Mailboxes    int64
	MailboxLimit int64 // 0 means none
}

// Limits bound what an account may hold; 0 means no limit.
type Limits struct{ Octets, Messages, Mailboxes int64 }

// Lease is an exclusive hold of a maildrop. It is renewed behind the scenes until it is released; should that fail (the
// database away for long, say), Lost is closed and the holder must stop writing.
type Lease struct {
	Lost    <-chan struct{}
	Release func() // may be called more than once
}
