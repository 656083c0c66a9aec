//go:build !linux

package embedded

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

const sunPath = 104 // unix(4) of the BSDs

// dieWithUs cannot be had here; a server that outlives us is stopped by the next start.
func dieWithUs(*exec.Cmd, syscall.Signal) {}

// isPostmaster reports whether a process is a postgres that was started on the cluster, by its command line.
func isPostmaster(pid int, cluster string) bool {
	out, err := exec.Command("ps", "-p", strconv.Itoa(pid), "-o", "command=").Output()
	line := string(out)
	return err == nil && strings.Contains(line, "postgres") && strings.Contains(line, "-D "+cluster)
}
