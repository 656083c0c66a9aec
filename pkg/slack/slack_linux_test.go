package slack

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestMain lets this program be one that serves, for TestCoalesce.
func TestMain(m *testing.M) {
	if os.Getenv("SHOW_SLACK") == "" {
		os.Exit(m.Run())
	}
	if err := Coalesce(); err != nil {
		fmt.Println(err)
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
	cmd.Env = append(os.Environ(), "SHOW_SLACK=yes")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatal(err, out.String())
	}
	if want := fmt.Sprintln(cmd.Process.Pid, Timers, []string{"serve", "--here"}, ""); out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
