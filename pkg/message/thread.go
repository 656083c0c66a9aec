package message

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
)

// Thread names the conversation the message is part of by what the message alone tells: a hash, of 63 bits, of the
// Message-ID with which the conversation began. It is 0 for a message that names none, which is a conversation of its
// own.
func (s *Spooled) Thread() int64 { return int64(s.thread >> 1) }

// thread hashes the first Message-ID of References, which is the root of the conversation (RFC 5322 §3.6.4); without it
// that of In-Reply-To, or else the message's own: it may be the root.
func (h *header) thread() uint64 {
	for _, f := range [...]field{fieldReferences, fieldInReplyTo, fieldMessageID} {
		if id := firstMessageID(h.values[f].raw); len(id) > 0 {
			// Not for secrecy: whoever can choose two Message-IDs with one hash joins conversations of others.
			sum := sha256.Sum256(id)
			return max(binary.BigEndian.Uint64(sum[:8]), 2) // its half is not 0
		}
	}
	return 0
}

// firstMessageID returns what stands in the first angle brackets of a field, without white space. Some programs leave the
// brackets out: then it is the first word, if it has an "@".
func firstMessageID(raw []byte) []byte {
	for rest := raw; ; {
		i := bytes.IndexByte(rest, '<')
		if i < 0 {
			break
		}
		rest = rest[i+1:]
		j := bytes.IndexByte(rest, '>')
		if j < 0 {
			break
		}
		if id := bytes.Join(bytes.Fields(rest[:j]), nil); len(id) > 0 {
			return id
		}
		rest = rest[j+1:]
	}
	for word := range bytes.FieldsSeq(raw) {
		if bytes.IndexByte(word, '@') > 0 && bytes.IndexByte(word, '<') < 0 {
			return word
		}
		break
	}
	return nil
}
