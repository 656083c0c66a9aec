package store

import (
	"github.com/emersion/go-imap/v2"
)

// Mailbox is a mailbox as it was when it was read.
type Mailbox struct {
	ID          MailboxID
	Name        string // UTF-8, hierarchy separated by "/", INBOX in capitals
	UIDValidity uint32
	UIDNext     imap.UID
	ModSeq      ModSeq // of the last change in it: HIGHESTMODSEQ; at least 1
	Messages    uint32
	Unseen      uint32
	Deleted     uint32
	Recent      uint32             // messages no session has claimed yet, see Account.ClaimRecent
	Size        int64              // octets
	Use         []imap.MailboxAttr // RFC 6154
	Subscribed  bool
	HasChildren bool // others are below it; only Mailboxes of an Account says so
}

// Delimiter separates the levels of a mailbox name.
const Delimiter = "/"
