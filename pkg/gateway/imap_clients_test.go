package gateway_test

import (
	"strings"
	"testing"
)

// TestCurl reads a mail over both protocols as the README's lines do.
func TestCurl(t *testing.T) {
	t.Parallel()
	const user = "curl@example.org"
	s, tap := program(t, user)
	s.fill(t, user, 1, 2)
	dir, login := t.TempDir(), user+":"+password
	list := command(t, dir, nil, "curl", "-sSk", "--user", login, "imaps://"+tap.imap)
	for _, want := range []string{"INBOX", `\Sent`, `\Trash`, `\Drafts`, `\Junk`, `\Archive`} {
		if !strings.Contains(list, want) {
			t.Errorf("LIST lacks %s:\n%s", want, list)
		}
	}
	byIMAP := command(t, dir, nil, "curl", "-sSk", "--user", login, "imaps://"+tap.imap+"/INBOX;MAILINDEX=1")
	byPOP3 := command(t, dir, nil, "curl", "-sSk", "--user", login, "pop3s://"+s.pop3+"/1")
	if byIMAP != byPOP3 || !strings.HasSuffix(byIMAP, string(corpusMail(1, user))) {
		t.Errorf("IMAP gave %d octets, POP3 %d", len(byIMAP), len(byPOP3))
	}
	found := command(t, dir, nil, "curl", "-sSk", "--user", login, "imaps://"+tap.imap+"/INBOX?SUBJECT%20number%202")
	if strings.TrimSpace(found) != "* SEARCH 2" {
		t.Errorf("SEARCH gave %q", found)
	}
	upload := write(t, dir, "up.eml", "Subject: uploaded\r\n\r\nby curl\r\n")
	command(t, dir, nil, "curl", "-sSk", "--user", login, "--upload-file", upload, "imaps://"+tap.imap+"/Drafts")
	s.wantMessages(t, user, map[string]uint32{"INBOX": 2, "Drafts": 1})
	tap.wantUsed(t, "SASL-IR")
}

// TestImaplib has Python's imaplib append, search, store, copy, move and expunge.
func TestImaplib(t *testing.T) {
	t.Parallel()
	const user = "imaplib@example.org"
	s, tap := program(t, user)
	s.fill(t, user, 400, 12)
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
	command(t, dir, nil, "python3", script, port(tap.imap), user, password)
	s.wantMessages(t, user, map[string]uint32{"INBOX": 8})
	tap.wantUsed(t, "MOVE")
}
