package gateway_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// programs is the server of the tests with real IMAP programs. Nothing else uses it, so that its metrics speak of them alone.
var programs struct {
	sync.Once
	*server
	err error
}

// stopPrograms ends that server, if a test has used it.
func stopPrograms() {
	if programs.server != nil {
		programs.stop()
	}
}

// program makes an account and a wiretap for one mail program. When the test ends, no command of any program may have
// been answered with BAD, nor any have failed through our fault.
func program(t *testing.T, user string) (*server, *wiretap) {
	t.Helper()
	programs.Do(func() { programs.server, programs.err = startServer(filepath.Join(workDir, "programs")) })
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	s := programs.server
	s.account(t, user)
	t.Cleanup(func() { wantNoBad(t, s) })
	return s, newWiretap(t, s)
}

var badCommands = regexp.MustCompile(`(?m)^postern_imap_commands_total\{.*result="(?:bad|error)".*$`)

func wantNoBad(t *testing.T, s *server) {
	resp, err := http.Get("http://" + s.http + "/metrics")
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	for _, line := range badCommands.FindAllString(string(text), -1) {
		t.Errorf("a program was answered with BAD or failed: %s", line)
	}
}

// wantMessages checks how many messages there are in mailboxes.
func (s *server) wantMessages(t *testing.T, user string, want map[string]uint32) {
	t.Helper()
	c := s.utf8Client(t, user)
	for mailbox, n := range want {
		data, err := c.Status(mailbox, &imap.StatusOptions{NumMessages: true}).Wait()
		if err != nil {
			t.Errorf("STATUS %s: %v", mailbox, err)
		} else if *data.NumMessages != n {
			t.Errorf("%d messages in %s, want %d", *data.NumMessages, mailbox, n)
		}
	}
}

// holds returns whether a mailbox holds n messages that satisfy c.
func (s *server) holds(t *testing.T, user, mailbox string, n int, c *imap.SearchCriteria) bool {
	t.Helper()
	client := s.utf8Client(t, user)
	defer client.Close()
	if _, err := client.Select(mailbox, &imap.SelectOptions{ReadOnly: true}).Wait(); err != nil {
		t.Fatalf("EXAMINE %s: %v", mailbox, err)
	}
	data, err := client.UIDSearch(c, nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	return len(data.AllUIDs()) == n
}

// utf8Client logs in with a client that may say names in UTF-8, as go-imap's does where there is IMAP4rev2.
func (s *server) utf8Client(t *testing.T, user string) *imapclient.Client {
	t.Helper()
	c := s.imapClient(t, user, nil)
	if _, err := c.Enable(imap.CapUTF8Accept).Wait(); err != nil {
		t.Fatal(err)
	}
	return c
}

// background starts a client that stays. It is ended with the test; wait waits for it to end by itself, in peace.
func background(t *testing.T, dir, name string, args ...string) (wait func()) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		if t.Failed() {
			t.Logf("%s: %s", name, out.String())
		}
	})
	return func() {
		t.Helper()
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}
