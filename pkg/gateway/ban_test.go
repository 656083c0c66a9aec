package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
)

// TestBanned walks through an attack with the command line: a ban says why, other processes see it, it can be lifted, and
// who repeats one wrong password is never banned.
func TestBanned(t *testing.T) {
	t.Parallel()
	s, err := startServer(filepath.Join(workDir, "banned"), "POSTERN_PROXY_TRUSTED=127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	s.account(t, "anna@example.org")
	from := netip.MustParseAddr("203.0.113.66")
	login := func(addr netip.Addr, user, pass string) string {
		l := dialFrom(t, s.imap, addr)
		defer l.c.Close()
		l.send("a LOGIN %s \"%s\"", user, pass)
		answer := l.until("a ")
		return answer[len(answer)-1]
	}
	done := make(chan string)
	for i := range 20 {
		go func() { done <- login(from, fmt.Sprintf("user%d@example.org", i), "summer") }()
	}
	for range 20 {
		if got := <-done; !strings.HasPrefix(got, "a NO [AUTHENTICATIONFAILED]") {
			t.Error(got)
		}
	}
	var bans []struct{ Who, Reason string }
	if !await(func() bool {
		out, err := s.postern("", "ban", "list", "--json")
		return err == nil && json.Unmarshal([]byte(out), &bans) == nil && len(bans) > 0
	}) {
		t.Fatal("nobody is banned")
	}
	if bans[0].Who != "203.0.113.66/32" || !strings.Contains(bans[0].Reason, "20 different wrong passwords") {
		t.Errorf("bans: %+v", bans)
	}
	if got := login(from, "anna@example.org", password); !strings.HasPrefix(got, "a NO [UNAVAILABLE]") {
		t.Error(got)
	}
	for range 8 {
		go func() { done <- login(netip.MustParseAddr("198.51.100.7"), "anna@example.org", "stale") }()
	}
	for range 8 {
		<-done
	}
	if got := login(netip.MustParseAddr("198.51.100.7"), "anna@example.org", password); !strings.HasPrefix(got, "a OK") {
		t.Error(got)
	}
	if out, err := s.postern("", "ban", "lift", from.String()); err != nil {
		t.Fatal(out, err)
	}
	if !await(func() bool { return strings.HasPrefix(login(from, "anna@example.org", password), "a OK") }) {
		t.Error("the ban was lifted, and holds")
	}
}
