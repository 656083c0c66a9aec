package imap

import (
	"postern/pkg/imap/wire"
	"postern/pkg/message"
)

// writeEnvelope writes an ENVELOPE (RFC 3501 §7.4.2): the fields as the message has them, encoded words left alone.
func writeEnvelope(e *wire.Encoder, env *message.Envelope) {
	if env == nil {
		env = &message.Envelope{}
	}
	e.Byte('(').NString(env.Date).SP().NString(env.Subject)
	for _, list := range [][]message.Address{env.From, env.Sender, env.ReplyTo, env.To, env.Cc, env.Bcc} {
		e.SP()
		writeAddresses(e, list)
	}
	e.SP().NString(env.InReplyTo).SP().NString(env.MessageID).Byte(')')
}

// writeAddresses writes a list of addresses, which have no spaces between them (RFC 3501 §9, env-from), or NIL.
func writeAddresses(e *wire.Encoder, list []message.Address) {
	if len(list) == 0 {
		e.NIL()
		return
	}
	e.Byte('(')
	for _, a := range list {
		e.Byte('(').NString(a.Name).Atom(" NIL ").NString(a.Mailbox).SP().NString(a.Host).Byte(')')
	}
	e.Byte(')')
}
