package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestStop ends a program that obeys, and may be asked twice.
func TestStop(t *testing.T) {
	t.Parallel()
	p, err := start(exec.Command("sleep", "1000"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join("/proc", "self", "stat")); err == nil && p.err == nil {
		t.Error("it ended by itself")
	}
}

// TestAwait waits for a program that ends before it is ready.
func TestAwait(t *testing.T) {
	t.Parallel()
	p, err := start(exec.Command("false"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.await(t.Context(), make(chan struct{})); err == nil || !strings.Contains(err.Error(), "ended by itself") {
		t.Errorf("%v", err)
	}
	ready := make(chan struct{})
	close(ready)
	q, err := start(exec.Command("sleep", "1000"))
	if err != nil {
		t.Fatal(err)
	}
	if err := q.await(t.Context(), ready); err != nil {
		t.Error(err)
	}
	if err := q.stop(); err != nil {
		t.Error(err)
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(strings.Repeat("x", 2*tailSize)+"\nlast line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := tail(path); len(got) > tailSize || !strings.HasSuffix(got, "\nlast line") {
		t.Errorf("%d octets, %.20q", len(got), got)
	}
	if got := tail(path + ".none"); !strings.Contains(got, "no such file") {
		t.Errorf("%q", got)
	}
}

// TestConfiguration writes Dovecot's for whoever runs the tests.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pair := filepath.Join(dir, "pair")
	if err := os.WriteFile(pair, []byte("certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := newDovecot(t.Context(), dovecotOptions{dir: dir, pair: pair, fsync: "always", users: []string{"ann@example.org"}, hash: "$argon2id$x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.close(); err != nil { // it was never started
		t.Error(err)
	}
	for name, want := range map[string]string{
		"users": "ann@example.org:{ARGON2ID}$argon2id$x\n", "dovecot.conf": "\nmail_fsync = always\n", "pair.pem": "certificate",
	} {
		text, err := os.ReadFile(filepath.Join(d.dir, name))
		if err != nil || !strings.Contains(string(text), want) || strings.Contains(string(text), "no value") {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

func TestFilesystem(t *testing.T) {
	t.Parallel()
	if got := filesystem("/proc/self"); !strings.HasPrefix(got, "proc (") {
		t.Errorf("/proc is of kind %s", got)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"-messages", "50000", "-steps", "fetch-*,append"}, io.Discard)
	if err != nil || o.bench.Messages != 50000 || len(o.bench.Steps) != 2 || o.fsync != "always" {
		t.Errorf("%+v, %v", o, err)
	}
	for _, wrong := range [][]string{{"-rounds", "0"}, {"-messages", "none"}, {"more"}} {
		if _, err := parse(wrong, io.Discard); err == nil {
			t.Errorf("%v is taken", wrong)
		}
	}
}
