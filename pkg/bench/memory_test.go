package bench

import (
	"bufio"
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"
)

// TestCalm waits for a program that works, below another, until it is told to stop.
func TestCalm(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("/bin/sh", "-c", `sh -c 'echo works; while :; do :; done' & read stop; kill $!; wait; echo rests; read end`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // read has failed: that is how it ends
	})
	said := bufio.NewScanner(out)
	for _, word := range []string{"works", "rests"} {
		if !said.Scan() || said.Text() != word {
			t.Fatalf("%q, want %q", said.Text(), word)
		}
		if word == "works" {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := Calm(ctx, cmd.Process.Pid, time.Minute); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
			if _, err := in.Write([]byte("\n")); err != nil {
				t.Fatal(err)
			}
		}
	}
	begun := time.Now()
	if err := Calm(t.Context(), cmd.Process.Pid, time.Hour); err != nil || time.Since(begun) > 30*time.Minute {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
}
