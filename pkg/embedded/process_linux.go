package embedded

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const sunPath = 108 // unix(7)

// dieWithUs has the kernel signal the child when we die, however we die. See spawn.
func dieWithUs(cmd *exec.Cmd, sig syscall.Signal) { cmd.SysProcAttr.Pdeathsig = sig }

// isPostmaster reports whether a process is alive, a postgres and at work in the cluster: postgres makes the data
// folder its working directory. A process that is dead but not yet waited for has none.
func isPostmaster(pid int, cluster string) bool {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	cwd, err := os.Readlink(filepath.Join(proc, "cwd"))
	if err != nil || cwd != cluster {
		return false
	}
	comm, err := os.ReadFile(filepath.Join(proc, "comm"))
	name := strings.TrimSpace(string(comm))
	return err == nil && (name == "postgres" || name == "postmaster")
}
