package postgres

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"postern/pkg/store"
)

// TestCertificates keeps to what certmagic.Storage asks for, seen by two processes.
func TestCertificates(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	here, there := f.s.Certificates(), f.open().Certificates()
	for _, key := range []string{"certs/ca/a.test/a.test.key", "certs/ca/a.test/a.test.crt", "certs/ca/b.test/b.test.key", "certs/other", "certsx/a", "acme/ca/users"} {
		if err := here.Store(ctx, key, []byte("value of "+key)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := there.Load(ctx, "certs/other")
	if err != nil || string(got) != "value of certs/other" {
		t.Errorf("Load: %q, %v", got, err)
	}
	if err := there.Store(ctx, "certs/other", []byte("new")); err != nil {
		t.Fatal(err)
	}
	if got, err := here.Load(ctx, "certs/other"); err != nil || string(got) != "new" {
		t.Errorf("Load: %q, %v", got, err)
	}
	info, err := here.Stat(ctx, "certs/other")
	if err != nil || info.Size != 3 || !info.IsTerminal || info.Key != "certs/other" || time.Since(info.Modified).Abs() > time.Minute {
		t.Errorf("Stat: %+v, %v", info, err)
	}
	if info, err := here.Stat(ctx, "certs/ca"); err != nil || info.IsTerminal {
		t.Errorf("Stat of a folder: %+v, %v", info, err)
	}
	checkLists(t, there)
	if err := there.Delete(ctx, "certs/ca/a.test"); err != nil {
		t.Fatal(err)
	}
	if err := there.Delete(ctx, "certs/nothing"); err != nil {
		t.Errorf("Delete of nothing: %v", err)
	}
	for key, want := range map[string]bool{"certs/ca/a.test": false, "certs/ca/b.test": true, "certs/ca": true, "certsx": true, "cert": false} {
		if here.Exists(ctx, key) != want {
			t.Errorf("Exists(%q) is not %t", key, want)
		}
	}
	checkMissing(t, here)
}

func checkLists(t *testing.T, s certmagic.Storage) {
	t.Helper()
	for _, tt := range []struct {
		path      string
		recursive bool
		want      string
	}{
		{"certs", false, "certs/ca certs/other"},
		{"certs", true, "certs/ca/a.test/a.test.crt certs/ca/a.test/a.test.key certs/ca/b.test/b.test.key certs/other"},
		{"certs/ca", false, "certs/ca/a.test certs/ca/b.test"},
		{"", false, "acme certs certsx"},
	} {
		got, err := s.List(t.Context(), tt.path, tt.recursive)
		slices.Sort(got)
		if err != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("List(%q, %t): %v, %v, want %s", tt.path, tt.recursive, got, err, tt.want)
		}
	}
}

func checkMissing(t *testing.T, s certmagic.Storage) {
	t.Helper()
	if _, err := s.Load(t.Context(), "certs/ca/a.test/a.test.key"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load: %v", err)
	}
	if _, err := s.Stat(t.Context(), "nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat: %v", err)
	}
	if _, err := s.List(t.Context(), "nothing", true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("List: %v", err)
	}
}

// TestCertificatesAreSealed: the database alone tells no private key, and a value cannot be moved to another place.
func TestCertificatesAreSealed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := f.s.Certificates()
	secret := []byte("-----BEGIN PRIVATE KEY-----")
	if err := c.Store(t.Context(), "a", secret); err != nil {
		t.Fatal(err)
	}
	var stored []byte
	if err := f.s.pool.QueryRow(t.Context(), `select value from certificates where key = 'a'`).Scan(&stored); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(stored, secret[5:20]) {
		t.Error("it can be read")
	}
	if _, err := f.s.pool.Exec(t.Context(), `update certificates set key = 'b'`); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Load(t.Context(), "b"); err == nil {
		t.Errorf("loaded %q from another place", got)
	}
}

// TestCertificateLock: one holder at a time, whichever process it is of; who dies with it holds nobody up for long.
func TestCertificateLock(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	here, there := f.s.Certificates(), f.open().Certificates().(certmagic.TryLocker)
	if err := here.Lock(t.Context(), "order"); err != nil {
		t.Fatal(err)
	}
	if ok, err := there.TryLock(t.Context(), "order"); ok || err != nil {
		t.Fatalf("it was taken twice: %v", err)
	}
	if ok, err := there.TryLock(t.Context(), "another"); !ok || err != nil {
		t.Fatalf("another one is not free: %v", err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := f.s.Certificates().Lock(soon, "order"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for it: %v", err)
	}
	taken := make(chan error, 1)
	go func() { taken <- there.(certmagic.Locker).Lock(t.Context(), "order") }()
	if err := here.Unlock(t.Context(), "order"); err != nil {
		t.Error(err)
	}
	if err := <-taken; err != nil {
		t.Errorf("after it was free: %v", err)
	}
	if err := here.Unlock(t.Context(), "order"); err == nil {
		t.Error("what is not held was unlocked")
	}
	if _, err := f.s.pool.Exec(t.Context(), `update certificate_locks set expires_at = now()`); err != nil { // its holder is dead
		t.Fatal(err)
	}
	if err := here.Lock(t.Context(), "order"); err != nil {
		t.Error(err)
	}
	if err := here.Unlock(t.Context(), "order"); err != nil {
		t.Error(err)
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	for _, name := range []string{"IMAP.Customer.Example", "imap.customer.example.", "メール.example"} {
		if err := f.s.AddHost(ctx, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "localhost", "a b.example", strings.Repeat("a.", 130) + "example", "-.example"} {
		if err := f.s.AddHost(ctx, name); !errors.Is(err, store.ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for name, want := range map[string]bool{"imap.customer.example": true, "xn--fcki3g2c.example": false, "pop.customer.example": false, "": false, "メール.example": true} {
		if got, err := f.s.HasHost(ctx, name); got != want || err != nil {
			t.Errorf("HasHost(%q) = %t, %v", name, got, err)
		}
	}
	if err := f.s.RemoveHost(ctx, "imap.customer.example"); err != nil {
		t.Error(err)
	}
	if err := f.s.RemoveHost(ctx, "imap.customer.example"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	list, err := f.s.Hosts(ctx)
	if err != nil || len(list) != 1 || !strings.HasPrefix(list[0].Name, "xn--") {
		t.Errorf("%v, %v", list, err)
	}
}
