//go:build thunderbird

package gateway_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/listen/freeport"
)

// TestThunderbird runs Thunderbird without a screen and has its own code do what its windows would ask for: list, open
// INBOX, make a folder with a Japanese name, flag, tag, copy, move, delete, search on the server, save a draft, expunge, and
// hear of a mail that comes while it idles. `make test-thunderbird` runs it.
func TestThunderbird(t *testing.T) {
	t.Parallel()
	const user = "thunderbird@example.org"
	s, tap := program(t, user)
	s.fill(t, user, 1001, 6)
	m := startThunderbird(t, tap, user)

	var folders []string
	m.run(&folders, `server.password = args[0]; server.performExpand(null);
		await until(() => server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Drafts));
		return server.rootFolder.descendants.map(f => f.name);`, password)
	for _, want := range []string{"Archive", "Drafts", "Junk", "Sent", "Trash"} {
		if !strings.Contains(strings.Join(folders, " "), want) {
			t.Errorf("%s is not listed: %q", want, folders)
		}
	}
	var subjects []string
	m.run(&subjects, `await opened(inbox()); return [...inbox().messages].map(h => h.subject);`)
	if len(subjects) != 6 || subjects[0] != "Mail number 1001" {
		t.Errorf("it sees %q", subjects)
	}
	m.run(nil, `server.rootFolder.createSubfolder("仕事", null);
		await until(() => folder("仕事"));
		inbox().markMessagesFlagged([mail(1001)], true);
		inbox().addKeywordsToMessages([mail(1002)], "$label1");
		inbox().markMessagesRead([mail(1003)], true);
		await copied(l => MailServices.copy.copyMessages(inbox(), [mail(1001), mail(1002)], folder("仕事"), false, l, null, false));
		await copied(l => MailServices.copy.copyMessages(inbox(), [mail(1004)], folder("Archive"), true, l, null, false));
		await copied(l => inbox().deleteMessages([mail(1005)], null, false, false, l, false));`)
	var hits int
	m.run(&hits, searchOnline, "dots")
	if hits != 4 {
		t.Errorf("a search of the bodies finds %d, want 4", hits)
	}
	draft := write(t, t.TempDir(), "draft.eml", "Subject: draft\r\nMessage-ID: <draft@example.org>\r\n\r\nby Thunderbird\r\n")
	m.run(nil, `const file = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile); file.initWithPath(args[0]);
		await copied(l => MailServices.copy.copyFileMessage(file, folder("Drafts"), null, false, 1, "", l, null));
		inbox().compact(null, null);
		await opened(inbox());`, draft)
	tap.hear(t, "IDLE")
	s.fill(t, user, 1007, 1)
	m.run(nil, `await until(() => mail(1007));`)
	m.quit()

	s.wantMessages(t, user, map[string]uint32{"INBOX": 5, "Archive": 1, "Trash": 1, "Drafts": 1, "仕事": 2})
	for flag, n := range map[imap.Flag]int{imap.FlagFlagged: 1, "$label1": 1, imap.FlagSeen: 1} {
		if !s.holds(t, user, "INBOX", n, &imap.SearchCriteria{Flag: []imap.Flag{flag}}) {
			t.Errorf("there are not %d with %s in INBOX", n, flag)
		}
	}
	tap.wantUsed(t, "ACL", "COMPRESS=DEFLATE", "ENABLE", "ID", "IDLE", "LIST-EXTENDED", "LITERAL+",
		"MOVE", "NAMESPACE", "QUOTA", "SPECIAL-USE", "UTF8=ACCEPT")
}

// marionette is the remote control of Mozilla's programs: one JSON array after its length and a colon.
type marionette struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	n    int
	wait func()
}

func startThunderbird(t *testing.T, tap *wiretap, user string) *marionette {
	t.Helper()
	addr := freeport.For(t)
	home := t.TempDir()
	profile := filepath.Join(home, "profile")
	if err := os.Mkdir(profile, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, profile, "prefs.js", fmt.Sprintf(thunderbirdPrefs, user, port(tap.imap), port(addr)))
	wait := background(t, home, "thunderbird", "--headless", "--no-remote", "--marionette", "--remote-allow-system-access", "--profile", profile)
	m := &marionette{t: t, wait: wait}
	var err error
	if !await(func() bool { m.conn, err = net.Dial("tcp", addr); return err == nil }) {
		t.Fatalf("it does not start: %v", err)
	}
	t.Cleanup(func() { m.conn.Close() })
	m.r = bufio.NewReader(m.conn)
	m.receive() // what it is
	m.do("WebDriver:NewSession", map[string]any{"acceptInsecureCerts": true})
	m.do("Marionette:SetContext", map[string]any{"value": "chrome"})
	return m
}

// do runs one command and returns its result.
func (m *marionette) do(name string, params map[string]any) json.RawMessage {
	m.t.Helper()
	m.n++
	text, err := json.Marshal([]any{0, m.n, name, params})
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(m.conn, "%d:%s", len(text), text); err != nil {
		m.t.Fatal(err)
	}
	var answer [4]json.RawMessage // 1, number, error, result
	if err := json.Unmarshal(m.receive(), &answer); err != nil {
		m.t.Fatal(err)
	}
	if string(answer[2]) != "null" {
		m.t.Fatalf("%s: %s", name, answer[2])
	}
	return answer[3]
}

