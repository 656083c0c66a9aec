package store

import (
	"errors"
	"fmt"
	"testing"

	"github.com/emersion/go-imap/v2"
)

func TestParseIdentifier(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Anyone": "anyone", "-anyone": "-anyone", "BOB@Example.ORG.": "bob@example.org", "-bob@example.org": "-bob@example.org",
		"--bob@example.org": "--bob@example.org", "@example.org": "@example.org", "anyone@example.org": "anyone@example.org",
	} {
		e, err := ParseIdentifier(in)
		if err != nil || e.String() != want {
			t.Errorf("%q: %v, %v; want %s", in, e, err, want)
		}
	}
	for _, in := range []string{"", "-", "bob", "bob@", "a\x00@b", "\xff@b", "administrators"} {
		if e, err := ParseIdentifier(in); !errors.Is(err, ErrIdentifier) {
			t.Errorf("%q: %v, %v", in, e, err)
		}
	}
}

func TestRightsOf(t *testing.T) {
	t.Parallel()
	list := []ACLEntry{
		{Anyone, false, RightLookup | RightRead},
		{"@example.org", false, RightSeen},
		{"bob@example.org", false, RightWrite | RightInsert},
		{"bob@example.org", true, RightRead | RightPost},
	}
	for address, want := range map[string]string{
		"bob@example.org": "lswi", "carol@example.org": "lrs", "bob@example.net": "lr", `"a@b"@example.org`: "lrs",
	} {
		if got := RightsOf(list, Identifiers(address)); got.String() != want {
			t.Errorf("%s: %v, want %s", address, got, want)
		}
	}
}

func TestACLChange(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		op   imap.RightModification
		want string
	}{
		{imap.RightModificationReplace, "rs"}, {imap.RightModificationAdd, "lrs"}, {imap.RightModificationRemove, "l"},
	} {
		ch := ACLChange{ACLEntry: ACLEntry{Rights: RightRead | RightSeen}, Op: test.op}
		if got := ch.Apply(RightLookup | RightRead); got.String() != test.want {
			t.Errorf("%q: %v, want %s", test.op, got, test.want)
		}
	}
}

// TestDeniedFlags checks that a change with rights denied touches no flag that these are about, and otherwise does what
// the change does.
func TestDeniedFlags(t *testing.T) {
	t.Parallel()
	keywords := []imap.Flag{"a", "b"}
	old := FlagSet{System: FlagSeen | FlagFlagged, Keywords: 1}
	flags := []imap.Flag{`\seen`, `\Deleted`, `\Draft`, "B"}
	for denied := range AllRights + 1 {
		for _, op := range []imap.StoreFlagsOp{imap.StoreFlagsAdd, imap.StoreFlagsDel, imap.StoreFlagsSet} {
			free, ch := FlagChange{Op: op, Flags: flags}, FlagChange{Op: op, Flags: flags, Denied: denied}
			bits, _, err := free.Bits(keywords)
			if err != nil {
				t.Fatal(err)
			}
			want := free.Apply(old, bits).minus(denied.Flags()).union(old.and(denied.Flags()))
			bits, added, err := ch.Bits(keywords)
			if got := ch.Apply(old, bits); err != nil || got != want || added != nil {
				t.Fatalf("%v without %v: %v, want %v", op, denied, got, want)
			}
		}
	}
	if len(flags) != 4 || fmt.Sprint(flags) != `[\seen \Deleted \Draft B]` {
		t.Errorf("the caller's flags are now %v", flags)
	}
}

func TestMayPost(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		list []ACLEntry
		want bool
	}{
		{nil, true},
		{[]ACLEntry{{"bob@example.org", false, RightPost}}, false},
		{[]ACLEntry{{Anyone, false, RightPost}}, true},
		{[]ACLEntry{{Anyone, false, RightPost}, {Anyone, true, RightPost}}, false},
	} {
		if got := MayPost(test.list); got != test.want {
			t.Errorf("%v: %v", test.list, got)
		}
	}
}
