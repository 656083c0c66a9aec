package imap

import (
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

func TestLastOf(t *testing.T) {
	t.Parallel()
	uids := imap.UIDSet{{Start: 1, Stop: 3}, {Start: 5, Stop: 5}, {Start: 7, Stop: 10}}
	for n, want := range []string{1: "10", 2: "9:10", 4: "7:10", 5: "5,7:10", 6: "3,5,7:10", 7: "2:3,5,7:10", 8: "1:3,5,7:10"} {
		if n > 0 && want != "" && lastOf(uids, n).String() != want {
			t.Errorf("the last %d of %s: %s, want %s", n, uids, lastOf(uids, n), want)
		}
	}
	if uids.String() != "1:3,5,7:10" {
		t.Errorf("it has changed its argument: %s", uids)
	}
}

// TestLimitsAdvertised: limits are told with their values, and not at all when there are none.
func TestLimitsAdvertised(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		s    *Server
		want []string
		not  []string
	}{
		{&Server{}, nil, []string{"MESSAGELIMIT", "SAVELIMIT", "UIDONLY"}},
		{&Server{MessageLimit: 1000, SaveLimit: 10}, []string{"MESSAGELIMIT=1000", "SAVELIMIT=10"}, []string{"UIDONLY"}},
		{&Server{UIDOnly: true, MessageLimit: 5, Disable: []string{"messagelimit"}}, []string{"UIDONLY"}, []string{"MESSAGELIMIT"}},
	} {
		c := &conn{srv: tt.s, state: authenticated, mask: tt.s.mask(), most: limits{tt.s.MessageLimit, tt.s.SaveLimit}}
		words := strings.Fields(c.capabilities())
		for _, want := range tt.want {
			if !slices.Contains(words, want) {
				t.Errorf("%+v: no %s in %v", tt.want, want, words)
			}
		}
		for _, not := range tt.not {
			if slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, not) }) {
				t.Errorf("%+v: %s in %v", tt.want, not, words)
			}
		}
	}
}
