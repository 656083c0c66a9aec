package lmtp

import (
	"strings"
	"testing"

	"postern/pkg/store"
)

// TestDetailRights: a mailbox with a list of rights gets mail for user+name only if anyone may post (RFC 4314 §2.1).
func TestDetailRights(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		list []store.ACLEntry
		want string // where the mail goes
	}{
		{nil, "lists"},
		{[]store.ACLEntry{{Identifier: bob, Rights: store.RightPost}}, "INBOX"},
		{[]store.ACLEntry{{Identifier: store.Anyone, Rights: store.RightLookup}}, "INBOX"},
		{[]store.ACLEntry{{Identifier: store.Anyone, Rights: store.RightPost}}, "lists"},
	} {
		w := newWorld(t)
		a := w.account(alice)
		box, err := a.Create(t.Context(), "lists")
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range test.list {
			if err := a.SetACL(t.Context(), box.ID, store.ACLChange{ACLEntry: entry}); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.dial().send("alice+lists@example.org", "S: x\r\n\r\n.\r\n"); !strings.HasPrefix(got, "250") {
			t.Error(got)
		}
		if n := len(w.messages(alice, test.want)); n != 1 {
			t.Errorf("%v: %s holds %d messages", test.list, test.want, n)
		}
	}
}

// TestDetailQuota: a mailbox that cannot be made because there are too many does not keep mail away.
func TestDetailQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Server) { s.Detail = DetailCreate })
	if err := w.store.SetLimits(t.Context(), w.account(alice).ID(), store.Limits{Mailboxes: 6}); err != nil {
		t.Fatal(err)
	}
	if got := w.dial().send("alice+new@example.org", "S: x\r\n\r\n.\r\n"); !strings.HasPrefix(got, "250") {
		t.Error(got)
	}
	if n := len(w.messages(alice, "INBOX")); n != 1 {
		t.Errorf("INBOX holds %d", n)
	}
}

// TestDetailCreateRights: a mailbox that would begin with a list that keeps mail away is not made for mail.
func TestDetailCreateRights(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rights store.Rights // of anyone to "lists"
		detail string
		want   string
		made   bool
	}{
		{0, "lists/a/b", "lists/a/b", true},
		{store.RightPost, "lists/a/b", "lists/a/b", true},
		{store.RightLookup, "lists/a/b", "INBOX", false},
		{store.RightLookup, "listserver", "listserver", true},
	} {
		w := newWorld(t, func(s *Server) { s.Detail = DetailCreate })
		a := w.account(alice)
		box, err := a.Create(t.Context(), "lists")
		if err != nil {
			t.Fatal(err)
		}
		change := store.ACLChange{ACLEntry: store.ACLEntry{Identifier: store.Anyone, Rights: test.rights}}
		if err := a.SetACL(t.Context(), box.ID, change); err != nil {
			t.Fatal(err)
		}
		if got := w.dial().send("alice+"+test.detail+"@example.org", "S: x\r\n\r\n.\r\n"); !strings.HasPrefix(got, "250") {
			t.Error(got)
		}
		if n := len(w.messages(alice, test.want)); n != 1 {
			t.Errorf("%v, %s: %s holds %d messages", test.rights, test.detail, test.want, n)
		}
		if _, err := a.Mailbox(t.Context(), test.detail); (err == nil) != test.made {
			t.Errorf("%v, %s: mailbox: %v", test.rights, test.detail, err)
		}
	}
}
