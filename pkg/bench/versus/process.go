package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	startWait = 2 * time.Minute // another program is at work meanwhile
	stopWait  = time.Minute
	tailSize  = 4 << 10 // of a log, for an error
)

// process is a server that runs beside us. err may be read once exited is closed.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error
}

// start starts a command in a group of its own: a Ctrl-C at the terminal is ours to handle.
func start(cmd *exec.Cmd) (*process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		p.err = cmd.Wait()
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the process as an operator would, and for good when it does not obey.
func (p *process) stop() error {
	if p == nil {
		return nil
	}
	select {
	case <-p.exited:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop process %d: %w", p.pid(), err)
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(stopWait):
	}
	err := fmt.Errorf("process %d did not stop and was killed", p.pid())
	return errors.Join(err, syscall.Kill(-p.pid(), syscall.SIGKILL))
}

// await waits until the process is ready, ends, or has taken too long.
func (p *process) await(ctx context.Context, ready <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	select {
	case <-ready:
		return nil
	case <-p.exited:
		return fmt.Errorf("it ended by itself: %w", p.err)
	case <-ctx.Done():
		return fmt.Errorf("it did not become ready: %w", context.Cause(ctx))
	}
}

// tail is the end of a log, for an error.
func tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	text, err := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-tailSize), tailSize))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}
