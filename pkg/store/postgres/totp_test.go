package postgres

import (
	"errors"
	"strings"
	"testing"

	"postern/pkg/store"
)

// TestTOTP goes through the life of a second factor: kept sealed, not needed before it is confirmed, each step used once.
func TestTOTP(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	ctx := t.Context()
	const user = "totp@example.org"
	id, err := s.CreateAccount(ctx, user, "hash", 0)
	if err != nil {
		t.Fatal(err)
	}
	check := func(state, needed string, epoch int64) {
		t.Helper()
		c, err := s.Credential(ctx, user)
		if err != nil || c.TOTP != needed || c.Epoch != epoch {
			t.Errorf("credential %+v, %v", c, err)
		}
		if a, err := s.AccountByAddress(ctx, user); err != nil || a.SecondFactor != state {
			t.Errorf("account %+v, %v; want %s", a, err, state)
		}
	}
	want := func(wanted, got error) {
		t.Helper()
		if !errors.Is(got, wanted) {
			t.Errorf("%v, want %v", got, wanted)
		}
	}
	use := func(step int64, fresh bool) {
		t.Helper()
		if got, err := s.UseCode(ctx, id, step); got != fresh || err != nil {
			t.Errorf("step %d: %v, %v", step, got, err)
		}
	}
	check("off", "", 0)
	want(store.ErrNotFound, s.ConfirmTOTP(ctx, id, 1))
	want(store.ErrNotFound, s.RemoveTOTP(ctx, id))
	use(1, false)
	want(nil, s.SetTOTP(ctx, id, "FORMER"))
	want(nil, s.SetTOTP(ctx, id, "SECRET"))
	check("pending", "", 0)
	use(1, false)
	var kept string
	if err := s.pool.QueryRow(ctx, `select totp from accounts where account_id = $1`, id).Scan(&kept); err != nil || strings.Contains(kept, "SECRET") {
		t.Errorf("kept as %q, %v", kept, err)
	}
	want(nil, s.ConfirmTOTP(ctx, id, 10))
	check("on", "SECRET", 1)
	want(store.ErrNotFound, s.ConfirmTOTP(ctx, id, 11))
	want(store.ErrExists, s.SetTOTP(ctx, id, "ANOTHER"))
	use(10, false)
	use(11, true)
	use(11, false)
	use(10, false)
	if _, err := s.pool.Exec(ctx, `update accounts set totp = 'AAAA' where account_id = $1`, id); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Credential(ctx, user); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("a secret that cannot be read: %v", err)
	}
	want(nil, s.RemoveTOTP(ctx, id))
	check("off", "", 1)
	want(store.ErrNotFound, s.SetTOTP(ctx, id+1000, "SECRET"))
}
