package gateway_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"postern/pkg/listen/freeport"
)

// startDemo runs `postern demo` as it is in a fresh folder, but for the ports, and returns when it has told how to use it.
func startDemo(t *testing.T, dir string) *server {
	t.Helper()
	s := &server{dir: dir, env: os.Environ(), log: new(bytes.Buffer)}
	for _, name := range []string{"IMAP", "POP3", "LMTP", "HTTP"} {
		addr := freeport.For(t)
		s.env = append(s.env, fmt.Sprintf("POSTERN_%s_LISTEN=%s", name, addr))
	}
	s.cmd = exec.Command(binary, "demo")
	s.cmd.Dir, s.cmd.Env = dir, s.env
	s.cmd.Stdout, s.cmd.Stderr = (*serverLog)(s), (*serverLog)(s)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() }) // if the test has not stopped it
	if !await(func() bool { return strings.Contains(s.output(), "Stop with Ctrl-C.") }) {
		t.Fatalf("the demonstration is not ready:\n%s", s.output())
	}
	return s
}

// TestDemo does what a newcomer does: starts the demonstration, pastes the lines it prints, stops it with Ctrl-C, and
// starts it once more.
func TestDemo(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(workDir, "demo")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	first := pasteCurls(t, dir)
	if again := pasteCurls(t, dir); again != first {
		t.Errorf("the second start shows\n%s\nthe first\n%s", again, first)
	}
}

// pasteCurls starts the demonstration, runs its curl lines, stops it, and returns the password and what curl printed.
func pasteCurls(t *testing.T, dir string) string {
	t.Helper()
	s := startDemo(t, dir)
	lines := regexp.MustCompile(`(?m)^ +(curl .+)$`).FindAllStringSubmatch(s.output(), -1)
	if len(lines) != 5 {
		t.Fatalf("%d lines with curl:\n%s", len(lines), s.output())
	}
	account := regexp.MustCompile(`Account (\S+), password (\S+)`).FindStringSubmatch(s.output())
	if account == nil {
		t.Fatalf("no account:\n%s", s.output())
	}
	shown := account[0] + "\n"
	for i, want := range []string{
		`"/" INBOX`,                           // folders
		"Content-Type: text/plain; charset=I", // the second mail, in Japanese
		"* SEARCH 1",                          // what is found
		"5 ",                                  // the list of a maildrop
		"Subject: Welcome to Postern",         // a mail
	} {
		out := command(t, dir, nil, "sh", "-c", lines[i][1]+" 2>/dev/null") // of how far it is
		if !strings.Contains(out, want) {
			t.Errorf("%s: no %q in\n%s", lines[i][1], want, out)
		}
		shown += out
	}
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v\n%s", err, s.output())
	}
	return shown
}
