package gateway_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2/imapclient"
)

// fill delivers mails first … first+n-1 of the corpus to an account.
func (s *server) fill(t *testing.T, address string, first, n int) {
	t.Helper()
	for i := range n {
		if err := s.deliver("sender@example.com", address, bytes.NewReader(corpusMail(first+i, address))); err != nil {
			t.Fatal(err)
		}
	}
}

// inbox counts the messages in INBOX.
func (s *server) inbox(t *testing.T, user string) int {
	t.Helper()
	data, err := s.imapClient(t, user, nil).Select("INBOX", nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	return int(data.NumMessages)
}

// TestFetchmail has fetchmail empty an INBOX on which an IMAP session idles: the session hears of every message that
// goes, and a second POP3 session is kept out meanwhile.
func TestFetchmail(t *testing.T) {
	t.Parallel()
	const user, n = "fetchmail@example.org", 30
	shared.account(t, user)
	shared.fill(t, user, 0, n)

	gone := make(chan uint32, n)
	idler := shared.imapClient(t, user, &imapclient.Options{
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{Expunge: func(seq uint32) { gone <- seq }},
	})
	if _, err := idler.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	idle, err := idler.Idle()
	if err != nil {
		t.Fatal(err)
	}

	// fetchmail hands each message to this MDA, which stops at the first one until the test has looked.
	dir := t.TempDir()
	box := filepath.Join(dir, "box")
	mda := write(t, dir, "mda", fmt.Sprintf("#!/bin/sh\ncat >>%s\nif ! test -e %s/seen; then touch %s/seen; cat %s/gate >/dev/null; fi\n", box, dir, dir, dir))
	if err := os.Chmod(mda, 0o700); err != nil {
		t.Fatal(err)
	}
	command(t, dir, nil, "mkfifo", "gate")
	rc := write(t, dir, "rc", fmt.Sprintf("poll localhost via 127.0.0.1 protocol pop3 port %s user %q password %q ssl\n no sslcertck nokeep fetchall mda %q\n",
		port(shared.pop3), user, password, mda))
	done := make(chan string, 1)
	go func() {
		defer close(done)
		done <- command(t, dir, []string{"FETCHMAILHOME=" + dir}, "fetchmail", "-f", rc)
	}()

	// Opening the gate for writing waits until the MDA reads, that is until fetchmail is in the middle of its session.
	gate, err := os.OpenFile(filepath.Join(dir, "gate"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	second := dialTLS(t, shared.pop3)
	second.until("+OK")
	second.send("USER %s", user)
	second.until("+OK")
	second.send("PASS %s", password)
	if got := second.until("-ERR"); !strings.Contains(got[0], "[IN-USE]") {
		t.Errorf("a second session heard %q, want -ERR [IN-USE]", got)
	}
	gate.Close()
	t.Log(<-done)

	for range n {
		if seq := <-gone; seq == 0 {
			t.Fatal("EXPUNGE 0")
		}
	}
	if err := idle.Close(); err != nil {
		t.Fatal(err)
	}
	if left := shared.inbox(t, user); left != 0 {
		t.Errorf("%d messages left", left)
	}
	got, err := os.ReadFile(box)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if c := bytes.Count(got, fmt.Appendf(nil, "Message-ID: <corpus-%d@", i)); c != 1 {
			t.Errorf("mail %d came %d times", i, c)
		}
	}
}

// tuid is the line that mbsync adds to the header of what it copies, to find it again after a crash.
var tuid = regexp.MustCompile(`\nX-TUID: \S+\n`)

// maildirBodies reads the messages of a Maildir, by their Message-ID.
func maildirBodies(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for _, sub := range []string{"new", "cur"} {
		files, err := filepath.Glob(filepath.Join(dir, sub, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			text := tuid.ReplaceAllString(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n")
			_, id, _ := strings.Cut(text, "\nMessage-ID: ")
			id, _, _ = strings.Cut(id, "\n")
			if _, twice := found[id]; twice {
				t.Errorf("%s: %s is there twice", dir, id)
			}
			found[id] = text
		}
	}
	return found
}

// wantCorpus checks that bodies holds mails first … first+n-1, each ending in what was delivered.
func wantCorpus(t *testing.T, bodies map[string]string, address string, first, n int) {
	t.Helper()
	if len(bodies) != n {
		t.Errorf("%d messages, want %d", len(bodies), n)
	}
	for i := first; i < first+n; i++ {
		want := strings.ReplaceAll(string(corpusMail(i, address)), "\r\n", "\n")
		if got := bodies[fmt.Sprintf("<corpus-%d@example.com>", i)]; !strings.HasSuffix(got, want) {
			t.Errorf("mail %d: got %d octets that do not end in the %d delivered", i, len(got), len(want))
		}
	}
}

func makeMaildir(t *testing.T, dir string) string {
	t.Helper()
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestGetmail has getmail6 download and delete, keeping the octets.
func TestGetmail(t *testing.T) {
	t.Parallel()
	const user, n = "getmail@example.org", 20
	shared.account(t, user)
	shared.fill(t, user, 100, n)
	dir := t.TempDir()
	box := makeMaildir(t, filepath.Join(dir, "box"))
	// getmail does not write a Maildir as root, but it runs a program that does.
	mda := write(t, dir, "mda", fmt.Sprintf("#!/bin/sh\ncat >%s/new/$$\n", box))
	if err := os.Chmod(mda, 0o700); err != nil {
		t.Fatal(err)
	}
	rc := write(t, dir, "getmailrc", fmt.Sprintf(`[retriever]
type = SimplePOP3SSLRetriever
server = 127.0.0.1
port = %s
username = %s
password = %s

[destination]
type = MDA_external
path = %s
unixfrom = false
allow_root_commands = true

[options]
delete = true
received = false
delivered_to = false
`, port(shared.pop3), user, password, mda))
	command(t, dir, nil, "getmail", "--getmaildir="+dir, "--rcfile="+rc)
	wantCorpus(t, maildirBodies(t, box), user, 100, n)
	if left := shared.inbox(t, user); left != 0 {
		t.Errorf("%d messages left", left)
	}
}

// TestMpop has mpop download over a pipelined session, keep the mail, and find nothing new the second time.
func TestMpop(t *testing.T) {
	t.Parallel()
	const user, n = "mpop@example.org", 20
	shared.account(t, user)
	shared.fill(t, user, 200, n)
	dir := t.TempDir()
	box := makeMaildir(t, filepath.Join(dir, "box"))
	rc := write(t, dir, "mpoprc", fmt.Sprintf(`account default
host 127.0.0.1
port %s
user %s
password %q
auth user
tls on
tls_starttls off
tls_certcheck off
pipelining on
keep on
received_header off
uidls_file %s/uidls
delivery maildir %s
`, port(shared.pop3), user, password, dir, box))
	command(t, dir, nil, "mpop", "--file="+rc)
	command(t, dir, nil, "mpop", "--file="+rc)
	wantCorpus(t, maildirBodies(t, box), user, 200, n)
	if left := shared.inbox(t, user); left != n {
		t.Errorf("%d messages left, want %d", left, n)
	}
}

// TestPoplib has Python's poplib check STAT, LIST, UIDL, TOP and RETR against each other.
func TestPoplib(t *testing.T) {
	t.Parallel()
	const user = "poplib@example.org"
	shared.account(t, user)
	shared.fill(t, user, 300, 12)
	dir := t.TempDir()
	script := write(t, dir, "t.py", `
import poplib, ssl, sys
p = poplib.POP3_SSL('127.0.0.1', int(sys.argv[1]), context=ssl._create_unverified_context())
assert 'UIDL' in p.capa() and 'TOP' in p.capa(), p.capa()
p.user(sys.argv[2]); p.pass_(sys.argv[3])
n, size = p.stat()
assert n == 12, n
sizes = [int(l.split()[1]) for l in p.list()[1]]
assert sum(sizes) == size, (sizes, size)
uids = [l.split()[1] for l in p.uidl()[1]]
assert len(set(uids)) == 12 and all(len(u) <= 70 for u in uids), uids
for i in range(1, n + 1):
    _, text, _ = p.retr(i)
    assert len(b'\r\n'.join(text)) + 2 == sizes[i - 1], (i, sizes[i - 1])
    _, top, _ = p.top(i, 2)
    assert top == text[:len(top)] and len(top) == min(text.index(b'') + 3, len(text)), i
p.dele(3); p.rset(); p.dele(5); p.quit()
p = poplib.POP3_SSL('127.0.0.1', int(sys.argv[1]), context=ssl._create_unverified_context())
p.user(sys.argv[2]); p.pass_(sys.argv[3])
again = [l.split()[1] for l in p.uidl()[1]]
assert again == uids[:4] + uids[5:], (uids, again)
p.quit()
`)
	command(t, dir, nil, "python3", script, port(shared.pop3), user, password)
}
