package message

// Part is one node of a message's MIME tree: offsets into the octets, and what BODYSTRUCTURE tells (RFC 3501 §7.4.2).
// Strings are as the message wrote them (encoded words and RFC 2231 left alone), unfolded, without CR, LF and NUL.
// A Part is immutable once made, and so safe for concurrent use.
//
// The octets of a part are [Header, Body) and [Body, End); a child lies inside its parent's body. The line end before a
// boundary belongs to the boundary (RFC 2046 §5.1.1).
type Part struct {
	Header int64 // offset of the first octet of the header
	Body   int64 // offset of the first octet after the header and its empty line
	End    int64 // offset after the last octet of the body
	Lines  int64 // lines in the body: line ends, as other servers count

	Type, Subtype     string // upper case, never empty
	Params            []Param
	ID                *string
	Description       *string
	Encoding          string // upper case, never empty: "7BIT" by default
	MD5               *string
	Disposition       string // upper case; empty for none
	DispositionParams []Param
	Language          []string
	Location          *string

	Preview *string // of the root: see MakePreview; nil for a message that came before there were previews

	Envelope *Envelope // of the root and of the message inside a message/rfc822 part
	Children []*Part   // of a multipart its parts, at least one; of a message/rfc822 exactly one, the message inside
}

// Param is a parameter of Content-Type or Content-Disposition, in the order of the header. Name is lower case.
type Param struct{ Name, Value string }

// Find returns the part with the given number, nil if there is none. Part 1 of a message that is not multipart is its
// body; numbers go through message/rfc822 as RFC 3501 §6.4.5 says. The empty path is the message itself.
func (p *Part) Find(path []int) *Part {
	part, in := p, p
	for _, n := range path {
		switch {
		case in == nil || n < 1:
			return nil
		case in.isMultipart() && n <= len(in.Children):
			part = in.Children[n-1]
		case !in.isMultipart() && n == 1:
			part = in
		default:
			return nil
		}
		in = part.numbered()
	}
	return part
}

// numbered returns the part whose parts the next number of a path counts: the multipart itself, or the message inside.
func (p *Part) numbered() *Part {
	switch {
	case p.isMultipart():
		return p
	case p.isMessage():
		return p.Children[0]
	default:
		return nil
	}
}

func (p *Part) isMultipart() bool { return p.Type == "MULTIPART" && len(p.Children) > 0 }

func (p *Part) isMessage() bool {
	return len(p.Children) == 1 && isMessageType(p.Type, p.Subtype)
}

// isMessageType tells the types whose body is a message (RFC 2046 §5.2.1, RFC 6532 §3.7).
func isMessageType(typ, subtype string) bool {
	return typ == "MESSAGE" && (subtype == "RFC822" || subtype == "GLOBAL")
}

// Shift returns the tree of the same message with n octets of header put before it.
func (p *Part) Shift(n int64) *Part {
	q := p.move(n)
	q.Header -= n
	return q
}

func (p *Part) move(n int64) *Part {
	q := *p
	q.Header += n
	q.Body += n
	q.End += n
	if len(p.Children) > 0 {
		q.Children = make([]*Part, len(p.Children))
		for i, c := range p.Children {
			q.Children[i] = c.move(n)
		}
	}
	return &q
}

// param returns the value of a Content-Type parameter, "" if there is none.
func (p *Part) param(name string) string {
	for _, a := range p.Params {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}
