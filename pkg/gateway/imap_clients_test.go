package gateway_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestCurl reads a mail over both protocols as the README's lines do.
func TestCurl(t *testing.T) {
	t.Parallel()
	const user = "curl@example.org"
	shared.account(t, user)
	shared.fill(t, user, 1, 2)
	dir, login := t.TempDir(), user+":"+password
	list := command(t, dir, nil, "curl", "-sSk", "--user", login, "imaps://"+shared.imap)
	for _, want := range []string{"INBOX", `\Sent`, `\Trash`, `\Drafts`, `\Junk`, `\Archive`} {
		if !strings.Contains(list, want) {
			t.Errorf("LIST lacks %s:\n%s", want, list)
		}
	}
	byIMAP := command(t, dir, nil, "curl", "-sSk", "--user", login, "imaps://"+shared.imap+"/INBOX;MAILINDEX=1")
	byPOP3 := command(t, dir, nil, "curl", "-sSk", "--user", login, "pop3s://"+shared.pop3+"/1")
	if byIMAP != byPOP3 || !strings.HasSuffix(byIMAP, string(corpusMail(1, user))) {
		t.Errorf("IMAP gave %d octets, POP3 %d", len(byIMAP), len(byPOP3))
	}
	found := command(t, dir, nil, "curl", "-sSk", "--user", login, "imaps://"+shared.imap+"/INBOX?SUBJECT%20number%202")
	if strings.TrimSpace(found) != "* SEARCH 2" {
		t.Errorf("SEARCH gave %q", found)
	}
	upload := write(t, dir, "up.eml", "Subject: uploaded\r\n\r\nby curl\r\n")
	command(t, dir, nil, "curl", "-sSk", "--user", login, "--upload-file", upload, "imaps://"+shared.imap+"/Drafts")
}

// TestImaplib has Python's imaplib append, search, store, copy, move and expunge.
func TestImaplib(t *testing.T) {
	t.Parallel()
	const user = "imaplib@example.org"
	shared.account(t, user)
	shared.fill(t, user, 400, 12)
	dir := t.TempDir()
	script := write(t, dir, "t.py", `
import imaplib, ssl, sys, re
M = imaplib.IMAP4_SSL('127.0.0.1', int(sys.argv[1]), ssl_context=ssl._create_unverified_context())
def ok(r):
    assert r[0] == 'OK', r
    return r[1]
ok(M.login(sys.argv[2], sys.argv[3]))
assert ok(M.select('INBOX')) == [b'12']
assert len(ok(M.search(None, 'ALL'))[0].split()) == 12
assert ok(M.search('UTF-8', 'SUBJECT', '"number 401"'.encode())) == [b'2']
name = '"&U9dO4Q- &Jjo-"'
ok(M.create(name)); ok(M.subscribe(name))
assert any(name.encode() in l for l in ok(M.list())), ok(M.list())
assert any(name.encode() in l for l in ok(M.lsub()))
ok(M.append(name, r'(\Seen $Label1)', imaplib.Time2Internaldate(1700000000), b'Subject: hi\r\n\r\nbody\r\n'))
ok(M.copy('1:3', name))
assert ok(M.uid('MOVE', '4:5', name)) is not None
assert ok(M.status(name, '(MESSAGES UNSEEN)'))[0].endswith(b'(MESSAGES 6 UNSEEN 5)'), M.status(name, '(MESSAGES UNSEEN)')
assert len(ok(M.search(None, 'ALL'))[0].split()) == 10
assert len(M.response('EXPUNGE')[1]) == 2
ok(M.store('1:2', '+FLAGS', r'(\Deleted)'))
assert ok(M.expunge()) == [b'1', b'1']
ok(M.select(name))
head, body = ok(M.fetch('1', '(FLAGS INTERNALDATE RFC822.SIZE BODY[])'))[0]
assert body == b'Subject: hi\r\n\r\nbody\r\n' and b'$Label1' in head and b'RFC822.SIZE 21' in head, head
whole = ok(M.fetch('2', '(BODY.PEEK[])'))[0][1]
parts = b''
for off in range(0, len(whole), 100):
    parts += ok(M.fetch('2', '(BODY.PEEK[]<%d.100>)' % off))[0][1]
assert parts == whole
ok(M.fetch('1:*', '(ENVELOPE BODYSTRUCTURE)'))
ok(M.rename(name, 'Elsewhere/Deep')); ok(M.close()); ok(M.delete('Elsewhere/Deep'))
typ, _ = M.select('Elsewhere/Deep'); assert typ == 'NO'
M.logout()
`)
	command(t, dir, nil, "python3", script, port(shared.imap), user, password)
}

