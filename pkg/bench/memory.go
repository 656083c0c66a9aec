package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
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

// stat is what the kernel says of a process.
type stat struct {
	parent int
	work   time.Duration // of processors, by it and by those of its children that have ended
}

// processes are all there are.
func processes() (map[int]stat, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	all := make(map[int]stat)
	for _, path := range paths {
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
		var n [5]int
		for i, field := range [...]int{1, 11, 12, 13, 14} { // parent, utime, stime, cutime and cstime of proc(5)
			if n[i], err = strconv.Atoi(rest[field]); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
		}
		all[pid] = stat{parent: n[0], work: time.Duration(n[1]+n[2]+n[3]+n[4]) * tick}
	}
	return all, nil
}

// tick is what the kernel counts work in for user space.
const tick = time.Second / 100

// descendants are the processes themselves and all that they have started.
func descendants(pids []int) ([]int, error) {
	there, err := processes()
	if err != nil {
		return nil, err
	}
	return below(there, pids), nil
}

func below(there map[int]stat, pids []int) []int {
	children := make(map[int][]int)
	for pid, s := range there {
		children[s.parent] = append(children[s.parent], pid)
	}
	all := slices.Clone(pids)
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// Calm waits until a process and its descendants hardly work any more, or for as long as most.
func Calm(ctx context.Context, pid int, most time.Duration) error {
	const look = 10 * tick
	for end, before := time.Now().Add(most), time.Duration(-1); time.Now().Before(end); {
		there, err := processes()
		if err != nil {
			return err
		}
		var work time.Duration
		for _, p := range below(there, []int{pid}) {
			work += there[p].work
		}
		if before >= 0 && work-before <= tick {
			return nil
		}
		before = work
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
