package postgres

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"postern/pkg/store"
)

// totpContext binds the sealed secret of codes to its account.
func totpContext(id store.AccountID) []byte { return fmt.Appendf(nil, "totp/%d", id) }

// openTOTP unseals the secret of codes. One that cannot be read is an error: an account that needs a code must not go on
// without.
func (s *Store) openTOTP(id store.AccountID, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", fmt.Errorf("secret of the second factor: %w", err)
	}
	secret, err := s.keys.open(totpContext(id), sealed)
	if err != nil {
		return "", fmt.Errorf("secret of the second factor: %w", err)
	}
	return string(secret), nil
}

const (
	sqlTOTP = `
select totp, totp_on
from accounts
where account_id = $1 and state < 2`

	sqlSetTOTP = `
update accounts
set totp = $2, totp_step = 0
where account_id = $1 and not totp_on and state < 2`

	sqlConfirmTOTP = `
update accounts
set totp_on = true, totp_step = $2, login_epoch = login_epoch + 1
where account_id = $1 and totp <> '' and not totp_on and state < 2`

	sqlRemoveTOTP = `
update accounts
set totp = '', totp_on = false, totp_step = 0
where account_id = $1 and totp <> '' and state < 2`

	sqlUseCode = `
update accounts
set totp_step = $2
where account_id = $1 and totp_on and totp_step < $2 and state < 2`
)

// TOTP returns the secret of an account's codes, "" if there is none, and whether they are needed. store.ErrNotFound.
func (s *Store) TOTP(ctx context.Context, id store.AccountID) (secret string, on bool, err error) {
	var sealed string
	if err = s.pool.QueryRow(ctx, sqlTOTP, id).Scan(&sealed, &on); err == nil {
		secret, err = s.openTOTP(id, sealed)
	}
	return secret, on, failed("second factor", err)
}

// SetTOTP keeps a secret of codes, which are not needed before ConfirmTOTP. store.ErrExists if they are needed already.
func (s *Store) SetTOTP(ctx context.Context, id store.AccountID, secret string) error {
	sealed, err := s.keys.seal(totpContext(id), []byte(secret))
	if err != nil {
		return failed("set second factor", err)
	}
	err = s.setLogin(ctx, "set second factor", sqlSetTOTP, id, base64.StdEncoding.EncodeToString(sealed))
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if _, on, there := s.TOTP(ctx, id); there == nil && on {
		return fmt.Errorf("set second factor: account %d: %w", id, store.ErrExists)
	}
	return err
}

// ConfirmTOTP has an account's codes be needed from now on, the one of the time step given being used. Sessions of its own
// password end. store.ErrNotFound if there is no secret that waits for it.
func (s *Store) ConfirmTOTP(ctx context.Context, id store.AccountID, step int64) error {
	return s.setLogin(ctx, "confirm second factor", sqlConfirmTOTP, id, step)
}

// RemoveTOTP has an account need no codes. store.ErrNotFound if there is no secret.
func (s *Store) RemoveTOTP(ctx context.Context, id store.AccountID) error {
	return s.setLogin(ctx, "remove second factor", sqlRemoveTOTP, id)
}

// UseCode implements auth.Directory. Of two processes with one code, one has the row first.
func (s *Store) UseCode(ctx context.Context, id store.AccountID, step int64) (fresh bool, err error) {
	tag, err := s.pool.Exec(ctx, sqlUseCode, id, step)
	return err == nil && tag.RowsAffected() == 1, failed("use a code", err)
}
