package gateway_test

import (
	"crypto/rand"
	"path/filepath"
	"strings"
	"testing"
)

// TestTooSlow has more clients than there are connections to the database ask for a large message and take none of it, and others
// stop in the middle of what they send. Somebody else is served meanwhile; those are sent away when their time is over, and
// counted.
func TestTooSlow(t *testing.T) {
	t.Parallel()
	s, err := startServer(filepath.Join(workDir, "slow-"+rand.Text()), "POSTERN_LIMITS_STALL=10s", "POSTERN_DATABASE_MAX_CONNS=8")
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	const readers = 12
	large := "Subject: large\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 16<<20/78)
	for _, user := range []string{"anna@example.org", "bert@example.org"} {
		s.account(t, user)
		if err := s.deliver("sender@example.com", user, strings.NewReader(large)); err != nil {
			t.Fatal(err)
		}
	}
	login := func() *lines {
		l := dialTLS(t, s.imap)
		l.send("a LOGIN anna@example.org \"%s\"\r\nb SELECT INBOX", password)
		l.until("b OK")
		return l
	}
	for range readers {
		login().send("c FETCH 1 BODY[]")
	}
	pop := dialTLS(t, s.pop3)
	pop.send("USER bert@example.org\r\nPASS %s", password)
	pop.until("+OK Logged in")
	pop.send("RETR 1")
	writer := login()
	writer.send("c APPEND INBOX {100}\r\nSubject: x")
	mta := dialClear(t, s.lmtp)
	mta.send("LHLO localhost\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\nSubject: x")

	other := login()
	other.send("c FETCH 1 (FLAGS ENVELOPE)\r\nd NOOP")
	other.until("d OK")
	writer.until("* BYE Too slow.")
	mta.until("421 4.4.2")
	want := map[string]float64{
		`postern_imap_limited_total{limit="slow-reader"}`: readers, `postern_imap_limited_total{limit="slow-writer"}`: 1,
		`postern_pop3_limited_total{limit="slow-reader"}`: 1, `postern_lmtp_limited_total{limit="slow-writer"}`: 1,
	}
	for name, n := range want {
		if !await(func() bool { return s.metric(t, name) == n }) {
			t.Errorf("%s is %v, want %v", name, s.metric(t, name), n)
		}
	}
	other.send("e NOOP")
	other.until("e OK")
}
