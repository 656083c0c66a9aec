package store

import (
	"fmt"
	"strings"
)

// Rights is a set of the rights of RFC 4314 §2.1 to a mailbox.
type Rights uint16

// The rights, each with its letter.
const (
	RightLookup     Rights = 1 << iota // l: LIST, LSUB, SUBSCRIBE
	RightRead                          // r: SELECT, STATUS, FETCH, SEARCH, COPY from it
	RightSeen                          // s: set and clear \Seen
	RightWrite                         // w: set and clear flags other than \Seen and \Deleted
	RightInsert                        // i: APPEND, COPY to it
	RightPost                          // p: send mail to its address
	RightCreate                        // k: CREATE below it, RENAME to below it
	RightDelete                        // x: DELETE it, RENAME it
	RightDeleteMsgs                    // t: set and clear \Deleted
	RightExpunge                       // e: EXPUNGE
	RightAdminister                    // a: SETACL, DELETEACL, GETACL, LISTRIGHTS

	AllRights Rights = 1<<iota - 1
)

const rightLetters = "lrswipkxtea"

// obsoleteRights are the rights of RFC 2086 that RFC 4314 §2.1.1 took apart.
var obsoleteRights = map[byte]Rights{'c': RightCreate | RightDelete, 'd': RightDeleteMsgs | RightExpunge}

// Has reports whether r contains all of need.
func (r Rights) Has(need Rights) bool { return r&need == need }

// String spells the rights in the order of RFC 4314 §2.1, the obsolete ones left out.
func (r Rights) String() string {
	var b strings.Builder
	for i := range len(rightLetters) {
		if r&(1<<i) != 0 {
			b.WriteByte(rightLetters[i])
		}
	}
	return b.String()
}

// ParseRights reads the letters of rights in any order, the obsolete "c" and "d" too (RFC 4314 §2.1.1). ErrRights for any
// other letter.
func ParseRights(letters string) (Rights, error) {
	var r Rights
	for i := range len(letters) {
		n := strings.IndexByte(rightLetters, letters[i])
		switch old, ok := obsoleteRights[letters[i]]; {
		case ok:
			r |= old
		case n >= 0:
			r |= 1 << n
		default:
			return 0, fmt.Errorf("right %q: %w", letters[i], ErrRights)
		}
	}
	return r, nil
}
