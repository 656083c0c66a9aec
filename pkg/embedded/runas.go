package embedded

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// candidates are the users to run as when we are root and nobody says which: the first that exists.
var candidates = []string{"postern", "postgres", "nobody"}

// runAs is the unprivileged user that the server runs as when we are root.
type runAs struct {
	name string
	cred syscall.Credential
}

// chooseUser returns nil when we are not root: then the server runs as ourselves. A cluster that exists keeps its
// owner unless the setting names another.
func chooseUser(name, cluster string) (*runAs, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if name != "" {
		return lookup(name)
	}
	if uid, ok := ownerOf(cluster); ok && uid != 0 {
		if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
			return lookup(u.Username)
		}
	}
	for _, name := range candidates {
		if as, err := lookup(name); err == nil {
			return as, nil
		}
	}
	return nil, fmt.Errorf("PostgreSQL does not run as root and none of the users %v exists; make one or set embedded.user", candidates)
}

func lookup(name string) (*runAs, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("user to run PostgreSQL as: %w", err)
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of %s: %w", name, err)
	}
	var numbers []uint32
	for _, id := range append([]string{u.Uid, u.Gid}, ids...) {
		n, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		numbers = append(numbers, uint32(n))
	}
	if numbers[0] == 0 {
		return nil, fmt.Errorf("PostgreSQL does not run as %s, who is root; set embedded.user to another", name)
	}
	return &runAs{name, syscall.Credential{Uid: numbers[0], Gid: numbers[1], Groups: numbers[2:]}}, nil
}

func ownerOf(path string) (uid int, ok bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}

// chown gives a file or folder to the user; nil gives nothing.
func (as *runAs) chown(path string) error {
	if as == nil {
		return nil
	}
	return os.Lchown(path, int(as.cred.Uid), int(as.cred.Gid))
}

// chownAll gives a folder with all that is in it to the user, if it is another's.
func (as *runAs) chownAll(root string) error {
	if as == nil {
		return nil
	}
	if uid, ok := ownerOf(root); !ok || uid == int(as.cred.Uid) {
		return nil
	}
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		return as.chown(path)
	})
	if err != nil {
		return err
	}
	return as.chown(root) // last, so that an interruption is made good the next time
}

// create opens a file of ours in the data folder, making it if need be. It follows no link. When we are root and the
// folder belongs to another, a gateway that does not run as root made it and must be able to use the file after us.
func create(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil || os.Geteuid() != 0 {
		return f, err
	}
	if uid, ok := ownerOf(filepath.Dir(path)); ok && uid != 0 {
		if err := f.Chown(uid, -1); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

// command makes a command that runs as the user, in a session of its own: a Ctrl-C at the terminal is ours to handle,
// or postgres would be gone before the sessions have been told.
func (as *runAs) command(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if as != nil {
		cmd.SysProcAttr.Credential = &as.cred
	}
	return cmd
}

// checkReach tries whether the user can enter the data folder and run the server, by doing both: permission bits alone
// do not tell (access lists, security modules). The bits then serve to name the folder that is in the way.
func checkReach(bin binaries, as *runAs, dir string) error {
	err := as.command(dir, bin.postgres(), "--version").Run()
	if err == nil {
		return nil
	}
	if as == nil {
		return fmt.Errorf("run %s in %s: %w", bin.postgres(), dir, err)
	}
	if !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("run %s as %s: %w", bin.postgres(), as.name, err)
	}
	for _, path := range []string{dir, bin.postgres()} {
		if closed := as.closedFolder(path); closed != "" {
			return fmt.Errorf("%w: the user %s, as whom PostgreSQL runs, may not enter %s on the way to %s; "+
				"allow it (chmod o+x %s) or choose another place (data_dir)", ErrUnreachable, as.name, closed, path, closed)
		}
	}
	return fmt.Errorf("%w: run %s in %s as %s: %w", ErrUnreachable, bin.postgres(), dir, as.name, err)
}

// closedFolder returns the first folder on the way to path, itself included, that the user may not enter by its
// permission bits, or "".
func (as *runAs) closedFolder(path string) string {
	if parent := filepath.Dir(path); parent != path {
		if closed := as.closedFolder(parent); closed != "" {
			return closed
		}
	}
	info, err := os.Stat(path)
	if err != nil || as.mayEnter(info) {
		return ""
	}
	return path
}

func (as *runAs) mayEnter(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	mode := info.Mode().Perm()
	switch {
	case st.Uid == as.cred.Uid:
		return mode&0o100 != 0
	case st.Gid == as.cred.Gid, slices.Contains(as.cred.Groups, st.Gid):
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}
