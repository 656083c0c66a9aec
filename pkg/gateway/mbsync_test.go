package gateway_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// device is a Maildir that mbsync keeps in step with the server.
type device struct {
	t       *testing.T
	dir, rc string
}

func newDevice(t *testing.T, s *server, user string) *device {
	t.Helper()
	d := &device{t: t, dir: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(d.dir, "mail"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.rc = write(t, d.dir, "mbsyncrc", fmt.Sprintf(`IMAPAccount a
Host 127.0.0.1
Port %s
User %s
Pass %q
SSLType IMAPS
CertificateFile %s
PipelineDepth 50

IMAPStore far
Account a

MaildirStore near
Path %[5]s/mail/
Inbox %[5]s/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
`, port(s.imap), user, password, s.certificate(t), d.dir))
	return d
}

// sync runs mbsync.
func (d *device) sync() {
	d.t.Helper()
	if out := command(d.t, d.dir, nil, "mbsync", "-c", d.rc, "-a"); strings.Contains(strings.ToLower(out), "error") {
		d.t.Errorf("mbsync: %s", out)
	}
}

// wantIdle syncs and checks that nothing moved: not a file on the device, not a mod-sequence on the server.
func (d *device) wantIdle(c *imapclient.Client) {
	d.t.Helper()
	before, modSeqs := d.files(), serverModSeqs(d.t, c)
	d.sync()
	if after := d.files(); !maps.Equal(before, after) {
		d.t.Errorf("a sync with nothing to do changed the device: %d files before, %d after", len(before), len(after))
	}
	if after := serverModSeqs(d.t, c); !maps.Equal(modSeqs, after) {
		d.t.Errorf("a sync with nothing to do changed the server: %v, then %v", modSeqs, after)
	}
}

// files lists the mails on the device with their times.
func (d *device) files() map[string]time.Time {
	d.t.Helper()
	found := make(map[string]time.Time)
	err := filepath.WalkDir(filepath.Join(d.dir, "mail"), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			return err
		}
		info, err := e.Info()
		if err == nil {
			found[path] = info.ModTime()
		}
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return found
}

// serverModSeqs is the HIGHESTMODSEQ of every mailbox.
func serverModSeqs(t *testing.T, c *imapclient.Client) map[string]uint64 {
	t.Helper()
	boxes, err := c.List("", "*", nil).Collect()
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]uint64)
	for _, b := range boxes {
		data, err := c.Status(b.Mailbox, &imap.StatusOptions{HighestModSeq: true}).Wait()
		if err != nil {
			t.Fatal(err)
		}
		found[b.Mailbox] = data.HighestModSeq
	}
	return found
}

