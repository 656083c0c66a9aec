package store

import (
	"io"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/message"
)

// Message is one message in one mailbox, as Messages yields it. A message that has been expunged stays readable
// through the snapshot that still holds it until it is swept (RFC 2180 §4.1).
type Message struct {
	ID       MessageID
	Thread   int64 // see ThreadID; 0 for none
	UID      imap.UID
	ModSeq   ModSeq
	Flags    FlagSet
	Received time.Time     // INTERNALDATE
	Saved    time.Time     // SAVEDATE, RFC 8514
	Size     int64         // octets as sent, CRLF line ends
	Part     *message.Part // with WithPart: the MIME tree, parsed once on arrival
	Body     io.ReaderAt   // the octets, Size of them; each read is at most one short query, nothing is held between reads
}

// InMemory is what a Body may be besides: octets it has in memory, for those who would only copy them.
type InMemory interface {
	// Octets returns the n octets from off on in pieces, or nil if they would have to be read. They must not be changed,
	// and are valid as long as the message.
	Octets(off, n int64) [][]byte
}

// Fields says which parts of a message Messages must load beyond the ones that are always there. Body can be read
// without WithHeader or WithBody; they bring it in pages, ahead of the reads.
type Fields uint8

// What a Message can bring with it.
const (
	WithPart   Fields = 1 << iota // the MIME tree
	WithHeader                    // the header will be read
	WithBody                      // the body will be read

	// Passing says that each message is done with when the next is asked for: the memory of its octets is used again. A
	// Body that is read later all the same reads from the store.
	Passing
)

// Draft is a message on its way in: its octets, already spooled, and what reading them found.
type Draft struct {
	*message.Spooled        // octets, size, hash, MIME tree; whoever made it closes it
	Prefix           []byte // trace headers for this one recipient, CRLF line ends; become the start of the message
	Flags            []imap.Flag
	Received         time.Time // INTERNALDATE
	// DeliveryKey tells one delivery from another: the octets as received and the envelope. Empty for anything but LMTP.
	// A second delivery with the same key within 24 hours is the MTA repeating itself after a lost reply.
	DeliveryKey []byte
}

// Row is what a Snapshot holds of a message.
type Row struct {
	UID      imap.UID
	ModSeq   ModSeq
	Flags    FlagSet
	ID       MessageID
	Thread   int64
	Received int64 // ms since the epoch
	Saved    int64 // ms since the epoch
	Size     int64
	Header   uint32 // octets up to and including the empty line
	Padding  uint8  // CRLFs that a line protocol must add at the end: see message.Spooled.Padding
}

// Entry is the part of a message that changes.
type Entry struct {
	UID    imap.UID
	ModSeq ModSeq
	Flags  FlagSet
}

// Changes is what happened in a mailbox in (Since, Until].
type Changes struct {
	Since, Until ModSeq
	Added        []Entry // ascending UID
	Flagged      []Entry // ascending UID
	Removed      []Entry // ascending UID; Flags unset; ModSeq at or above that of the removal, at most Until
	Complete     bool    // false if tombstones older than Since have been swept
}

// FlagChange is what STORE asks for.
type FlagChange struct {
	Op             imap.StoreFlagsOp
	Flags          []imap.Flag
	UnchangedSince *ModSeq // CONDSTORE; nil means always
	Denied         Rights  // flags these rights are about stay as they are
}

// FlagResult is what came of a FlagChange.
type FlagResult struct {
	Changed  []Entry     // what changed, ascending UID
	Modified imap.UIDSet // what was left alone because it had changed since (RFC 7162 §3.1.3)
	Keywords []imap.Flag // the mailbox's keywords afterwards: Entry.Flags.Names needs them
	ModSeq   ModSeq      // the mailbox's afterwards
}
