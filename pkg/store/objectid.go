package store

import (
	"cmp"
	"strconv"
)

// Object identifiers of RFC 8474: a letter for the kind, so that none is all digits or "NIL" (§7), and the number. A
// number is never given twice in an account.

// String returns the EMAILID.
func (id MessageID) String() string { return objectID('M', int64(id)) }

// String returns the MAILBOXID.
func (id MailboxID) String() string { return objectID('F', int64(id)) }

// ThreadID returns the THREADID of a message's thread, or "" if it has none.
func ThreadID(thread int64) string {
	if thread == 0 {
		return ""
	}
	return objectID('T', thread)
}

// ThreadOf returns the thread of a new message: the one that the message names, or else one of its own.
func ThreadOf(d *Draft, id MessageID) int64 { return cmp.Or(d.Thread(), int64(id)) }

// ParseMessageID undoes MessageID.String.
func ParseMessageID(s string) (MessageID, bool) {
	id, ok := parseObjectID('M', s)
	return MessageID(id), ok
}

// ParseThreadID undoes ThreadID.
func ParseThreadID(s string) (int64, bool) { return parseObjectID('T', s) }

func objectID(kind byte, id int64) string {
	return string(strconv.AppendInt([]byte{kind}, id, 36))
}

func parseObjectID(kind byte, s string) (int64, bool) {
	if s == "" || s[0] != kind {
		return 0, false
	}
	id, err := strconv.ParseInt(s[1:], 36, 64)
	return id, err == nil && id != 0 && objectID(kind, id) == s
}
