package message

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// The compact form of a tree: a version, then the parts, each before its children. Numbers are uvarints; an offset is
// relative to the one before it; strings that are often met are numbers in a table.
//
//	part     = header-offset body-length… see appendPart
//	string   = 2·length octets… | 2·index+1 of the table
//	optional = 0 | 1 string
//	list     = count item…
//	message  = version part [preview]
const (
	encodingVersion = 2
	versionOne      = 1 // without the preview
)

// common are the strings that need one octet or two. Their order is part of the stored form: append only.
var common = []string{
	"", "TEXT", "PLAIN", "HTML", "7BIT", "8BIT", "BASE64", "QUOTED-PRINTABLE", "BINARY", "charset", "utf-8", "UTF-8",
	"us-ascii", "US-ASCII", "iso-8859-1", "ISO-8859-1", "iso-2022-jp", "ISO-2022-JP", "windows-1252", "MULTIPART", "MIXED",
	"ALTERNATIVE", "RELATED", "REPORT", "SIGNED", "DIGEST", "boundary", "MESSAGE", "RFC822", "APPLICATION", "OCTET-STREAM",
	"PDF", "IMAGE", "PNG", "JPEG", "GIF", "ATTACHMENT", "INLINE", "filename", "name", "format", "flowed", "delsp", "yes",
	"filename*", "name*", "filename*0*", "filename*1*", "type", "text/html", "multipart/alternative", "micalg", "protocol",
	"size", "creation-date", "modification-date", "method", "CALENDAR", "ZIP", "DELIVERY-STATUS", "report-type", "reply-type",
	"ISO-8859-15", "iso-8859-15", "Windows-1252", "gb2312", "GB2312", "shift_jis", "Shift_JIS", "euc-jp", "EUC-JP", "koi8-r",
	"gmail.com", "x-unix-mode",
}

var commonIndex = func() map[string]uint64 {
	m := make(map[string]uint64, len(common))
	for i, s := range common {
		m[s] = uint64(i)
	}
	return m
}()

// AppendBinary appends a compact form of the tree, for UnmarshalBinary. The error is always nil.
func (p *Part) AppendBinary(b []byte) ([]byte, error) { return p.AppendShifted(b, 0), nil }

// AppendShifted appends what AppendBinary would of Shift(n).
func (p *Part) AppendShifted(b []byte, n int64) []byte {
	e := encoder{append(b, versionOne), n}
	if p.Preview != nil {
		e.b[len(b)] = encodingVersion
	}
	e.part(p, 0)
	if p.Preview != nil {
		e.string(*p.Preview)
	}
	return e.b
}

type encoder struct {
	b     []byte
	shift int64 // by how much the header of the next part is longer: all other offsets are relative
}

func (e *encoder) number(n int64) { e.b = binary.AppendUvarint(e.b, uint64(n)) }

func (e *encoder) part(p *Part, from int64) {
	e.number(p.Header - from)
	e.number(p.Body - p.Header + e.shift)
	e.shift = 0
	e.number(p.End - p.Body)
	e.number(p.Lines)
	e.string(p.Type)
	e.string(p.Subtype)
	e.params(p.Params)
	e.string(p.Encoding)
	e.string(p.Disposition)
	e.params(p.DispositionParams)
	e.optional(p.ID, p.Description, p.MD5, p.Location)
	e.number(int64(len(p.Language)))
	for _, s := range p.Language {
		e.string(s)
	}
	e.envelope(p.Envelope)
	e.number(int64(len(p.Children)))
	for _, c := range p.Children {
		e.part(c, p.Body)
	}
}

func (e *encoder) string(s string) {
	if i, ok := commonIndex[s]; ok {
		e.b = binary.AppendUvarint(e.b, 2*i+1)
		return
	}
	e.number(2 * int64(len(s)))
	e.b = append(e.b, s...)
}

// optional writes which of up to eight strings there are, and those.
func (e *encoder) optional(ss ...*string) {
	var mask byte
	for i, s := range ss {
		if s != nil {
			mask |= 1 << i
		}
	}
	e.b = append(e.b, mask)
	for _, s := range ss {
		if s != nil {
			e.string(*s)
		}
	}
}

func (e *encoder) params(params []Param) {
	e.number(int64(len(params)))
	for _, a := range params {
		e.string(a.Name)
		e.string(a.Value)
	}
}

func (e *encoder) envelope(v *Envelope) {
	if v == nil {
		e.b = append(e.b, 0)
		return
	}
	e.b = append(e.b, 1)
	e.optional(v.Date, v.Subject, v.InReplyTo, v.MessageID)
	e.addresses(v.From)
	e.fallback(v.Sender, v.From)
	e.fallback(v.ReplyTo, v.From)
	e.addresses(v.To)
	e.addresses(v.Cc)
	e.addresses(v.Bcc)
}

func (e *encoder) addresses(list []Address) {
	e.number(int64(len(list)))
	for _, a := range list {
		e.optional(a.Name, a.Mailbox, a.Host)
	}
}

// fallback writes 1 for a list that is the From list itself, else 0 and the list.
func (e *encoder) fallback(list, from []Address) {
	if len(list) > 0 && len(list) == len(from) && &list[0] == &from[0] {
		e.b = append(e.b, 1)
		return
	}
	e.b = append(e.b, 0)
	e.addresses(list)
}

var errEncoded = errors.New("not an encoded message tree")

