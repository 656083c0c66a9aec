package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

func keywordList(n int) []imap.Flag {
	var list []imap.Flag
	for i := range n {
		list = append(list, imap.Flag(fmt.Sprintf("k%d", i)))
	}
	return list
}

func TestFlagBits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		flags []imap.Flag
		known []imap.Flag
		bits  FlagSet
		added []imap.Flag
		err   error
	}{
		{nil, nil, FlagSet{}, nil, nil},
		{[]imap.Flag{`\seen`, `\DRAFT`}, nil, FlagSet{System: FlagSeen | FlagDraft}, nil, nil},
		{[]imap.Flag{"$Junk", "$JUNK", "x"}, nil, FlagSet{Keywords: 3}, []imap.Flag{"$Junk", "x"}, nil},
		{[]imap.Flag{"$junk", "b"}, []imap.Flag{"a", "$Junk"}, FlagSet{Keywords: 6}, []imap.Flag{"b"}, nil},
		{[]imap.Flag{`\Recent`}, nil, FlagSet{}, nil, ErrName},
		{[]imap.Flag{`\Whatever`}, nil, FlagSet{}, nil, ErrName},
		{[]imap.Flag{`\*`}, nil, FlagSet{}, nil, ErrName},
		{[]imap.Flag{""}, nil, FlagSet{}, nil, ErrName},
		{[]imap.Flag{"a b"}, nil, FlagSet{}, nil, ErrName},
		{[]imap.Flag{"ä"}, nil, FlagSet{}, nil, ErrName},
		{[]imap.Flag{"a\x00"}, nil, FlagSet{}, nil, ErrName},
		{[]imap.Flag{imap.Flag(strings.Repeat("a", 256))}, nil, FlagSet{}, nil, ErrName},
		{[]imap.Flag{"new"}, keywordList(62), FlagSet{Keywords: 1 << 62}, []imap.Flag{"new"}, nil},
		{[]imap.Flag{"new", "newer"}, keywordList(62), FlagSet{}, nil, ErrTooManyKeywords},
		{[]imap.Flag{"K62"}, keywordList(63), FlagSet{Keywords: 1 << 62}, nil, nil},
	} {
		bits, added, err := FlagBits(test.flags, test.known)
		if bits != test.bits || !slices.Equal(added, test.added) || !errors.Is(err, test.err) {
			t.Errorf("FlagBits(%q, %q) = %v, %q, %v", test.flags, test.known, bits, added, err)
		}
	}
}

func TestFlagChange(t *testing.T) {
	t.Parallel()
	known := []imap.Flag{"a", "b"}
	old := FlagSet{System: FlagSeen | FlagDeleted, Keywords: 1}
	for _, test := range []struct {
		op    imap.StoreFlagsOp
		flags []imap.Flag
		want  string
		added int
	}{
		{imap.StoreFlagsAdd, []imap.Flag{`\Seen`, "b"}, `[\Seen \Deleted a b]`, 0},
		{imap.StoreFlagsAdd, []imap.Flag{"c"}, `[\Seen \Deleted a c]`, 1},
		{imap.StoreFlagsDel, []imap.Flag{`\Deleted`, "A", "unknown"}, `[\Seen]`, 0},
		{imap.StoreFlagsSet, []imap.Flag{`\Flagged`, "b"}, `[\Flagged b]`, 0},
		{imap.StoreFlagsSet, nil, `[]`, 0},
	} {
		ch := FlagChange{Op: test.op, Flags: test.flags}
		bits, added, err := ch.Bits(known)
		got := ch.Apply(old, bits).Names(slices.Concat(known, added))
		if fmt.Sprint(got) != test.want || len(added) != test.added || err != nil {
			t.Errorf("%v %q: %v, added %q, %v; want %s", test.op, test.flags, got, added, err, test.want)
		}
	}
	if _, _, err := (FlagChange{Op: imap.StoreFlagsDel, Flags: []imap.Flag{"x"}}).Bits(keywordList(63)); err != nil {
		t.Errorf("taking away an unknown keyword from a full mailbox: %v", err)
	}
	if _, _, err := (FlagChange{Op: imap.StoreFlagsDel, Flags: []imap.Flag{`\Recent`}}).Bits(nil); !errors.Is(err, ErrName) {
		t.Errorf("taking away \\Recent: %v", err)
	}
}
