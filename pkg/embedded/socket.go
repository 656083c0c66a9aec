package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// longest is the length of the longest path a Unix socket may have on this system, without the closing NUL.
const longest = sunPath - 1

func socketPath(dir string) string { return filepath.Join(dir, ".s.PGSQL."+port) }

// socketFolder makes the folder for the socket: in the data folder, or, when that makes too long a path, a folder of
// its own among the temporary ones.
func (s *Server) socketFolder() (string, error) {
	if len(socketPath(s.dir.run())) > longest {
		return s.temporaryFolder()
	}
	if err := os.Mkdir(s.dir.run(), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("folder of the socket: %w", err)
	}
	return s.dir.run(), s.own(s.dir.run())
}

func (s *Server) own(dir string) error {
	if err := errors.Join(os.Chmod(dir, 0o700), s.as.chown(dir)); err != nil {
		return fmt.Errorf("folder of the socket: %w", err)
	}
	return nil
}

// temporaryFolder makes a folder nobody could have foreseen, and removes the one of a run that did not end well.
func (s *Server) temporaryFolder() (string, error) {
	if err := s.dropTemporaryFolder(); err != nil {
		return "", err
	}
	var errs []error
	for _, parent := range []string{os.TempDir(), "/tmp"} {
		dir, err := os.MkdirTemp(parent, "postern-")
		if err == nil && len(socketPath(dir)) > longest {
			err = errors.Join(fmt.Errorf("%s is too long", socketPath(dir)), os.Remove(dir))
		}
		if err == nil {
			err = s.remember(dir)
		}
		if err == nil {
			return dir, s.own(dir)
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("folder of the socket: %w", errors.Join(errs...))
}

func (s *Server) remember(dir string) error {
	f, err := create(s.dir.socketDir(), os.O_WRONLY|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.WriteString(dir + "\n")
	return errors.Join(err, f.Close())
}

// dropTemporaryFolder removes what temporaryFolder made, if it did. Only its name in our own folder is believed.
func (s *Server) dropTemporaryFolder() error {
	text, err := os.ReadFile(s.dir.socketDir())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("folder of the socket: %w", err)
	}
	dir := strings.TrimSpace(string(text))
	if strings.HasPrefix(filepath.Base(dir), "postern-") {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("folder of the socket: %w", err)
		}
	}
	return os.Remove(s.dir.socketDir())
}
