// Package message reads a message once and answers questions about it by offset: its MIME tree, its envelope, the octets
// of a section, whether it contains a text. It knows RFC 5322 and MIME and nothing of mailboxes, protocols or storage.
//
// A message comes in through Spool, in one pass, whatever its size; the tree (Part) that the pass makes holds offsets,
// never octets of a body, and is kept beside the message in a compact form. All later questions are answered from the
// tree and an io.ReaderAt over the message's octets.
//
// No input is an error: malformed mail gets the most useful reading that the rules below allow. Every amount is bounded
// (see the constants in parse.go and header.go), and all work is linear in the size of the message.
package message

import "errors"

var (
	// ErrTooBig is returned by Spool when a message exceeds SpoolOptions.Limit.
	ErrTooBig = errors.New("message too big")
	// ErrNoSection is returned when a message has no such part or section.
	ErrNoSection = errors.New("no such section")
	// ErrEncoding is returned when a content-transfer-encoding is not known (UNKNOWN-CTE, RFC 3516 §4.3).
	ErrEncoding = errors.New("unknown content-transfer-encoding")
)
