package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestChooseUser(t *testing.T) {
	t.Parallel()
	as, err := chooseUser("", "/nowhere")
	if err != nil {
		t.Fatal(err)
	}
	if root := os.Geteuid() == 0; root != (as != nil) {
		t.Errorf("as root (%v) the server runs as %+v", root, as)
	}
	if _, err := lookup("root"); err == nil {
		t.Error("lookup(root) finds somebody to run as")
	}
	if _, err := lookup("no-such-user"); err == nil {
		t.Error("lookup(no-such-user) finds somebody to run as")
	}
}

// TestKeepsOwner has a cluster that belongs to another user than the first choice.
func TestKeepsOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return // nobody else's folder can be made
	}
	nobody, err := lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t)
	if err := nobody.chown(dir); err != nil {
		t.Fatal(err)
	}
	if as, err := chooseUser("", dir); err != nil || as.name != "nobody" {
		t.Errorf("chooseUser = %+v, %v; want nobody", as, err)
	}
	f, err := create(filepath.Join(dir, "lock"), os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if uid, _ := ownerOf(f.Name()); uid != int(nobody.cred.Uid) {
		t.Errorf("a file in another's folder belongs to %d", uid)
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := create(filepath.Join(dir, "link"), os.O_RDWR); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("create follows a link: %v", err)
	}
}

// TestUnreachable has a data folder below one that is closed to the unprivileged user, as /root is.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return // we run the server ourselves, and can reach what is ours
	}
	closed := folder(t) // mode 0700, and ours
	_, err := Start(within(t), Options{DataDir: filepath.Join(closed, "data")})
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "may not enter "+closed+" ") {
		t.Errorf("Start below a closed folder: %v", err)
	}
}

func TestMayEnter(t *testing.T) {
	t.Parallel()
	as := &runAs{cred: syscall.Credential{Uid: 1, Gid: 10, Groups: []uint32{10, 11}}}
	for _, tt := range []struct {
		mode     os.FileMode
		uid, gid uint32
		want     bool
	}{
		{0o700, 1, 0, true},
		{0o077, 1, 10, false}, // the owner's bits alone count for the owner
		{0o710, 0, 10, true},
		{0o710, 0, 11, true},
		{0o701, 0, 11, false},
		{0o710, 0, 12, false},
		{0o701, 0, 12, true},
	} {
		info := fakeInfo{mode: tt.mode, st: syscall.Stat_t{Uid: tt.uid, Gid: tt.gid}}
		if got := as.mayEnter(info); got != tt.want {
			t.Errorf("mode %o of %d:%d: %v, want %v", tt.mode, tt.uid, tt.gid, got, tt.want)
		}
	}
}

type fakeInfo struct {
	os.FileInfo
	mode os.FileMode
	st   syscall.Stat_t
}

func (i fakeInfo) Mode() os.FileMode { return i.mode }
func (i fakeInfo) Sys() any          { return &i.st }
