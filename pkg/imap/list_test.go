package imap

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"postern/pkg/store"
)

func (r listRequest) describe() string {
	var words []string
	for _, p := range r.patterns {
		words = append(words, string(p))
	}
	if len(r.options) > 0 {
		words = append(append(words, "select"), r.options...)
	}
	for _, option := range []struct {
		on   bool
		name string
	}{
		{r.root, "root"}, {r.recursive, "recursive"}, {r.tell, "tell"}, {r.children, "children"}, {r.rights, "rights"},
	} {
		if option.on {
			words = append(words, option.name)
		}
	}
	if len(r.status) > 0 {
		words = append(append(words, "status"), r.status...)
	}
	if r.metadata != nil {
		words = append(append(words, "metadata"), r.metadata.entries...)
	}
	return strings.Join(words, " ")
}

func FuzzParseList(f *testing.F) {
	f.Add(` (SUBSCRIBED RECURSIVEMATCH) "" ("a*" b%) RETURN (CHILDREN STATUS (MESSAGES))`)
	f.Add(` inbox "%" RETURN (METADATA (/shared/a))`)
	f.Fuzz(func(t *testing.T, line string) {
		r, err := parseList(decoderOf(line), 0)
		if err != nil {
			return
		}
		size := 0
		for _, p := range r.patterns {
			size += len(p)
		}
		if len(r.patterns) > maxPatterns || size > 3*maxPatternsSize || r.recursive && len(r.options) == 0 || r.root && len(r.patterns) > 0 {
			t.Fatalf("%q: %s", line, r.describe())
		}
	})
}

// TestListRandom holds LIST with all of its options against what RFC 5258 says of one name at a time.
func TestListRandom(t *testing.T) {
	t.Parallel()
	universe := []string{"a", "a/b", "a/b/c", "a/d", "b", "b/c", "b/c/d", "c", "c/a/b", "d/e"}
	patterns := []string{"*", "%", "%/%", "a/*", "*b", "*/c", "d", "c*", "x"}
	for seed := range 4000 {
		r := &listRequest{subscribed: seed&1 != 0, specialUse: seed&2 != 0, recursive: seed&3 != 0 && seed&4 != 0}
		if r.subscribed {
			r.options = append(r.options, "SUBSCRIBED")
		}
		if r.specialUse {
			r.options = append(r.options, "SPECIAL-USE")
		}
		r.patterns = []pattern{newPattern("", patterns[seed/8%9]), newPattern("", patterns[seed/72%9])}
		names := make([]listed, 0, len(universe))
		for i, name := range universe {
			l := listed{name: name}
			l.rights = store.AllRights
			switch bits := (seed*2654435761 + i*40503) >> 3 % 8; {
			case bits == 0:
				continue
			case bits == 1 && r.subscribed:
				l.missing, l.box.Subscribed = true, true
			default:
				l.box.Subscribed = bits&2 != 0
				if bits&4 != 0 {
					l.box.Use = store.DefaultMailboxes[1].Use
				}
			}
			names = append(names, l)
		}
		found, err := newListing(r, names).choose(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range found {
			got = append(got, fmt.Sprint(f.name, " ", f.childInfo))
		}
		slices.Sort(got)
		if want := expectedList(r, universe, names); !slices.Equal(got, want) {
			t.Fatalf("%s of %+v: %q, want %q", r.describe(), names, got, want)
		}
	}
}

// expectedList looks at each name there can be by itself.
func expectedList(r *listRequest, universe []string, names []listed) []string {
	matches := func(name string) bool {
		return naive(string(r.patterns[0]), name) || naive(string(r.patterns[1]), name)
	}
	selected := func(l *listed) bool {
		return (!r.subscribed || l.box.Subscribed) && (!r.specialUse || len(l.box.Use) > 0)
	}
	all := slices.Clone(universe)
	for _, name := range universe {
		all = append(all, store.Parents(name)...)
	}
	slices.Sort(all)
	var want []string
	for _, name := range slices.Compact(all) {
		i := slices.IndexFunc(names, func(l listed) bool { return l.name == name })
		below, hidden := false, false
		for j := range names {
			if r.recursive && store.Below(names[j].name, name) && selected(&names[j]) {
				below = true
				hidden = hidden || !matches(names[j].name)
			}
		}
		there := i >= 0 && !names[i].missing
		if matches(name) && (i >= 0 && selected(&names[i]) || below && (there || hidden)) {
			want = append(want, fmt.Sprint(name, " ", below))
		}
	}
	return want
}
