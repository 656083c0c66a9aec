package postgres

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"postern/pkg/auth"
	"postern/pkg/store"
)

// TestSCRAMSalt: an account has one salt, that of its own keys if there are some, whoever asks first, and it stays. Keys of another
// salt are not taken at a renewal.
func TestSCRAMSalt(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	ctx := t.Context()
	const user = "salt@example.org"
	id, err := s.CreateAccount(ctx, user, "hash", 0)
	if err != nil {
		t.Fatal(err)
	}
	var salts [8]auth.Salt
	var asking sync.WaitGroup
	for i := range salts {
		asking.Go(func() {
			salt, err := s.SCRAMSalt(ctx, id)
			if err != nil {
				t.Error(err)
			}
			salts[i] = salt
		})
	}
	asking.Wait()
	for _, salt := range salts {
		if salt == "" || salt != salts[0] {
			t.Fatalf("salts %q", salts)
		}
	}
	other, err := auth.NewSecrets("correct horse battery", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RenewSecrets(ctx, id, "hash", other); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("keys of another salt: %v", err)
	}
	if c, err := s.Credential(ctx, user); err != nil || c.Salt != salts[0] || c.SCRAM != "" {
		t.Errorf("%+v, %v", c, err)
	}

	older, err := s.CreateAccount(ctx, "older@example.org", "hash", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RenewSecrets(ctx, older, "hash", other); err != nil {
		t.Fatal(err)
	}
	if salt, err := s.SCRAMSalt(ctx, older); err != nil || salt != auth.SaltOf(other.SCRAM) {
		t.Errorf("%q, %v; want that of %q", salt, err, other.SCRAM)
	}
	if _, err := s.SCRAMSalt(ctx, 1<<40); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("nobody's: %v", err)
	}
}

// TestAppPasswordKeys: keys of app passwords come back, and are kept sealed.
func TestAppPasswordKeys(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	ctx := t.Context()
	id, err := s.CreateAccount(ctx, "appkeys@example.org", "hash", 0)
	if err != nil {
		t.Fatal(err)
	}
	salt, err := s.SCRAMSalt(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	_, p, err := auth.NewAppPassword(salt)
	if err != nil {
		t.Fatal(err)
	}
	p.Name = "phone"
	for _, made := range []auth.AppPassword{p, {Name: "from before", Digest: p.Digest}} {
		if _, err := s.AddAppPassword(ctx, id, made); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.AppPasswords(ctx, id)
	if err != nil || len(all) != 2 || all[0].SCRAM != p.SCRAM || all[1].SCRAM != "" {
		t.Errorf("%+v, %v", all, err)
	}
	var kept string
	err = s.pool.QueryRow(ctx, `select scram from app_passwords where account_id = $1 order by password_id limit 1`, id).Scan(&kept)
	if err != nil || kept == "" || strings.Contains(kept, "SCRAM") {
		t.Errorf("kept as %q, %v", kept, err)
	}
}
