package slack

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets this program be one that serves, for TestCoalesce.
func TestMain(m *testing.M) {
	if os.Getenv("SHOW_SLACK") == "" {
		os.Exit(m.Run())
	}
	if os.Getenv("SHOW_SLACK") == "removed" {
		_ = os.Remove(os.Args[0]) // it will say so by beginning again
	}
	if err := Coalesce(); err != nil {
		fmt.Println(errors.Is(err, syscall.ENOENT), os.Environ())
		os.Exit(1)
	}
	shown := make(chan uintptr)
	go func() { // in whichever thread
		ns, _ := timerSlack()
		shown <- ns
	}()
	fmt.Println(os.Getpid(), time.Duration(<-shown), os.Args[1:], os.Getenv(mark))
}

// TestCoalesce: the program begins again, once, as the same process and with its arguments.
func TestCoalesce(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0], "serve", "--here")
	cmd.Env = append(os.Environ(), "SHOW_SLACK=yes", mark+"=1") // what another has left
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatal(err, out.String())
	}
	if want := fmt.Sprintln(cmd.Process.Pid, Timers, []string{"serve", "--here"}, ""); out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

// TestCannot: a program that has been removed goes on as it is, and the programs it starts are told nothing.
func TestCannot(t *testing.T) {
	t.Parallel()
	gone := os.Args[0] + ".removed"
	if err := os.Link(os.Args[0], gone); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(gone) //nolint:errcheck // it removes itself
	cmd := exec.Command(gone)
	cmd.Env = []string{"SHOW_SLACK=removed"}
	out, err := cmd.CombinedOutput()
	if want := "true [SHOW_SLACK=removed]\n"; err == nil || string(out) != want {
		t.Errorf("%q, %v; want %q", out, err, want)
	}
}
