package order

import (
	"fmt"
	"math"

	"postern/pkg/message"
)

// Text names a key that is text. Its values are stored.
type Text uint8

// The keys that are text, all collated.
const (
	Subject     Text = iota // the base subject
	From                    // the mailbox of the first address (RFC 5256 §3)
	To                      //
	Cc                      //
	DisplayFrom             // the name of the first address, or else the address (RFC 5957 §3)
	DisplayTo               //
	texts
)

// NoDate stands for a Date field that is missing or cannot be read.
const NoDate = math.MinInt64

// Fields are the keys of one message, as Block takes them.
type Fields struct {
	Text  [texts]string
	Sent  int64    // the Date field, in seconds since the epoch, or NoDate
	Reply bool     // the subject is that of a reply or a forward
	ID    uint64   // the hash of the message id, 0 for none
	Refs  []uint64 // the hashes of what it refers to, the parent last
}

// Of makes the keys of a message, given the value of its References field.
func Of(p *message.Part, references string) Fields {
	f := Fields{Sent: NoDate}
	e := p.Envelope
	if e == nil {
		return f
	}
	if t := e.Sent(); !t.IsZero() {
		f.Sent = t.Unix()
	}
	if e.Subject != nil {
		var base string
		base, f.Reply = BaseSubject(p.DecodeHeader(*e.Subject))
		f.Text[Subject] = bounded(Collate(base))
	}
	f.Text[From], f.Text[DisplayFrom] = firstAddress(p, e.From)
	f.Text[To], f.Text[DisplayTo] = firstAddress(p, e.To)
	f.Text[Cc], _ = firstAddress(p, e.Cc)
	f.ID = firstMessageID(text(e.MessageID))
	f.Refs = messageIDs(references)
	if len(f.Refs) == 0 { // RFC 5256 §3, REFERENCES, step 1
		if id := firstMessageID(text(e.InReplyTo)); id != 0 {
			f.Refs = []uint64{id}
		}
	}
	return f
}

// firstAddress returns the mailbox of the first address and how it is displayed (RFC 5957 §3). A group counts as an address
// with its name for a mailbox, as in the envelope.
func firstAddress(p *message.Part, list []message.Address) (mailbox, display string) {
	if len(list) == 0 {
		return "", ""
	}
	a := list[0]
	mailbox = p.DecodeHeader(text(a.Mailbox))
	display = p.DecodeHeader(text(a.Name))
	if display == "" {
		display = mailbox
		if a.Host != nil {
			display += "@" + *a.Host
		}
	}
	return bounded(Collate(mailbox)), bounded(Collate(display))
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// maxText is how many octets of a key are kept.
const maxText = 128

// bounded cuts a key that is too long and lets a hash stand for the rest: beyond its beginning the order is of no meaning, but
// only what is equal is equal.
func bounded(key string) string {
	if len(key) <= maxText {
		return key
	}
	const digits = 16
	return key[:maxText-digits] + fmt.Sprintf("%016x", hash(key))
}
