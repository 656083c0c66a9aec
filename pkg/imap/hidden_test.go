package imap

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// namesMailbox holds a command line for each command that takes the name of a mailbox, which is %s; what follows a literal's
// announcement is sent if it is asked for.
var namesMailbox = map[string]string{
	"STATUS":       `STATUS %s (MESSAGES)`,
	"CREATE":       `CREATE %s`,
	"DELETE":       `DELETE %s`,
	"RENAME":       `RENAME %s mine`,
	"SUBSCRIBE":    `SUBSCRIBE %s`,
	"UNSUBSCRIBE":  `UNSUBSCRIBE %s`,
	"LIST":         `LIST "" %s`,
	"LSUB":         `LSUB "" %s`,
	"SETACL":       `SETACL %s bob@example.org lr`,
	"DELETEACL":    `DELETEACL %s bob@example.org`,
	"GETACL":       `GETACL %s`,
	"LISTRIGHTS":   `LISTRIGHTS %s bob@example.org`,
	"MYRIGHTS":     `MYRIGHTS %s`,
	"APPEND":       "APPEND %s {5+}\r\nabcde",
	"SELECT":       `SELECT %s`,
	"EXAMINE":      `EXAMINE %s`,
	"COPY":         `COPY 1 %s`,
	"UID COPY":     `UID COPY 1 %s`,
	"MOVE":         `MOVE 1 %s`,
	"UID MOVE":     `UID MOVE 1 %s`,
	"GETMETADATA":  `GETMETADATA %s /shared/comment`,
	"SETMETADATA":  `SETMETADATA %s (/shared/comment "x")`,
	"ESEARCH":      `ESEARCH IN (mailboxes %s) RETURN (COUNT) ALL`,
	"GETQUOTAROOT": `GETQUOTAROOT %s`,
	"REPLACE":      "REPLACE 1 %s {5+}\r\nabcde",
	"UID REPLACE":  "UID REPLACE 1 %s {5+}\r\nabcde",
	"NOTIFY":       `NOTIFY SET (mailboxes %s (MessageNew MessageExpunge))`,
}

// namesQuiet are those that name a mailbox and do not say that it is not there.
var namesQuiet = strings.Fields(`SUBSCRIBE UNSUBSCRIBE LIST LSUB ESEARCH NOTIFY`)

// namesNone are the commands that take no mailbox's name.
var namesNone = strings.Fields(`CAPABILITY NOOP LOGOUT ID LOGIN STARTTLS AUTHENTICATE UNAUTHENTICATE ENABLE NAMESPACE IDLE COMPRESS CHECK CLOSE
	UNSELECT FETCH STORE SEARCH SORT THREAD EXPUNGE GETQUOTA SETQUOTA CANCELUPDATE GETFILTER SETFILTER GENURLAUTH RESETKEY URLFETCH GETJMAPACCESS`)

// TestHidden walks the table of commands and checks of each that names a mailbox that to a mailbox of somebody else's that
// may not be looked up it answers as to one that is not there: not there in an account, in no account, and where there are
// rights that do not include looking (RFC 4314 §6).
func TestHidden(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	box, err := w.account.Create(t.Context(), "hidden")
	if err != nil {
		t.Fatal(err)
	}
	address := w.addUser(t, "bob")
	entry := store.ACLEntry{Identifier: address, Rights: store.RightPost}
	if err := w.account.SetACL(t.Context(), box.ID, store.ACLChange{ACLEntry: entry}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.account.Create(t.Context(), "private"); err != nil {
		t.Fatal(err)
	}
	prefix := others + w.account.Address() + "/"
	missing := prefix + "missing"
	for name, row := range commands {
		line, ok := namesMailbox[name]
		if !ok {
			if bare := strings.TrimPrefix(name, "UID "); !slices.Contains(namesNone, bare) {
				t.Errorf("%s: does it name a mailbox? Neither list of this test has it", name)
			}
			continue
		}
		want := w.answer(t, address, row, line, missing)
		for _, hidden := range []string{prefix + "hidden", prefix + "private", prefix + "INBOX", others + "nobody@example.org/INBOX"} {
			if got := w.answer(t, address, row, line, hidden); got != want {
				t.Errorf("%s of %s:\n%s, but of a missing one\n%s", name, hidden, got, want)
			}
		}
		if quiet := slices.Contains(namesQuiet, name); quiet != strings.Contains(want, "x OK") {
			t.Errorf("%s: %s", name, want)
		}
	}
	all, err := w.account.Mailboxes(t.Context())
	if err != nil || !slices.ContainsFunc(all, func(b store.Mailbox) bool { return b.Name == "hidden" }) || len(all) != len(store.DefaultMailboxes)+2 {
		t.Errorf("the mailboxes are now %v, %v", all, err)
	}
}

// answer is what a new session of somebody's hears of a command, with the mailbox's name put out.
func (w *world) answer(t *testing.T, user string, row *command, line, mailbox string) string {
	t.Helper()
	if row.in == inSelected {
		w.fillFor(t, user)
	}
	c := w.loginAs(t, user)
	defer c.conn.Close()
	lines := []string{fmt.Sprintf("x "+line+"\r\n", `"`+mailbox+`"`)}
	if row.in == inSelected {
		lines = append([]string{"s SELECT INBOX\r\n"}, lines...)
	}
	var heard string
	for i, l := range lines {
		c.send(t, []byte(l))
		heard = ""
		for done := false; !done; {
			s, err := c.response()
			if err != nil {
				t.Fatalf("%s: %v", l, err)
			}
			heard += s + "\n"
			done = strings.HasPrefix(s, []string{"x ", "s "}[min(1, len(lines)-1-i)])
		}
	}
	return strings.ReplaceAll(heard, mailbox, "…")
}

// fillFor puts a message into somebody's INBOX.
func (w *world) fillFor(t *testing.T, user string) {
	t.Helper()
	id, _ := w.server.Auth.(*testAuth).find(user)
	a, err := w.store.Account(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := a.Mailbox(t.Context(), store.Inbox)
	if err != nil || inbox.Messages > 0 {
		return
	}
	if err := deliver(t, a, inbox.ID, []byte("Subject: x\r\n\r\n"), []imap.Flag{imap.FlagSeen}, 1); err != nil {
		t.Fatal(err)
	}
}
