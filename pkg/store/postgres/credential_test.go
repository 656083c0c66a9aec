package postgres

import (
	"errors"
	"strings"
	"testing"

	"postern/pkg/auth"
	"postern/pkg/store"
)

// TestSecrets sets and renews what is kept of a password: keys of SCRAM are sealed, an epoch begins with a new password only,
// and what cannot be read is as if it were not there.
func TestSecrets(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	ctx := t.Context()
	const user = "secrets@example.org"
	id, err := s.CreateAccount(ctx, user, "one", 0)
	if err != nil {
		t.Fatal(err)
	}
	check := func(hash, keys string, epoch int64) {
		t.Helper()
		c, err := s.Credential(ctx, user)
		if err != nil || c.Secret != hash || c.SCRAM != keys || c.Epoch != epoch {
			t.Errorf("%+v, %v", c, err)
		}
	}
	check("one", "", 0)
	if err := s.RenewSecrets(ctx, id, "one", auth.Secrets{Hash: "two", SCRAM: "keys"}); err != nil {
		t.Error(err)
	}
	check("two", "keys", 0)
	if err := s.RenewSecrets(ctx, id, "one", auth.Secrets{Hash: "three"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("renewed what has changed: %v", err)
	}
	if err := s.SetSecrets(ctx, id, auth.Secrets{Hash: "four", SCRAM: "new keys"}); err != nil {
		t.Error(err)
	}
	check("four", "new keys", 1)
	var kept string
	if err := s.pool.QueryRow(ctx, `select scram from accounts where account_id = $1`, id).Scan(&kept); err != nil || strings.Contains(kept, "keys") {
		t.Errorf("kept as %q, %v", kept, err)
	}
	if _, err := s.pool.Exec(ctx, `update accounts set scram = 'AAAA' where account_id = $1`, id); err != nil {
		t.Fatal(err)
	}
	check("four", "", 1)
}
