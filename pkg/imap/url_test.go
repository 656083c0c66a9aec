package imap

import (
	"fmt"
	"strings"
	"testing"
)

func describeURL(u messageURL) string {
	s := fmt.Sprintf("%s@%s %q v%d u%d", u.user, u.host, u.mailbox, u.uidValidity, u.uid)
	if u.section.Path != nil || u.section.Kind != 0 {
		s += fmt.Sprintf(" %v %d %q", u.section.Path, u.section.Kind, u.section.Fields)
	}
	if u.partial != nil {
		s += fmt.Sprintf(" %d+%d", u.partial.Offset, u.partial.Size)
	}
	return s
}

func TestParseURL(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want string }{
		{"/INBOX/;UID=20", `@ "INBOX" v0 u20`},
		{"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER", `@ "Drafts" v385759045 u20 [] 1 []`},
		{"/Lists/go/;uid=1/;Section=1.2.MIME", `@ "Lists/go" v0 u1 [1 2] 5 []`},
		{"/a;UIDVALIDITY=1/;UID=2/;SECTION=1/;PARTIAL=10.20", `@ "a" v1 u2 [1] 0 [] 10+20`},
		{"/a/;UID=2/;PARTIAL=10", `@ "a" v0 u2 10+4611686018427387904`},
		{";UID=7/;SECTION=TEXT", `@ "" v0 u7 [] 4 []`},
		{"/%E5%8F%97%E4%BF%A1%E7%AE%B1/;UID=1", `@ "受信箱" v0 u1`},
		{"/x%3by%2Fz/;UID=1", `@ "x;y/z" v0 u1`},
		{"/a/;UID=1/;SECTION=HEADER.FIELDS%20(Subject%20To)", `@ "a" v0 u1 [] 2 ["Subject" "To"]`},
		{"imap://alice%40example.org;AUTH=*@mail.example.org:143/a/;UID=1", `alice@example.org@mail.example.org "a" v0 u1`},
		{"IMAP://mail.example.org/a/;UID=1", `@mail.example.org "a" v0 u1`},
		{"//[::1]:143/a/;UID=1", `@[::1] "a" v0 u1`},

		{"", ""},
		{"/", ""},
		{"/INBOX", ""},
		{"INBOX/;UID=1", ""},
		{"/INBOX;UID=1", ""},
		{"/INBOX/;UID=0", ""},
		{"/INBOX/;UID=4294967296", ""},
		{"/INBOX/;UID=1x", ""},
		{"/INBOX/;UID=1/", ""},
		{"/INBOX/;UID=1/;SECTION=", ""},
		{"/INBOX/;UID=1/;SECTION=X", ""},
		{"/INBOX/;UID=1/;SECTION=1]<0.5>", ""},
		{"/INBOX/;UID=1/;SECTION=HEADER.FIELDS%20({3}%0d%0aabc)", ""},
		{"/INBOX/;UID=1/;SECTION=HEADER.FIELDS%20({3+}", ""},
		{"/INBOX/;UID=1/;PARTIAL=", ""},
		{"/INBOX/;UID=1/;PARTIAL=1.0", ""},
		{"/INBOX/;UID=1/;PARTIAL=-1.2", ""},
		{"/INBOX/;UID=1/;PARTIAL=1.2/;SECTION=1", ""},
		{"/INBOX/;UID=1;URLAUTH=anonymous", ""},
		{"/INBOX;UIDVALIDITY=0/;UID=1", ""},
		{"/INBOX;UIDVALIDITY=1;UID=1", ""},
		{"/%ff/;UID=1", ""},
		{"/%/;UID=1", ""},
		{"//;UID=1", ""},
		{"imap://mail.example.org", ""},
		{"imap:///a/;UID=1", ""},
		{"imap://x;FOO@h/a/;UID=1", ""},
		{"http://mail.example.org/a/;UID=1", ""},
		{"/a\x00/;UID=1", ""},
	} {
		u, ok := parseURL(test.in)
		got := ""
		if ok {
			got = describeURL(u)
		}
		if got != test.want {
			t.Errorf("%q\n\tis %s\n\tnot %s", test.in, got, test.want)
		}
	}
}

// FuzzParseURL: any text is a URL or not, and what is one is of one message.
func FuzzParseURL(f *testing.F) {
	f.Add("imap://alice;AUTH=*@mail.example.org:143/a%20b;UIDVALIDITY=1/;UID=2/;SECTION=1.HEADER/;PARTIAL=0.100")
	f.Add(";UID=7/;SECTION=HEADER.FIELDS%20(Subject%20\"To\")")
	f.Add("/INBOX/;UID=1/;SECTION=HEADER.FIELDS.NOT%20({3+}abc)")
	f.Fuzz(func(t *testing.T, s string) {
		u, ok := parseURL(s)
		if ok && (u.uid == 0 || u.partial != nil && (u.partial.Offset < 0 || u.partial.Size <= 0)) {
			t.Errorf("%q: %s", s, describeURL(u))
		}
		if code := badURL(s).code; strings.ContainsAny(code, "]\r\n\x00") || len(code) > maxBadURL+10 {
			t.Errorf("%q cannot be a response code", code)
		}
	})
}
