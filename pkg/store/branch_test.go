package store

import (
	"strings"
	"testing"
)

func TestBranch(t *testing.T) {
	t.Parallel()
	names := []string{"INBOX", "a", "a b", "a/b", "a/b/c", "a/b c", "a0", "ab"}
	for _, test := range []struct {
		in   []Branch
		want string
	}{
		{nil, "INBOX, a, a b, a/b, a/b/c, a/b c, a0, ab"},
		{[]Branch{{"", AllBelow}}, "INBOX, a, a b, a/b, a/b/c, a/b c, a0, ab"},
		{[]Branch{{"", OneBelow}}, "INBOX, a, a b, a0, ab"},
		{[]Branch{{"", ThisEntry}}, ""},
		{[]Branch{{"a", ThisEntry}}, "a"},
		{[]Branch{{"a", OneBelow}}, "a, a/b, a/b c"},
		{[]Branch{{"a", AllBelow}}, "a, a/b, a/b/c, a/b c"},
		{[]Branch{{"a/b", OneBelow}}, "a/b, a/b/c"},
		{[]Branch{{"x", AllBelow}, {"a/b/c", AllBelow}, {"INBOX", ThisEntry}}, "INBOX, a/b/c"},
	} {
		var got []string
		for _, name := range names {
			if InBranches(name, test.in) {
				got = append(got, name)
			}
		}
		if strings.Join(got, ", ") != test.want {
			t.Errorf("%v: %v, want %s", test.in, got, test.want)
		}
	}
}
