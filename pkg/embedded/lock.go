package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// fileLock is an advisory lock on a file. The kernel gives it back when the process dies, however it dies; children do
// not inherit it, because Go opens files close-on-exec.
type fileLock struct{ f *os.File }

// acquire takes the lock for us alone, trying for a while, and writes our process number into the file.
func acquire(ctx context.Context, path string, wait time.Duration) (*fileLock, error) {
	f, err := create(path, os.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("lock file: %w", err)
	}
	for until := time.Now().Add(wait); ; {
		err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		if time.Now().After(until) {
			return nil, errors.Join(fmt.Errorf("%w: process %s holds %s; stop it, or choose another data_dir", ErrInUse, owner(f), path), f.Close())
		}
		if err := pause(ctx, pollEvery); err != nil {
			return nil, errors.Join(fmt.Errorf("%w: %s: %w", ErrInUse, path, err), f.Close())
		}
	}
	l := &fileLock{f}
	if err := l.sign(); err != nil {
		return nil, errors.Join(err, l.release())
	}
	return l, nil
}

// sign leaves our process number for the message of those who find the file locked.
func (l *fileLock) sign() error {
	if err := l.f.Truncate(0); err != nil {
		return fmt.Errorf("lock file: %w", err)
	}
	if _, err := l.f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return fmt.Errorf("lock file: %w", err)
	}
	return nil
}

func owner(f *os.File) string {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 32))
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return pid
	}
	return "unknown"
}

// lockShared takes a share of the lock; it does not wait, for the owner takes it alone only in order to stop.
func lockShared(path string) (*fileLock, error) {
	f, err := create(path, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	if err := flock(f, syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrNotRunning
		}
		return nil, errors.Join(err, f.Close())
	}
	return &fileLock{f}, nil
}

// isLocked reports whether somebody holds the lock. A file that is not there is not locked.
func isLocked(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock file: %w", err)
	}
	err = flock(f, syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, f.Close()
	}
	return false, errors.Join(err, f.Close()) // closing gives the share back
}

// release gives the lock back; nil holds nothing.
func (l *fileLock) release() error {
	if l == nil {
		return nil
	}
	return l.f.Close()
}

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
