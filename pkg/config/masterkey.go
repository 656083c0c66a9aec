package config

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// keySize is the length of the master key in octets: AES-256.
const keySize = 32

// MasterKey reads the key that seals the keys of the accounts. If there is no file, and the setting does not name one,
// it makes a new key, writes it down so that it outlives a crash, and reports that: the operator must be told that
// whoever loses the file loses the mail. Several processes may call it at once; they get the same key.
func (c *Config) MasterKey() (key []byte, made bool, err error) {
	path := c.Crypt.MasterKeyFile
	key, err = readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, false, err
	}
	if c.IsSet("crypt.master_key_file") {
		return nil, false, fmt.Errorf("crypt.master_key_file: %w; restore it from its backup, or, if there is no mail yet, make one: "+
			"“(umask 077; head -c 32 /dev/urandom | base64 > %s)”", err, path)
	}
	if err := makeKey(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, false, fmt.Errorf("make a master key: %w", err)
	}
	key, err = readKey(path)
	return key, true, err
}

func readKey(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	key, ok := decodeKey(bytes.TrimSpace(text))
	if !ok {
		return nil, fmt.Errorf("master key: %s does not hold %d octets in base64 or hexadecimal", path, keySize)
	}
	return key, nil
}

func decodeKey(text []byte) ([]byte, bool) {
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if key, err := decode(string(text)); err == nil && len(key) == keySize {
			return key, true
		}
	}
	return nil, false
}

// giveToOwnerOf has a command that root runs make no file that the service, which is not root, could not read.
func giveToOwnerOf(dir string, f *os.File) error {
	info, err := os.Stat(dir)
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
		return f.Chown(int(st.Uid), int(st.Gid))
	}
	return nil
}

// makeKey writes a new key to a file that must not exist yet. It appears under its name whole or not at all, and is on
// disk before anything is sealed with it.
func makeKey(path string) error {
	key := make([]byte, keySize)
	rand.Read(key) // it ends the program rather than fail
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".master.key-") // with mode 0600
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, base64.StdEncoding.EncodeToString(key))
	err = errors.Join(err, giveToOwnerOf(dir, f), f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), path) // unlike a rename, it does not replace another's key
	}
	if err := errors.Join(err, os.Remove(f.Name())); err != nil {
		return err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
