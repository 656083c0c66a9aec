package config

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestMasterKeyMade has no key anywhere: one is made, once, however many ask at once.
func TestMasterKeyMade(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	c, err := given{env: []string{"POSTERN_DATA_DIR=" + dir}}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	keys := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			var err error
			if keys[i], _, err = c.MasterKey(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, key := range keys {
		if len(key) != keySize || !bytes.Equal(key, keys[0]) || bytes.Equal(key, make([]byte, keySize)) {
			t.Fatalf("keys %x", keys)
		}
	}
	again, made, err := c.MasterKey()
	if err != nil || made || !bytes.Equal(again, keys[0]) {
		t.Errorf("again: %x, %v, %v", again, made, err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != "master.key" {
		t.Fatalf("files %v, %v", files, err)
	}
	if info, err := files[0].Info(); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestMasterKeyNamed has a setting that names the file: it must be there, for a mistyped name must not make a new key.
func TestMasterKeyNamed(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{0xfb, 0xff}, 16)
	for name, tt := range map[string]struct {
		text string
		ok   bool
	}{
		"base64":                 {base64.StdEncoding.EncodeToString(key) + "\n", true},
		"base64, no padding":     {base64.RawStdEncoding.EncodeToString(key), true},
		"base64, for URLs":       {base64.URLEncoding.EncodeToString(key), true},
		"hexadecimal":            {hex.EncodeToString(key) + "\r\n", true},
		"hexadecimal, large":     {strings.ToUpper(hex.EncodeToString(key)), true},
		"too short":              {hex.EncodeToString(key[1:]), false},
		"too long":               {hex.EncodeToString(append(key, 1)), false},
		"the octets as they are": {string(key), false},
		"empty":                  {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := given{env: []string{"POSTERN_CRYPT_MASTER_KEY_FILE=" + writeFile(t, "key", tt.text)}}.load(t)
			if err != nil {
				t.Fatal(err)
			}
			got, made, err := c.MasterKey()
			if made || (err == nil) != tt.ok || (tt.ok && !bytes.Equal(got, key)) {
				t.Errorf("MasterKey = %x, %v, %v", got, made, err)
			}
		})
	}
	missing := filepath.Join(t.TempDir(), "missing")
	c, err := given{env: []string{"POSTERN_CRYPT_MASTER_KEY_FILE=" + missing}}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	if _, made, err := c.MasterKey(); made || err == nil || !strings.Contains(err.Error(), "base64 > "+missing) {
		t.Errorf("a missing file: %v, %v", made, err)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("the missing file has been made")
	}
}

// TestMasterKeyOwner has root run the first command on the folder of a service that does not run as root.
func TestMasterKeyOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	owner := os.Geteuid()
	if owner == 0 {
		owner = 65534
		if err := os.Chown(dir, owner, owner); err != nil {
			t.Fatal(err)
		}
	}
	c, err := given{env: []string{"POSTERN_DATA_DIR=" + dir}}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	if _, made, err := c.MasterKey(); err != nil || !made {
		t.Fatalf("MasterKey: %v, %v", made, err)
	}
	info, err := os.Stat(c.Crypt.MasterKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != owner {
		t.Errorf("the key belongs to %d, want %d", st.Uid, owner)
	}
}
