package gateway_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// TestAerc works with aerc as somebody at its keyboard would: sorts, threads, searches, moves, copies, files, makes a folder
// with a Japanese name, writes a mail, and sees one come.
func TestAerc(t *testing.T) {
	t.Parallel()
	const user = "aerc@example.org"
	s, tap := program(t, user)
	s.fill(t, user, 901, 6)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "aerc"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "aerc"), "aerc.conf", "[compose]\neditor=true\n[filters]\ntext/plain=cat\n")
	sendmail := write(t, dir, "sendmail", "#!/bin/sh\nexec cat >/dev/null\n")
	if err := os.Chmod(sendmail, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "aerc"), "accounts.conf", fmt.Sprintf(`[real]
source = imaps://%s:%s@localhost:%s
outgoing = %[5]s
from = Aerc <%[4]s>
default = INBOX
copy-to = Sent
postpone = Drafts
archive = Archive
`, url.QueryEscape(user), url.PathEscape(password), port(tap.imap), user, sendmail))
	term := openTerminal(t, dir, "aerc", "SSL_CERT_FILE="+s.certificate(t))
	term.see("Mail number 906")
	has := func(mailbox string, n int, flags ...imap.Flag) {
		t.Helper()
		if !await(func() bool { return s.holds(t, user, mailbox, n, &imap.SearchCriteria{Flag: flags}) }) {
			t.Fatalf("there are not %d messages with %v in %s", n, flags, mailbox)
		}
	}
	term.press(":mkdir 仕事\r")
	tap.hear(t, `SELECT "…"`) // it goes where it has made one
	term.press(":cf INBOX\r")
	term.see("Mail number 906")
	term.press(":select 0\r:flag\r")
	has("INBOX", 1, imap.FlagFlagged)
	term.press(":cp 仕事\r")
	has("仕事", 1)
	term.press(":mv Archive\r")
	has("Archive", 1)
	term.press(":view\r")
	has("INBOX", 1, imap.FlagSeen)
	term.press(":close\r:delete\r")
	has("INBOX", 4)
	term.press(":compose -H 'To: x@example.org' -H 'Subject: written'\r")
	term.see("Send this email")
	term.press(":send\r")
	has("Sent", 1, imap.FlagSeen)
	s.fill(t, user, 907, 1)
	term.see("Mail number 907")
	term.press(":sort -r subject\r")
	tap.hear(t, "UID SORT")
	term.press(":toggle-threads\r")
	tap.hear(t, "UID THREAD")
	term.press(":toggle-threads\r")
	term.press(":search -b dots\r")
	tap.hear(t, "UID SEARCH")
	term.press(":quit -f\r")
	term.wait()
	s.wantMessages(t, user, map[string]uint32{"INBOX": 5, "Archive": 1, "Sent": 1, "仕事": 1})
	tap.wantUsed(t, "IDLE", "LIST-EXTENDED", "LIST-STATUS", "MOVE", "SORT", "THREAD")
}
