package imap

import (
	"postern/pkg/imap/wire"
	"postern/pkg/message"
)

// writeBodyStructure writes the tree of p as BODY, or with extension data as BODYSTRUCTURE (RFC 3501 §7.4.2). Strict
// clients read it with fixed expectations, so type, subtype, encoding, size and lines are never NIL and a multipart is
// never without parts, whatever p holds.
func writeBodyStructure(e *wire.Encoder, p *message.Part, extended bool) {
	if p.Type == "MULTIPART" && len(p.Children) > 0 {
		writeMultipart(e, p, extended)
		return
	}
	writeSinglePart(e, p, extended)
}

// writeMultipart writes body-type-mpart. There is no space between its parts (RFC 3501 §9).
func writeMultipart(e *wire.Encoder, p *message.Part, extended bool) {
	e.Byte('(')
	for _, child := range p.Children {
		writeBodyStructure(e, child, extended)
	}
	e.SP().String(p.Subtype)
	if extended {
		e.SP()
		writeParams(e, p.Params)
		writeExtension(e, p)
	}
	e.Byte(')')
}

// writeSinglePart writes body-type-1part: the fields of every part, then those of its kind, then the extension data.
func writeSinglePart(e *wire.Encoder, p *message.Part, extended bool) {
	kind, subtype, inner := singleType(p, e.UTF8)
	e.Byte('(').String(kind).SP().String(subtype).SP()
	writeParams(e, p.Params)
	e.SP().NString(p.ID).SP().NString(p.Description).SP().String(p.Encoding).SP().Number64(p.End - p.Body)
	if inner != nil {
		e.SP()
		writeEnvelope(e, inner.Envelope)
		e.SP()
		writeBodyStructure(e, inner, extended)
	}
	if inner != nil || kind == "TEXT" {
		e.SP().Number64(p.Lines)
	}
	if extended {
		e.SP().NString(p.MD5)
		writeExtension(e, p)
	}
	e.Byte(')')
}

// singleType returns the type under which a part without parts is presented, and the message inside it if there is one.
// What claims to be a multipart or a message and has nothing inside is only octets. A message/global goes as message/rfc822,
// the one type with a message inside that RFC 3501 §9 knows: strict clients would stumble over the envelope of another. Those
// that read UTF-8 know it (RFC 9051 §9, media-message).
func singleType(p *message.Part, global bool) (kind, subtype string, inner *message.Part) {
	switch {
	case p.Type == "MULTIPART":
		return "APPLICATION", "OCTET-STREAM", nil
	case p.Type == "MESSAGE" && len(p.Children) == 1 && global:
		return p.Type, p.Subtype, p.Children[0]
	case p.Type == "MESSAGE" && len(p.Children) == 1:
		return p.Type, "RFC822", p.Children[0]
	case p.Type == "MESSAGE" && p.Subtype == "RFC822":
		return "APPLICATION", "OCTET-STREAM", nil
	}
	return p.Type, p.Subtype, nil
}

// writeExtension writes what body-ext-1part and body-ext-mpart end in: disposition, language and location.
func writeExtension(e *wire.Encoder, p *message.Part) {
	e.SP()
	if p.Disposition == "" {
		e.NIL()
	} else {
		e.Byte('(').String(p.Disposition).SP()
		writeParams(e, p.DispositionParams)
		e.Byte(')')
	}
	e.SP()
	if len(p.Language) == 0 {
		e.NIL()
	} else {
		e.List(len(p.Language), func(i int) { e.String(p.Language[i]) })
	}
	e.SP().NString(p.Location)
}

func writeParams(e *wire.Encoder, params []message.Param) {
	if len(params) == 0 {
		e.NIL()
		return
	}
	e.List(len(params), func(i int) { e.String(params[i].Name).SP().String(params[i].Value) })
}