// TestOfflineimap synchronises folders with Japanese names to a Maildir, twice; flags set there come back.
func TestOfflineimap(t *testing.T) {
	t.Parallel()
	const user = "offlineimap@example.org"
	shared.account(t, user)
	shared.fill(t, user, 500, 15)
	c := shared.imapClient(t, user, nil)
	if err := c.Create("受信箱/大切", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	box := filepath.Join(dir, "mail")
	rc := write(t, dir, "rc", fmt.Sprintf(`[general]
accounts = a
metadata = %s/meta
ui = basic
fsync = false

[Account a]
localrepository = l
remoterepository = r

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
usecompression = no
`, dir, box, port(shared.imap), user, password, shared.certificate(t)))
	command(t, dir, nil, "offlineimap", "-o", "-c", rc)
	wantCorpus(t, maildirBodies(t, filepath.Join(box, "INBOX")), user, 500, 15)
	second := command(t, dir, nil, "offlineimap", "-o", "-c", rc)
	if strings.Contains(second, "Copy message") {
		t.Errorf("the second run copied messages:\n%s", second)
	}
}

// TestNeomutt has neomutt open the mailbox over IMAPS, flag a message and save another.
func TestNeomutt(t *testing.T) {
	t.Parallel()
	const user = "neomutt@example.org"
	shared.account(t, user)
	shared.fill(t, user, 600, 5)
	dir := t.TempDir()
	rc := write(t, dir, "rc", fmt.Sprintf(`set imap_user=%q imap_pass=%q
set ssl_verify_host=no ssl_verify_dates=no certificate_file=%s
set folder=imaps://%s spoolfile=+INBOX header_cache="" sleep_time=0 confirmappend=no wait_key=no delete=yes
set record="" quit=yes
push "<flag-message><next-entry><save-message>=Archive<enter><sync-mailbox><quit>"
`, user, password, shared.certificate(t), shared.imap))
	command(t, dir, []string{"TERM=vt100"}, "script", "-qec", "neomutt -n -F "+rc, filepath.Join(dir, "typescript"))
	c := shared.imapClient(t, user, nil)
	data, err := c.Select("INBOX", nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	archive, err := c.Select("Archive", nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	if data.NumMessages != 4 || archive.NumMessages != 1 {
		t.Errorf("INBOX has %d and Archive %d, want 4 and 1", data.NumMessages, archive.NumMessages)
	}
}

// TestImapfilter moves mail by rule.
func TestImapfilter(t *testing.T) {
	t.Parallel()
	const user = "imapfilter@example.org"
	shared.account(t, user)
	shared.fill(t, user, 701, 6)
	dir := t.TempDir()
	rc := write(t, dir, "config.lua", fmt.Sprintf(`options.timeout = 30
a = IMAP { server = 'localhost', port = %s, username = %q, password = %q, ssl = 'auto' }
a:create_mailbox('Filed')
hits = a.INBOX:contain_subject('number 70') * a.INBOX:is_unseen()
hits:move_messages(a.Filed)
a.INBOX:select_all():mark_seen()
`, port(shared.imap), user, password))
	command(t, dir, nil, "imapfilter", "-t", shared.certificate(t), "-c", rc)
	c := shared.imapClient(t, user, nil)
	filed, err := c.Select("Filed", nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	if filed.NumMessages != 6 {
		t.Errorf("%d messages filed, want 6", filed.NumMessages)
	}
}
