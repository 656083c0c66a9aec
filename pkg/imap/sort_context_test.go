package imap

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

var placesLine = regexp.MustCompile(`^\* ESEARCH \(TAG "S"\) UID(?: REMOVEFROM \(([\d ]+)\))?(?: ADDTO \(([\d ]+)\))?$`)

// TestLiveSort lets random things happen to a mailbox while a client follows a sorted result: applying what it is told, place
// by place, it must always have what a new SORT finds.
func TestLiveSort(t *testing.T) {
	t.Parallel()
	const keys = "(REVERSE SUBJECT SIZE) UTF-8 OR NOT FLAGGED SEEN"
	for seed := range uint64(10) {
		f := newFollower(t, seed)
		f.p.say(t, "S UID SORT RETURN (UPDATE ALL) "+keys)
		list := inOrder(f.p.until(t, "S OK"))
		for range 60 {
			list = follow(t, list, f.step())
			if f.r.IntN(2) == 0 {
				continue // what has been expunged may not be told yet
			}
			lines := f.p.do(t, "x NOOP")
			list = follow(t, list, lines)
			if found := inOrder(f.p.do(t, "x UID SORT RETURN (ALL) "+keys)); !slices.Equal(found, list) {
				t.Fatalf("%v are found, the client knows %v after %q", found, list, lines)
			}
		}
		f.p.do(t, "x LOGOUT")
	}
}

// inOrder is the result of a SORT, spelled out.
func inOrder(lines []string) []imap.UID {
	var list []imap.UID
	if m := allFound.FindStringSubmatch(strings.Join(lines, "")); m != nil {
		for _, r := range uidSet(m[1]) {
			for uid := r.Start; uid <= r.Stop; uid++ {
				list = append(list, uid)
			}
		}
	}
	return list
}

func follow(t *testing.T, list []imap.UID, lines []string) []imap.UID {
	t.Helper()
	for _, line := range lines {
		m := placesLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		for _, p := range pairs(t, m[1]) {
			if at := p[0] - 1; at < 0 || at >= len(list) || list[at] != imap.UID(p[1]) {
				t.Fatalf("%q, but the client has %v", line, list)
			}
			list = slices.Delete(list, p[0]-1, p[0])
		}
		for _, p := range pairs(t, m[2]) {
			if p[0] < 1 || p[0] > len(list)+1 {
				t.Fatalf("%q, but the client has %v", line, list)
			}
			list = slices.Insert(list, p[0]-1, imap.UID(p[1]))
		}
	}
	return list
}

func pairs(t *testing.T, s string) [][2]int {
	t.Helper()
	var all [][2]int
	words := strings.Fields(s)
	for i := 0; i+1 < len(words); i += 2 {
		place, err := strconv.Atoi(words[i])
		if err != nil {
			t.Fatal(err)
		}
		uid, err := strconv.Atoi(words[i+1])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, [2]int{place, uid})
	}
	return all
}

func TestWeave(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ old, sorted, want []imap.UID }{
		{nil, nil, nil},
		{nil, []imap.UID{2, 1}, []imap.UID{2, 1}},
		{[]imap.UID{3, 1}, nil, []imap.UID{3, 1}},
		{[]imap.UID{5, 3, 9, 1}, []imap.UID{7, 5, 1, 8}, []imap.UID{7, 5, 3, 9, 1, 8}},
		{[]imap.UID{5, 3, 9}, []imap.UID{9, 7, 5}, []imap.UID{5, 3, 9, 7}},
	} {
		if got := weave(tt.old, tt.sorted); !slices.Equal(got, tt.want) {
			t.Errorf("%v and %v: %v, want %v", tt.old, tt.sorted, got, tt.want)
		}
	}
}
