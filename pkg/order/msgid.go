package order

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
)

// maxReferences is how many references of a message are kept: the first, and the last ones. Programs that shorten the field
// do it so too.
const maxReferences = 50

// messageIDs returns the hashes of the valid message ids in a field, at most maxReferences.
func messageIDs(field string) []uint64 {
	var ids []uint64
	for field != "" {
		id, rest := nextMessageID(field)
		if id != "" {
			if len(ids) == maxReferences {
				ids = append(ids[:1], ids[2:]...)
			}
			ids = append(ids, hash(id))
		}
		field = rest
	}
	return ids
}

// firstMessageID returns the hash of the first valid message id in a field, 0 if there is none.
func firstMessageID(field string) uint64 {
	for field != "" {
		id, rest := nextMessageID(field)
		if id != "" {
			return hash(id)
		}
		field = rest
	}
	return 0
}

// nextMessageID reads to the end of the next thing in angle brackets and returns what identifies it, or "" if it is no valid
// message id. An id is the same with its left side quoted or not (RFC 5256 §3, REFERENCES).
func nextMessageID(s string) (id, rest string) {
	start := strings.IndexByte(s, '<')
	if start < 0 {
		return "", ""
	}
	s = s[start+1:]
	var b strings.Builder
	quoted, at := false, -1
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == '"':
			quoted = !quoted
		case quoted:
			b.WriteByte(c)
		case c == '<': // the last one had no end
			return "", s[i:]
		case c == '>':
			if at < 1 || at == b.Len()-1 {
				return "", s[i+1:]
			}
			return b.String(), s[i+1:]
		case c == ' ' || c == '\t':
		default:
			if c == '@' {
				at = b.Len()
			}
			b.WriteByte(c)
		}
	}
	return "", ""
}

// hash is never 0. What is not kept in full must be hard to collide with: senders choose message ids.
func hash(s string) uint64 {
	sum := sha256.Sum256([]byte(s))
	return max(1, binary.BigEndian.Uint64(sum[:]))
}
