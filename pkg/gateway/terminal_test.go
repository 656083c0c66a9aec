package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// terminal runs a program with a screen and a keyboard.
type terminal struct {
	t        *testing.T
	cmd      *exec.Cmd
	keyboard io.WriteCloser

	mu     sync.Mutex
	screen bytes.Buffer // all that was ever drawn
	since  int          // how much of that was there when a key was last pressed
}

// openTerminal starts a program in a terminal of its own, with dir for its home. It is ended with the test at the latest.
func openTerminal(t *testing.T, dir, program string, env ...string) *terminal {
	t.Helper()
	term := &terminal{t: t, cmd: exec.Command("script", "-qfec", "stty rows 40 cols 160; exec "+program, "/dev/null")}
	term.cmd.Dir, term.cmd.Env = dir, append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "TERM=xterm", "LC_ALL=C.UTF-8")
	term.cmd.Env = append(term.cmd.Env, env...)
	term.cmd.Stdout, term.cmd.Stderr = term, term
	var err error
	if term.keyboard, err = term.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := term.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if term.cmd.ProcessState == nil {
			_ = term.cmd.Process.Kill()
			_ = term.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("the screen:\n%q", term.drawn(0))
		}
	})
	return term
}

func (term *terminal) Write(p []byte) (int, error) {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.screen.Write(p)
}

func (term *terminal) drawn(from int) string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return string(term.screen.Bytes()[from:])
}

// press presses keys.
func (term *terminal) press(format string, args ...any) {
	term.t.Helper()
	term.mu.Lock()
	term.since = term.screen.Len()
	term.mu.Unlock()
	if _, err := fmt.Fprintf(term.keyboard, format, args...); err != nil {
		term.t.Fatal(err)
	}
}

// see waits until a text has been drawn since the last key.
func (term *terminal) see(text string) {
	term.t.Helper()
	if !await(func() bool { return strings.Contains(term.drawn(term.since), text) }) {
		term.t.Fatalf("%q is never drawn", text)
	}
}

// wait waits for the program's end.
func (term *terminal) wait() {
	term.t.Helper()
	if err := term.cmd.Wait(); err != nil {
		term.t.Fatalf("it ended with: %v", err)
	}
}
