package embedded

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// process is a child that has been started. err may be read once exited is closed.
type process struct {
	pid    int
	exited chan struct{}
	err    error
	handle *os.Process
}

// spawn starts a child and waits for it on a thread that lives as long as the child: the death signal that dieWithUs
// asks for is sent when the thread that forked ends, not the process.
func spawn(cmd *exec.Cmd) (*process, error) {
	p := &process{exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid, p.handle = cmd.Process.Pid, cmd.Process
		}
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, <-started
}

// signal fails only when it comes too late: then the child is gone, which is what every signal of ours is for.
func (p *process) signal(sig syscall.Signal) { _ = p.handle.Signal(sig) }

// killGroup ends a child and its children; it is the leader of a session of its own.
func killGroup(pid int) {
	_ = syscall.Kill(-pid, syscall.SIGKILL) // gone already, or not ours: nothing more can be done
}

// environment is ours without what would change the meaning of our settings.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "PG") || strings.HasPrefix(kv, "POSTERN_") || strings.HasPrefix(kv, "LC_") || strings.HasPrefix(kv, "LANG")
	})
}
