package wire

import (
	"strings"

	"github.com/emersion/go-imap/v2"
)

const (
	maxFlags   = 256 // in one list
	maxKeyword = 200 // octets in a keyword
)

// Tag reads a command's tag.
func (d *Decoder) Tag() string {
	s := d.run(func(b byte) bool { return isAStringChar(b) && b != '+' })
	if s == "" {
		d.Fail("a tag")
	}
	return s
}

// Atom reads an atom.
func (d *Decoder) Atom() string {
	s := d.run(isAtomChar)
	if s == "" {
		d.Fail("an atom")
	}
	return s
}

// Keyword reads an atom and returns it in upper case. It ends before "[", so that of "BODY[" the bracket is next.
func (d *Decoder) Keyword() string {
	s := d.run(func(b byte) bool { return isAtomChar(b) && b != '[' })
	if s == "" {
		d.Fail("a word")
	}
	return strings.ToUpper(s)
}

// Word reads what stands between spaces, of printable ASCII: the line of an AUTHENTICATE exchange. It may be empty.
func (d *Decoder) Word() string {
	return d.run(func(b byte) bool { return b > ' ' && b < 0x7f })
}

// Flag reads a flag or keyword. System flags come in their usual spelling. Others that begin with "\" are refused, save
// \Recent, which clients send back by mistake and which Flags drops.
func (d *Decoder) Flag() imap.Flag {
	if !d.Try('\\') {
		return d.keyword()
	}
	name := d.Atom()
	for _, f := range systemFlags {
		if strings.EqualFold(name, string(f[1:])) {
			return f
		}
	}
	d.Fail("a system flag or a keyword before this") // RFC 3501 §2.3.2
	return ""
}

func (d *Decoder) keyword() imap.Flag {
	s := d.Atom()
	if len(s) > maxKeyword {
		d.Fail("a keyword of at most %d octets", maxKeyword)
		return ""
	}
	return imap.Flag(s)
}

// recent can be neither set nor removed by a client (RFC 3501 §2.3.2).
const recent imap.Flag = "\\Recent"

var systemFlags = [...]imap.Flag{
	imap.FlagSeen, imap.FlagAnswered, imap.FlagFlagged, imap.FlagDeleted, imap.FlagDraft, recent,
}

// Flags reads a parenthesised list of flags, \Recent left out.
func (d *Decoder) Flags() []imap.Flag {
	var fs []imap.Flag
	d.List(func() {
		if len(fs) == maxFlags {
			d.Fail("at most %d flags", maxFlags)
			return
		}
		if f := d.Flag(); f != recent {
			fs = append(fs, f)
		}
	})
	if d.err != nil {
		return nil
	}
	return fs
}

// isAtomChar is ATOM-CHAR (RFC 3501 §9).
func isAtomChar(b byte) bool {
	switch b {
	case '(', ')', '{', ' ', '%', '*', '"', '\\', ']':
		return false
	}
	return b > 0x1f && b < 0x7f
}

// isAStringChar is ASTRING-CHAR (RFC 3501 §9).
func isAStringChar(b byte) bool { return isAtomChar(b) || b == ']' }

// isListChar is list-char (RFC 3501 §9).
func isListChar(b byte) bool { return isAStringChar(b) || b == '%' || b == '*' }
