package gateway_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// TestOfflineimap synchronises folders with Japanese names to a Maildir, twice; what is done there comes back. Then it
// stays and idles, and a mail that is delivered comes by itself.
func TestOfflineimap(t *testing.T) {
	t.Parallel()
	const user = "offlineimap@example.org"
	s, tap := program(t, user)
	s.fill(t, user, 500, 15)
	c := s.utf8Client(t, user)
	if err := c.Create("受信箱/大切", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	box := filepath.Join(dir, "mail")
	rc := write(t, dir, "rc", fmt.Sprintf(offlineimaprc, dir, box, port(tap.imap), user, password, s.certificate(t)))
	command(t, dir, nil, "offlineimap", "-o", "-c", rc)
	wantCorpus(t, maildirBodies(t, filepath.Join(box, "INBOX")), user, 500, 15)
	second := command(t, dir, nil, "offlineimap", "-o", "-c", rc)
	if strings.Contains(second, "Copy message") {
		t.Errorf("the second run copied messages:\n%s", second)
	}

	d := &device{t: t, dir: dir}
	addFlag(t, d.find(501), "F")
	if err := os.Remove(d.find(502)); err != nil {
		t.Fatal(err)
	}
	mail, err := os.ReadFile(d.find(503))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(box, "&U9dP4Xux-.&WSdSBw-", "new"), "1.by-hand", string(mail))
	command(t, dir, nil, "offlineimap", "-o", "-c", rc)
	s.wantMessages(t, user, map[string]uint32{"INBOX": 14, "受信箱/大切": 1})
	if !s.holds(t, user, "INBOX", 1, &imap.SearchCriteria{Flag: []imap.Flag{imap.FlagFlagged}}) {
		t.Error("the flag did not come")
	}
	offlineimapIdles(t, s, tap, dir, user)
	tap.wantUsed(t, "COMPRESS=DEFLATE", "ID", "IDLE")
}

// offlineimapIdles has it stay until a mail has been delivered and has come.
func offlineimapIdles(t *testing.T, s *server, tap *wiretap, dir, user string) {
	t.Helper()
	background(t, dir, "offlineimap", "-c", filepath.Join(dir, "rc"))
	tap.hear(t, "IDLE")
	s.fill(t, user, 599, 1)
	came := func() bool {
		_, ok := maildirBodies(t, filepath.Join(dir, "mail", "INBOX"))["<corpus-599@example.com>"]
		return ok
	}
	if !await(came) {
		t.Error("the mail does not come while it idles")
	}
}

const offlineimaprc = `[general]
accounts = a
metadata = %s/meta
ui = basic
fsync = false

[Account a]
localrepository = l
remoterepository = r
autorefresh = 60

[Repository l]
type = Maildir
localfolders = %s

[Repository r]
type = IMAP
remotehost = localhost
remoteport = %s
remoteuser = %s
remotepass = %s
ssl = yes
sslcacertfile = %s
ssl_version = tls1_2
usecompression = yes
expunge = yes
idlefolders = ['INBOX']
holdconnectionopen = yes
`

// TestNeomutt has neomutt open the mailbox over IMAPS with all it can: it enables QRESYNC and idles. It flags a
// message, searches on the server, saves one to another mailbox, copies one to a folder with a Japanese name, and shows one
// that comes meanwhile.
func TestNeomutt(t *testing.T) {
	t.Parallel()
	const user = "neomutt@example.org"
	s, tap := program(t, user)
	s.fill(t, user, 601, 5)
	if err := s.utf8Client(t, user).Create("大切", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	rc := write(t, dir, "rc", fmt.Sprintf(neomuttrc, user, password, s.certificate(t), dir, tap.imap))
	first := openTerminal(t, dir, "neomutt -n -F "+rc)
	first.see("Mail number 605")
	first.press("3\nF")
	first.press("l=b dots\n")
	tap.hear(t, "UID SEARCH")
	first.press("lall\n")
	first.press("1\ns=Archive\n")
	first.press("2\nC=大切\n")
	first.press("$")
	tap.hear(t, "IDLE")
	s.fill(t, user, 606, 1)
	first.see("Mail number 606")
	first.press("q")
	first.wait()
	s.wantMessages(t, user, map[string]uint32{"INBOX": 5, "Archive": 1, "大切": 1})
	if !s.holds(t, user, "INBOX", 1, &imap.SearchCriteria{Flag: []imap.Flag{imap.FlagFlagged}}) {
		t.Error("the flag did not come")
	}
	// With what it keeps from the last time.
	again := openTerminal(t, dir, "neomutt -n -F "+rc)
	again.see("Mail number 606")
	again.press("q")
	again.wait()
	tap.wantUsed(t, "ACL", "CONDSTORE", "ENABLE", "IDLE", "QRESYNC", "SASL-IR", "UTF8=ACCEPT")
}

const neomuttrc = `set imap_user=%q imap_pass=%q
set ssl_verify_host=no ssl_verify_dates=no certificate_file=%s header_cache=%s/
set folder=imaps://%s spoolfile=+INBOX sleep_time=0 confirmappend=no wait_key=no delete=yes
set imap_condstore=yes imap_qresync=yes imap_idle=yes imap_list_subscribed=yes
set record="" quit=yes copy=no mail_check=1 timeout=1 sort=mailbox-order
`

// TestImapfilter moves and copies mail by rule, to a folder with a Japanese name too, and waits for mail.
func TestImapfilter(t *testing.T) {
	t.Parallel()
	const user = "imapfilter@example.org"
	s, tap := program(t, user)
	s.fill(t, user, 701, 6)
	dir := t.TempDir()
	rc := write(t, dir, "config.lua", fmt.Sprintf(`options.timeout = 30
a = IMAP { server = 'localhost', port = %s, username = %q, password = %q, ssl = 'auto' }
a:create_mailbox('Filed')
a:create_mailbox('仕事')
a:subscribe_mailbox('仕事')
found = a:list_all('', '*')
hits = a.INBOX:contain_subject('number 70') * a.INBOX:is_unseen() * a.INBOX:is_smaller(100000)
hits:move_messages(a.Filed)
a.Filed:contain_body('dots'):copy_messages(a['仕事'])
a.Filed:match_header('number 70[12]'):mark_flagged()
a.Filed:select_all():mark_seen()
a.Filed:is_flagged():add_flags({ '$Label1' })
filed = a['仕事']
old = filed:arrived_since('01-Jan-2020') * filed:match_subject('703')
old:delete_messages()
if a.INBOX:enter_idle() then a.INBOX:is_new():mark_answered() end
`, port(tap.imap), user, password))
	wait := background(t, dir, "imapfilter", "-t", s.certificate(t), "-c", rc)
	tap.hear(t, "IDLE")
	s.fill(t, user, 707, 1)
	wait()
	s.wantMessages(t, user, map[string]uint32{"INBOX": 1, "Filed": 6, "仕事": 5})
	if !s.holds(t, user, "INBOX", 1, &imap.SearchCriteria{Flag: []imap.Flag{imap.FlagAnswered}}) {
		t.Error("what came meanwhile is not marked")
	}
	if !s.holds(t, user, "Filed", 2, &imap.SearchCriteria{Flag: []imap.Flag{imap.FlagFlagged, imap.FlagSeen, "$Label1"}}) {
		t.Error("what matched is not flagged")
	}
	tap.wantUsed(t, "IDLE", "NAMESPACE")
}
