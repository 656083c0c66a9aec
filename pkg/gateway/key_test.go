package gateway_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMasterKeyLost loses the master key, and has another one in its place: both are refused before anything is touched,
// with a message that names the file, and the right key opens everything again.
func TestMasterKeyLost(t *testing.T) {
	t.Parallel()
	s, err := startServer(filepath.Join(workDir, t.Name()))
	if err != nil {
		t.Fatal(err)
	}
	s.account(t, "key@example.org")
	s.stop()
	file := filepath.Join(s.dir, "master.key")
	key, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(want string) {
		t.Helper()
		out, err := s.postern("", "serve")
		if err == nil || !strings.Contains(out, want) || !strings.Contains(out, file) || !strings.Contains(out, "backup") {
			t.Errorf("want %q: %v\n%s", want, err, out)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	refused("there was none in")
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("a key that opens nothing was left in place: %v", err)
	}
	write(t, s.dir, "master.key", base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{9}, 32)))
	refused("restore " + file)
	write(t, s.dir, "master.key", string(key))
	if out, err := s.postern("", "account", "list"); err != nil || !strings.Contains(out, "key@example.org") {
		t.Errorf("with the right key: %v\n%s", err, out)
	}
}
