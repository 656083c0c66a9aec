package store

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

func TestCanonicalName(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 255)
	for _, test := range []struct{ name, want string }{
		{"INBOX", "INBOX"},
		{"inBox", "INBOX"},
		{"inbox/inbox", "INBOX/inbox"},
		{"inboxes", "inboxes"},
		{"/a/b/", "a/b"},
		{"a", "a"},
		{"re\u0301sume\u0301", "résumé"},
		{"受信箱/下書き", "受信箱/下書き"},
		{"😀 & \"quotes\"", "😀 & \"quotes\""},
		{"*", "*"},
		{long + "/" + long, long + "/" + long},
		{"", ""},
		{"/", ""},
		{"//", ""},
		{"a//b", ""},
		{"//a", ""},
		{"a\x00b", ""},
		{"a\r\nb", ""},
		{"a\u0085b", ""},
		{"a\x7fb", ""},
		{"a\xffb", ""},
		{long + "x", ""},
		{strings.Repeat("y/", 500) + "y", ""},
	} {
		got, err := CanonicalName(test.name)
		if got != test.want || (test.want == "") != errors.Is(err, ErrName) {
			t.Errorf("CanonicalName(%q) = %q, %v, want %q", test.name, got, err, test.want)
		}
		if again, err := CanonicalName(got); test.want != "" && (again != got || err != nil) {
			t.Errorf("CanonicalName(%q) = %q, %v: not stable", got, again, err)
		}
	}
	for _, name := range []string{"a*", "%", "x/%/y"} {
		if _, err := NewName(name); !errors.Is(err, ErrName) {
			t.Errorf("NewName(%q): %v", name, err)
		}
	}
}

func TestTree(t *testing.T) {
	t.Parallel()
	if got := Parents("a/b/c"); !slices.Equal(got, []string{"a", "a/b"}) {
		t.Errorf("Parents = %q", got)
	}
	if got := Parents("a"); len(got) != 0 {
		t.Errorf("Parents = %q", got)
	}
	if !Below("a/b", "a") || Below("ab", "a") || Below("a", "a") {
		t.Error("Below")
	}
	if got, err := Renamed("a/b", "a", "x/y"); got != "x/y/b" || err != nil {
		t.Errorf("Renamed = %q, %v", got, err)
	}
	if _, err := Renamed("a/"+strings.Repeat("b", 250), "a", strings.Repeat("c/", 400)+"c"); !errors.Is(err, ErrName) {
		t.Errorf("Renamed too long: %v", err)
	}
	for _, d := range DefaultMailboxes {
		if name, err := NewName(d.Name); name != d.Name || err != nil {
			t.Errorf("default mailbox %q: %q, %v", d.Name, name, err)
		}
		if use, err := CanonicalUse(d.Use); !slices.Equal(use, d.Use) || err != nil {
			t.Errorf("default mailbox %q: %v, %v", d.Name, use, err)
		}
	}
}

func TestCanonicalUse(t *testing.T) {
	t.Parallel()
	got, err := CanonicalUse([]imap.MailboxAttr{`\trash`, `\Archive`, `\Trash`})
	if !slices.Equal(got, []imap.MailboxAttr{imap.MailboxAttrArchive, imap.MailboxAttrTrash}) || err != nil {
		t.Errorf("CanonicalUse = %v, %v", got, err)
	}
	for _, attr := range []imap.MailboxAttr{`\All`, `\Noselect`, "x", ""} {
		if _, err := CanonicalUse([]imap.MailboxAttr{attr}); !errors.Is(err, ErrUse) {
			t.Errorf("CanonicalUse(%q): %v", attr, err)
		}
	}
}

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in   string
		want []string // candidates; nil for none
		det  string
	}{
		{"Bob@Example.ORG", []string{"bob@example.org", "@example.org"}, ""},
		{"bob+Lists/Go@example.org.", []string{"bob+lists/go@example.org", "bob@example.org", "@example.org"}, "Lists/Go"},
		{"bob+@example.org", []string{"bob+@example.org", "bob@example.org", "@example.org"}, ""},
		{"+x@example.org", []string{"+x@example.org", "@example.org"}, ""},
		{`"a@b"@example.org`, []string{`"a@b"@example.org`, "@example.org"}, ""},
		{"ÄB@bücher.example", []string{"äb@bücher.example", "@bücher.example"}, ""},
		{"demo@localhost", []string{"demo@localhost", "@localhost"}, ""},
		{"bob", nil, ""},
		{"bob@", nil, ""},
		{"bob\x00@example.org", nil, ""},
		{"bob\xff@example.org", nil, ""},
		{strings.Repeat("x", 2000) + "@example.org", nil, ""},
	} {
		a, ok := ParseAddress(test.in)
		if ok != (test.want != nil) || (ok && !slices.Equal(a.Candidates(), test.want)) || a.Detail != test.det {
			t.Errorf("ParseAddress(%q) = %+v, %v; candidates %q", test.in, a, ok, a.Candidates())
		}
	}
}

func TestObjectID(t *testing.T) {
	t.Parallel()
	for _, id := range []int64{1, 35, 36, 1 << 40, 1<<63 - 1} {
		if got, ok := ParseMessageID(MessageID(id).String()); !ok || got != MessageID(id) {
			t.Errorf("%d: %v, %v", id, got, ok)
		}
		if got, ok := ParseThreadID(ThreadID(id)); !ok || got != id {
			t.Errorf("%d: %v, %v", id, got, ok)
		}
	}
	for _, s := range []string{"", "M", "M0", "T1", "M01", "MZ", "M-", "M 1", "Mzzzzzzzzzzzzzzzzzzzzzz"} {
		if id, ok := ParseMessageID(s); ok {
			t.Errorf("ParseMessageID(%q) = %d", s, id)
		}
	}
	if ThreadID(0) != "" || MailboxID(36).String() != "F10" {
		t.Error("ThreadID or MailboxID")
	}
}
