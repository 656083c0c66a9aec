package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// postmaster is what the server wrote about itself into postmaster.pid.
type postmaster struct {
	pid       int
	socketDir string // empty until it listens
}

// readPostmaster returns the zero value when there is no such file.
func readPostmaster(cluster string) (postmaster, error) {
	text, err := os.ReadFile(pidFile(cluster))
	if errors.Is(err, os.ErrNotExist) {
		return postmaster{}, nil
	}
	if err != nil {
		return postmaster{}, fmt.Errorf("postmaster.pid: %w", err)
	}
	lines := strings.Split(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil {
		return postmaster{}, fmt.Errorf("postmaster.pid: %w", err)
	}
	pm := postmaster{pid: pid}
	if len(lines) > 5 { // process, data folder, start time, port, folder of the socket, …
		pm.socketDir = strings.TrimSpace(lines[4])
	}
	return pm, nil
}

func pidFile(cluster string) string { return filepath.Join(cluster, "postmaster.pid") }

// settleOrphan makes sure that no server is running on the cluster (invariant 3): one that outlived the process that
// started it is stopped; the trace of one that is dead is removed, because its process number may by now be another's
// and postgres would then refuse to start. Postgres itself still refuses while a process uses the shared memory that
// belongs to the folder.
func (s *Server) settleOrphan(ctx context.Context) error {
	pm, err := readPostmaster(s.dir.cluster())
	if err != nil {
		return err
	}
	if pm.pid <= 0 {
		return nil
	}
	alive := func() bool { return isPostmaster(pm.pid, s.dir.cluster()) }
	if alive() {
		s.opt.log("stopping a PostgreSQL that outlived its owner", "pid", pm.pid)
		if err := stopOrphan(ctx, pm.pid, alive); err != nil {
			return err
		}
	}
	if err := os.Remove(pidFile(s.dir.cluster())); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove stale postmaster.pid: %w", err)
	}
	return nil
}

func stopOrphan(ctx context.Context, pid int, alive func() bool) error {
	for _, step := range []struct {
		sig  syscall.Signal
		wait time.Duration
	}{{syscall.SIGINT, stopWait}, {syscall.SIGQUIT, quitWait}} {
		if err := syscall.Kill(pid, step.sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop PostgreSQL, process %d: %w", pid, err)
		}
		for until := time.Now().Add(step.wait); time.Now().Before(until); {
			if !alive() {
				return nil
			}
			if err := pause(ctx, pollEvery); err != nil {
				return fmt.Errorf("stop PostgreSQL, process %d: %w", pid, err)
			}
		}
	}
	return fmt.Errorf("PostgreSQL, process %d, does not stop", pid)
}
