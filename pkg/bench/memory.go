package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// MemoryOf makes a Target's Memory of its processes: the resident octets of these and all their descendants, what
// several of them share counted once (the kernel's PSS). It reads /proc, so it works on Linux, for the processes of the
// same user or as root.
func MemoryOf(pids ...int) func() (int64, error) {
	return func() (int64, error) {
		all, err := descendants(pids)
		if err != nil {
			return 0, err
		}
		var sum int64
		for _, pid := range all {
			octets, err := proportional(pid)
			if errors.Is(err, fs.ErrPermission) || err != nil && slices.Contains(pids, pid) {
				return 0, err
			}
			sum += octets // a process that has ended meanwhile has none
		}
		return sum, nil
	}
}

// proportional is the PSS of a process.
func proportional(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "Pss:" {
			kb, err := strconv.ParseInt(fields[1], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("memory of process %d: the kernel does not say", pid)
}

// descendants are the processes themselves and all that they have started.
func descendants(pids []int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return nil, err
		}
		// The name stands in parentheses and may hold anything; state and parent follow it.
		rest := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if parent, err := strconv.Atoi(rest[1]); err == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	all := slices.Clone(pids)
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all, nil
}