// state lists what a device holds: folder, Message-ID, flags, octets.
func (d *device) state() []string {
	d.t.Helper()
	var all []string
	err := filepath.WalkDir(filepath.Join(d.dir, "mail"), func(path string, e os.DirEntry, err error) error {
		dir := filepath.Dir(path)
		if err != nil || e.IsDir() || (filepath.Base(dir) != "cur" && filepath.Base(dir) != "new") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, id, _ := bytes.Cut(b, []byte("\nMessage-ID: "))
		id, _, _ = bytes.Cut(id, []byte("\n"))
		_, flags, _ := strings.Cut(filepath.Base(path), ":2,")
		folder, _ := filepath.Rel(filepath.Join(d.dir, "mail"), filepath.Dir(dir))
		all = append(all, fmt.Sprintf("%s %s [%s] %d", folder, bytes.TrimSpace(id), flags, len(b)))
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// find returns the file of a mail of the corpus.
func (d *device) find(n int) string {
	d.t.Helper()
	out, err := exec.Command("grep", "-rl", "--include=*:2,*", fmt.Sprintf("^Message-ID: <corpus-%d@", n), filepath.Join(d.dir, "mail")).Output()
	if err != nil {
		d.t.Fatalf("mail %d: %v", n, err)
	}
	return strings.TrimSpace(string(out))
}

// TestPostfixAndTwoDevices is the product's main job on real input: Postfix delivers a thousand mails over LMTP, two
// devices pull them, and what is done on each of them and on the server reaches all.
func TestPostfixAndTwoDevices(t *testing.T) {
	t.Parallel()
	const user, n = "devices@example.org", 1000
	shared.account(t, user)
	p := startPostfix(t, shared)
	started := time.Now()
	mails := make([][]byte, n)
	for i := range mails {
		mails[i] = corpusMail(i, user)
	}
	p.submit(t, user, mails...)
	p.drain(t)
	t.Logf("Postfix delivered %d mails in %v", n, time.Since(started).Round(time.Millisecond))

	one, two := newDevice(t, shared, user), newDevice(t, shared, user)
	one.sync()
	two.sync()
	wantCorpus(t, maildirBodies(t, filepath.Join(one.dir, "mail", "INBOX")), user, 0, n)
	wantSame(t, one, two)
	c := shared.imapClient(t, user, nil)
	one.wantIdle(c)

	// On the first device: a folder in Japanese, a mail moved there, a flag. On the second: a deletion, another flag.
	japanese := makeMaildir(t, filepath.Join(one.dir, "mail", "&U9dO4Q-"))
	moved := one.find(10)
	if err := os.Rename(moved, filepath.Join(japanese, "cur", "moved-10:2,S")); err != nil {
		t.Fatal(err)
	}
	addFlag(t, one.find(20), "F")
	addFlag(t, two.find(30), "T")
	addFlag(t, two.find(40), "R")
	// On the server: one more flag, one more deletion.
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	serverStore(t, c, 50, imap.FlagFlagged)
	serverStore(t, c, 60, imap.FlagDeleted)
	if err := c.Expunge().Close(); err != nil {
		t.Fatal(err)
	}

	one.sync()
	two.sync()
	one.sync()
	wantSame(t, one, two)
	state := strings.Join(one.state(), "\n")
	for _, gone := range []string{"<corpus-30@", "<corpus-60@"} {
		if strings.Contains(state, gone) {
			t.Errorf("%s is still there", gone)
		}
	}
	for _, want := range []string{"&U9dO4Q- <corpus-10@example.com> [S]", "INBOX <corpus-20@example.com> [F", "INBOX <corpus-40@example.com> [R", "INBOX <corpus-50@example.com> [F"} {
		if !strings.Contains(state, want) {
			t.Errorf("no %q", want)
		}
	}
	two.wantIdle(c)
}

func wantSame(t *testing.T, one, two *device) {
	t.Helper()
	a, b := one.state(), two.state()
	for _, line := range a {
		if !slices.Contains(b, line) {
			t.Errorf("only the first device has %s", line)
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			t.Errorf("only the second device has %s", line)
		}
	}
}

func addFlag(t *testing.T, path, flag string) {
	t.Helper()
	base, flags, _ := strings.Cut(filepath.Base(path), ":2,")
	letters := strings.Split(flags+flag, "")
	slices.Sort(letters)
	to := filepath.Join(filepath.Dir(filepath.Dir(path)), "cur", base+":2,"+strings.Join(letters, ""))
	if err := os.Rename(path, to); err != nil {
		t.Fatal(err)
	}
}

func serverStore(t *testing.T, c *imapclient.Client, n int, flag imap.Flag) {
	t.Helper()
	found, err := c.UIDSearch(&imap.SearchCriteria{
		Header: []imap.SearchCriteriaHeaderField{{Key: "Message-ID", Value: fmt.Sprintf("<corpus-%d@", n)}},
	}, nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	uids := found.AllUIDs()
	if len(uids) != 1 {
		t.Fatalf("mail %d: found %v", n, uids)
	}
	set := imap.UIDSetNum(uids...)
	if err := c.Store(set, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{flag}, Silent: true}, nil).Close(); err != nil {
		t.Fatal(err)
	}
}
