package gateway_test

import (
	"encoding/json"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
)

// TestLoginHistory has logins from home and from elsewhere: the history has them, and the owner a mail about the second.
func TestLoginHistory(t *testing.T) {
	t.Parallel()
	s, err := startServer(filepath.Join(workDir, "history"), "POSTERN_PROXY_TRUSTED=127.0.0.1", "POSTERN_AUTH_NOTICE=true")
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	s.account(t, "anna@example.org")
	type row struct{ Address, Protocol, Mechanism, Client, Result string }
	var rows []row
	written := func(n int) func() bool {
		return func() bool {
			out, err := s.postern("", "account", "logins", "anna@example.org", "--json")
			return err == nil && json.Unmarshal([]byte(out), &rows) == nil && len(rows) == n
		}
	}
	home := dialFrom(t, s.imap, netip.MustParseAddr("192.0.2.1"))
	home.send(`a ID ("name" "Mutt")` + "\r\nb LOGIN anna@example.org wrong\r\nc LOGIN anna@example.org \"" + password + "\"\r\nd SELECT INBOX")
	home.until("d OK")
	if !await(written(2)) {
		t.Fatalf("history: %+v", rows)
	}
	away := dialFrom(t, s.pop3, netip.MustParseAddr("2001:db8::7"))
	away.send("USER anna@example.org\r\nPASS %s\r\nQUIT", password)
	away.until("+OK Bye")
	if !await(written(3)) {
		t.Fatalf("history: %+v", rows)
	}
	want := []row{
		{"2001:db8::7", "pop3", "LOGIN", "", "ok"},
		{"192.0.2.1", "imap", "LOGIN", "Mutt", "ok"},
		{"192.0.2.1", "imap", "LOGIN", "Mutt", "wrong password"},
	}
	for i := range want {
		if rows[i] != want[i] {
			t.Errorf("row %d: %+v, want %+v", i, rows[i], want[i])
		}
	}
	if !await(func() bool {
		home.send("e NOOP")
		return strings.Contains(strings.Join(home.until("e "), "\n"), "* 1 EXISTS")
	}) {
		t.Fatal("no mail")
	}
	home.send("f FETCH 1 BODY[]")
	mail := strings.Join(home.until("f OK"), "\n")
	for _, fact := range []string{"Subject: New login to anna@example.org", "2001:db8::7", "POP3"} {
		if !strings.Contains(mail, fact) {
			t.Errorf("no %q in %s", fact, mail)
		}
	}
}