// UnmarshalBinary restores what AppendBinary wrote. Any input is safe: what it accepts is a tree in which every part lies
// in its parent, has a type and the children that its type needs, and memory stays in proportion to the input. It keeps no
// reference to b.
func (p *Part) UnmarshalBinary(b []byte) error {
	if len(b) == 0 || b[0] < versionOne || b[0] > encodingVersion {
		return fmt.Errorf("unmarshal message tree: %w", errEncoded)
	}
	d := decoder{s: string(b[1:])}
	root := d.part(0, math.MaxInt64>>1, 0)
	if b[0] == encodingVersion {
		root.Preview = d.pointer(d.string())
	}
	if d.bad || d.s != "" {
		return fmt.Errorf("unmarshal message tree: %w", errEncoded)
	}
	*p = *root
	return nil
}

// decoder reads the compact form. After bad input it yields zero values. All strings share one copy of the input.
type decoder struct {
	s     string
	bad   bool
	arena []string // for strings that are pointed to, some at a time
}

func (d *decoder) fail() { d.bad, d.s = true, "" }

func (d *decoder) number() int64 {
	var n uint64
	for i := range min(len(d.s), binary.MaxVarintLen64) {
		c := d.s[i]
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			d.s = d.s[i+1:]
			if n > math.MaxInt64>>1 {
				break
			}
			return int64(n)
		}
	}
	d.fail()
	return 0
}

func (d *decoder) byte() byte {
	if d.s == "" {
		d.fail()
		return 0
	}
	c := d.s[0]
	d.s = d.s[1:]
	return c
}

// count reads how many items of at least size octets follow.
func (d *decoder) count(size int) int {
	n := d.number()
	if n > int64(len(d.s)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := d.number()
	i := n / 2
	switch {
	case n%2 == 1 && i < int64(len(common)):
		return common[i]
	case n%2 == 0 && i <= int64(len(d.s)):
		s := d.s[:i]
		d.s = d.s[i:]
		return s
	}
	d.fail()
	return ""
}

// part reads a part that lies in [from, to).
func (d *decoder) part(from, to int64, depth int) *Part {
	p := &Part{}
	p.Header = d.offset(from, to)
	p.Body = d.offset(p.Header, to)
	p.End = d.offset(p.Body, to)
	p.Lines = d.number()
	p.Type, p.Subtype = d.string(), d.string()
	p.Params = d.params()
	p.Encoding = d.string()
	p.Disposition = d.string()
	p.DispositionParams = d.params()
	d.optional(&p.ID, &p.Description, &p.MD5, &p.Location)
	if n := d.count(1); n > 0 {
		p.Language = make([]string, n)
		for i := range p.Language {
			p.Language[i] = d.string()
		}
	}
	p.Envelope = d.envelope()
	d.children(p, depth)
	if p.Type == "" || p.Subtype == "" || p.Encoding == "" || !p.wellFormed() {
		d.fail()
	}
	return p
}

func (d *decoder) offset(from, to int64) int64 {
	n := d.number()
	if n > to-from {
		d.fail()
		return from
	}
	return from + n
}

// minPart is the least number of octets of a part.
const minPart = 14

func (d *decoder) children(p *Part, depth int) {
	n := d.count(minPart)
	if n == 0 {
		return
	}
	if depth > maxDepth {
		d.fail()
		return
	}
	p.Children = make([]*Part, 0, min(n, 16)) // n is not to be believed yet
	for range n {
		if d.bad {
			return
		}
		p.Children = append(p.Children, d.part(p.Body, p.End, depth+1))
	}
}

// wellFormed tells whether a part has the children that its type needs.
func (p *Part) wellFormed() bool {
	switch {
	case p.Type == "MULTIPART":
		return len(p.Children) > 0
	case isMessageType(p.Type, p.Subtype):
		return len(p.Children) == 1 && p.Children[0].Envelope != nil
	default:
		return len(p.Children) == 0
	}
}

func (d *decoder) optional(to ...**string) {
	mask := d.byte()
	if mask>>len(to) != 0 {
		d.fail()
	}
	for i, p := range to {
		if mask&(1<<i) != 0 {
			*p = d.pointer(d.string())
		}
	}
}

func (d *decoder) pointer(s string) *string {
	if len(d.arena) == 0 {
		d.arena = make([]string, 8)
	}
	p := &d.arena[0]
	d.arena = d.arena[1:]
	*p = s
	return p
}

func (d *decoder) params() []Param {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	params := make([]Param, n)
	for i := range params {
		params[i] = Param{d.string(), d.string()}
	}
	return params
}

func (d *decoder) envelope() *Envelope {
	switch d.byte() {
	case 0:
		return nil
	case 1:
	default:
		d.fail()
		return nil
	}
	v := &Envelope{}
	d.optional(&v.Date, &v.Subject, &v.InReplyTo, &v.MessageID)
	v.From = d.addresses()
	v.Sender = d.fallback(v.From)
	v.ReplyTo = d.fallback(v.From)
	v.To = d.addresses()
	v.Cc = d.addresses()
	v.Bcc = d.addresses()
	return v
}

func (d *decoder) addresses() []Address {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	list := make([]Address, n)
	for i := range list {
		d.optional(&list[i].Name, &list[i].Mailbox, &list[i].Host)
	}
	return list
}

func (d *decoder) fallback(from []Address) []Address {
	switch d.byte() {
	case 0:
		return d.addresses()
	case 1:
		return slices.Clip(from)
	default:
		d.fail()
		return nil
	}
}
