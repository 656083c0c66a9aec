package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// FlagSet is a message's flags as bits: system flags, and keywords by their place in the mailbox's list of keywords,
// which only ever grows. Names exist only at the wire.
type FlagSet struct {
	System   SystemFlags
	Keywords uint64
}

// SystemFlags are the flags of RFC 3501 §2.3.2, bit by bit as the database keeps them.
type SystemFlags uint8

// The bits of SystemFlags. \Recent has none: it belongs to a session.
const (
	FlagSeen SystemFlags = 1 << iota
	FlagAnswered
	FlagFlagged
	FlagDeleted
	FlagDraft
)

// MaxKeywords is how many different keywords a mailbox can have.
const MaxKeywords = 63

// maxKeyword is how long a keyword can be, in octets.
const maxKeyword = 255

// Names spells out f. keywords is the mailbox's list (Snapshot.Keywords).
func (f FlagSet) Names(keywords []imap.Flag) []imap.Flag {
	var names []imap.Flag
	for i, name := range systemFlags {
		if f.System&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	for i, name := range keywords {
		if f.Keywords&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

var systemFlags = [...]imap.Flag{imap.FlagSeen, imap.FlagAnswered, imap.FlagFlagged, imap.FlagDeleted, imap.FlagDraft}

func (f FlagSet) union(g FlagSet) FlagSet {
	return FlagSet{System: f.System | g.System, Keywords: f.Keywords | g.Keywords}
}

func (f FlagSet) minus(g FlagSet) FlagSet {
	return FlagSet{System: f.System &^ g.System, Keywords: f.Keywords &^ g.Keywords}
}

// Without returns f without the flags that denied rights are about.
func (f FlagSet) Without(denied Rights) FlagSet { return f.minus(denied.Flags()) }

func (f FlagSet) and(g FlagSet) FlagSet {
	return FlagSet{System: f.System & g.System, Keywords: f.Keywords & g.Keywords}
}

func (f FlagSet) has(g FlagSet) bool { return g.minus(f) == FlagSet{} }

func (f FlagSet) any(g FlagSet) bool { return f.System&g.System != 0 || f.Keywords&g.Keywords != 0 }

// ParseSystem returns the bit of a system flag, written in any case. \Recent is not one of them.
func ParseSystem(flag imap.Flag) (SystemFlags, bool) {
	for i, name := range systemFlags {
		if strings.EqualFold(string(name), string(flag)) {
			return 1 << i, true
		}
	}
	return 0, false
}

// FindKeyword returns the place of a keyword, written in any case, or -1.
func FindKeyword(keywords []imap.Flag, flag imap.Flag) int {
	return slices.IndexFunc(keywords, func(k imap.Flag) bool { return strings.EqualFold(string(k), string(flag)) })
}

// lookup returns the bit of a flag, if the mailbox knows it.
func lookup(flag imap.Flag, keywords []imap.Flag) (FlagSet, bool) {
	if bit, ok := ParseSystem(flag); ok {
		return FlagSet{System: bit}, true
	}
	if i := FindKeyword(keywords, flag); i >= 0 {
		return FlagSet{Keywords: 1 << i}, true
	}
	return FlagSet{}, false
}

// FlagBits turns names into bits. keywords is the mailbox's list; added are those to append to it, spelled as they were
// first used. ErrName for \Recent, for an unknown system flag and for what is no atom (RFC 3501 §9, flag-keyword);
// ErrTooManyKeywords.
func FlagBits(flags, keywords []imap.Flag) (bits FlagSet, added []imap.Flag, err error) {
	for _, flag := range flags {
		f, ok := lookup(flag, keywords)
		if !ok {
			f, added, err = addKeyword(flag, len(keywords), added)
		}
		if err != nil {
			return FlagSet{}, nil, err
		}
		bits = bits.union(f)
	}
	return bits, added, nil
}

func addKeyword(flag imap.Flag, known int, added []imap.Flag) (FlagSet, []imap.Flag, error) {
	i := FindKeyword(added, flag)
	switch {
	case !validKeyword(flag):
		return FlagSet{}, nil, fmt.Errorf("flag %q: %w", flag, ErrName)
	case i < 0 && known+len(added) == MaxKeywords:
		return FlagSet{}, nil, fmt.Errorf("flag %q: %w", flag, ErrTooManyKeywords)
	case i < 0:
		i = len(added)
		added = append(added, flag)
	}
	return FlagSet{Keywords: 1 << (known + i)}, added, nil
}

// validKeyword reports whether flag is an atom (RFC 3501 §9).
func validKeyword(flag imap.Flag) bool {
	if flag == "" || len(flag) > maxKeyword {
		return false
	}
	for _, c := range []byte(flag) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return true
}

// Bits turns the names of a FlagChange into bits, as FlagBits does. Taking away a keyword that the mailbox does not know
// adds none.
func (ch FlagChange) Bits(keywords []imap.Flag) (bits FlagSet, added []imap.Flag, err error) {
	ch.Flags = ch.Denied.Permitted(ch.Flags)
	if ch.Op != imap.StoreFlagsDel {
		return FlagBits(ch.Flags, keywords)
	}
	for _, flag := range ch.Flags {
		f, ok := lookup(flag, keywords)
		if !ok && !validKeyword(flag) {
			return FlagSet{}, nil, fmt.Errorf("flag %q: %w", flag, ErrName)
		}
		bits = bits.union(f)
	}
	return bits, nil, nil
}

// Apply returns what the change makes of old. bits are those of Bits.
func (ch FlagChange) Apply(old, bits FlagSet) FlagSet {
	switch ch.Op {
	case imap.StoreFlagsAdd:
		return old.union(bits)
	case imap.StoreFlagsDel:
		return old.minus(bits)
	default:
		return bits.union(old.and(ch.Denied.Flags()))
	}
}

// Flags are the flags that may not be changed without these rights (RFC 4314 §4).
func (r Rights) Flags() FlagSet {
	var f FlagSet
	if r.Has(RightSeen) {
		f.System |= FlagSeen
	}
	if r.Has(RightDeleteMsgs) {
		f.System |= FlagDeleted
	}
	if r.Has(RightWrite) {
		f.System |= FlagAnswered | FlagFlagged | FlagDraft
		f.Keywords = ^uint64(0)
	}
	return f
}

// Permitted returns those of flags that may be changed when these rights are denied.
func (r Rights) Permitted(flags []imap.Flag) []imap.Flag {
	if r.Flags() == (FlagSet{}) {
		return flags
	}
	return slices.DeleteFunc(slices.Clone(flags), func(flag imap.Flag) bool {
		bit, system := ParseSystem(flag)
		if !system {
			return r.Has(RightWrite)
		}
		return r.Flags().System&bit != 0
	})
}