func (m *marionette) receive() []byte {
	m.t.Helper()
	_ = m.conn.SetReadDeadline(time.Now().Add(time.Minute))
	size, err := m.r.ReadString(':')
	if err != nil {
		m.t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSuffix(size, ":"))
	if err != nil {
		m.t.Fatal(err)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(m.r, text); err != nil {
		m.t.Fatal(err)
	}
	return text
}

// run runs JavaScript inside Thunderbird and puts what it returns into result.
func (m *marionette) run(result any, script string, args ...any) {
	m.t.Helper()
	raw := m.do("WebDriver:ExecuteAsyncScript", map[string]any{
		"args": append([]any{}, args...), "newSandbox": true, "script": fmt.Sprintf(inThunderbird, script),
	})
	var answer struct {
		Value struct {
			Failed string          `json:"failed"`
			OK     json.RawMessage `json:"ok"`
		} `json:"value"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		m.t.Fatal(err)
	}
	if answer.Value.Failed != "" {
		m.t.Fatalf("%s\nin %s", answer.Value.Failed, script)
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal(answer.Value.OK, result); err != nil {
		m.t.Fatal(err)
	}
}

func (m *marionette) quit() {
	m.t.Helper()
	m.do("Marionette:Quit", map[string]any{"flags": []string{"eForceQuit"}})
	m.wait()
}

// inThunderbird surrounds each script: what it asks of Thunderbird is told by listeners or seen a little later.
const inThunderbird = `
const args = [...arguments], done = args.pop();
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const server = MailServices.accounts.accounts[0].incomingServer;
const folder = name => server.rootFolder.descendants.find(f => f.name == name);
const inbox = () => server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
const mail = n => [...inbox().messages].find(h => h.messageId == "corpus-" + n + "@example.com");
const until = async cond => {
    for (let i = 0; i < 200 && !cond(); i++) await new Promise(r => setTimeout(r, 100));
    if (!cond()) throw new Error("never: " + cond);
};
const check = (resolve, reject, status) => Components.isSuccessCode(status) ? resolve() : reject(new Error("status " + status.toString(16)));
const opened = f => new Promise((resolve, reject) => f.QueryInterface(Ci.nsIMsgImapMailFolder)
    .updateFolderWithListener(null, { OnStartRunningUrl() {}, OnStopRunningUrl(u, status) { check(resolve, reject, status) } }));
const copied = start => new Promise((resolve, reject) => start({
    onStartCopy() {}, onProgress() {}, setMessageKey() {}, getMessageId() { return null },
    onStopCopy(status) { check(resolve, reject, status) },
    QueryInterface: ChromeUtils.generateQI(["nsIMsgCopyServiceListener"]) }));
(async () => { %s })().then(v => done({ ok: v ?? null }), e => done({ failed: e + "\n" + e.stack }));
`

const searchOnline = `
const session = Cc["@mozilla.org/messenger/searchSession;1"].createInstance(Ci.nsIMsgSearchSession);
const term = session.createTerm(), value = term.value;
value.attrib = term.attrib = Ci.nsMsgSearchAttrib.Body; value.str = args[0]; term.value = value;
term.op = Ci.nsMsgSearchOp.Contains;
session.addScopeTerm(Ci.nsMsgSearchScope.onlineMail, inbox());
session.appendTerm(term);
let hits = 0;
await new Promise((resolve, reject) => {
    session.registerListener({ onNewSearch() {}, onSearchHit() { hits++ }, onSearchDone(status) { check(resolve, reject, status) } });
    session.search(null);
});
return hits;`

const thunderbirdPrefs = `
user_pref("mail.accountmanager.accounts", "account1");
user_pref("mail.accountmanager.defaultaccount", "account1");
user_pref("mail.account.account1.server", "server1");
user_pref("mail.account.account1.identities", "id1");
user_pref("mail.account.lastKey", 1);
user_pref("mail.identity.id1.useremail", "%[1]s");
user_pref("mail.identity.id1.valid", true);
user_pref("mail.server.server1.type", "imap");
user_pref("mail.server.server1.hostname", "127.0.0.1");
user_pref("mail.server.server1.port", %[2]s);
user_pref("mail.server.server1.userName", "%[1]s");
user_pref("mail.server.server1.name", "%[1]s");
user_pref("mail.server.server1.socketType", 3);
user_pref("mail.server.server1.authMethod", 3);
user_pref("mail.shell.checkDefaultClient", false);
user_pref("mail.provider.suppress_dialog_on_startup", true);
user_pref("mail.spotlight.firstRunDone", true);
user_pref("mailnews.start_page.enabled", false);
user_pref("mailnews.start_page_override.mstone", "ignore");
user_pref("app.donation.eoy.version.viewed", 999);
user_pref("mail.rights.version", 1);
user_pref("datareporting.policy.dataSubmissionPolicyBypassNotification", true);
user_pref("datareporting.healthreport.uploadEnabled", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("app.update.enabled", false);
user_pref("extensions.update.enabled", false);
user_pref("services.settings.server", "data:,");
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("marionette.port", %[3]s);
`
