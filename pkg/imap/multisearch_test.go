package imap

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseMultiSearch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ line, want string }{
		{` ALL`, `[] `},
		{` IN (selected) SEEN`, `[{SELECTED []}] +\Seen`},
		{` IN (personal subscribed inboxes) ALL`, `[{PERSONAL []} {SUBSCRIBED []} {INBOXES []}] `},
		{
			` IN (mailboxes inbox subtree (a "b c") Subtree-One d) CHARSET UTF-8 SEEN`,
			`[{MAILBOXES [INBOX]} {SUBTREE [a b c]} {SUBTREE-ONE [d]}] +\Seen`,
		},
	} {
		r, err := parseMultiSearch(decoderOf(tt.line), 0)
		if got := fmt.Sprintf("%v %s", r.in, describeCriteria(&r.criteria)); err != nil || got != tt.want {
			t.Errorf("ESEARCH%s: %s, %v, want %s", tt.line, got, err, tt.want)
		}
	}
	for _, line := range []string{
		``, ` IN`, ` IN ()`, ` IN () ALL`, ` IN selected ALL`, ` IN (selected)`, ` IN (nowhere) ALL`, ` IN (mailboxes) ALL`,
		` IN (mailboxes ()) ALL`, ` IN (selected-delayed) ALL`, ` IN (personal) IN (personal) ALL`, ` IN (subtree (a) ALL`,
		` IN (` + strings.Repeat("personal ", maxSources) + `personal) ALL`,
		` IN (mailboxes (` + strings.Repeat("a ", maxFilterNames) + `a)) ALL`,
		` IN (mailboxes (` + strings.Repeat("a ", maxFilterNames-1) + `a) subtree b) ALL`,
	} {
		if r, err := parseMultiSearch(decoderOf(line), 0); err == nil {
			t.Errorf("ESEARCH%.60s: %+v, want an error", line, r)
		}
	}
}

func FuzzParseMultiSearch(f *testing.F) {
	f.Add(` IN (selected subtree-one (a b) mailboxes "c") RETURN (SAVE PARTIAL -1:-5) CHARSET EUC-JP OR 1:* $ YOUNGER 5`)
	f.Fuzz(func(t *testing.T, line string) {
		r, err := parseMultiSearch(decoderOf(line), 0)
		if err == nil && (len(r.in) > maxSources || len(namedBy(r.in)) > maxFilterNames) {
			t.Fatalf("%q: too many sources", line)
		}
	})
}

func TestMailboxFilter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ filter, in, out string }{
		{"personal", "INBOX a a/b", ""},
		{"inboxes", "INBOX INBOX/a", "INBOXES a"},
		{"subtree a", "a a/b a/b/c", "b ab INBOX"},
		{"subtree-one a/b", "a/b a/b/c", "a a/b/c/d a/bc"},
		{"mailboxes (a b/c)", "a b/c", "b b/c/d"},
		{"selected", "", "a INBOX"},
		{"subscribed", "", "a"},
	} {
		f := parseMailboxFilter(decoderOf(tt.filter))
		for _, name := range strings.Fields(tt.in) {
			if !f.selects(name, false) {
				t.Errorf("%s does not select %s", tt.filter, name)
			}
		}
		for _, name := range strings.Fields(tt.out) {
			if f.selects(name, false) {
				t.Errorf("%s selects %s", tt.filter, name)
			}
		}
	}
	if f := parseMailboxFilter(decoderOf("subscribed")); !f.selects("a", true) {
		t.Error("subscribed does not select what is")
	}
}
