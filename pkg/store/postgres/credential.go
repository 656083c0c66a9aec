package postgres

import (
	"context"
	"encoding/base64"
	"fmt"

	"go.uber.org/zap"

	"postern/pkg/auth"
	"postern/pkg/store"
)

var _ auth.Directory = (*Store)(nil)

const sqlCredential = `
select account_id, address, secret, state = 1, imap_disable, login_epoch, app_only, scram, scram_salt,
  case when totp_on then totp else '' end
from accounts
where address = $1 and state < 2`

// Credential implements auth.Directory. Only the account's own address is a login name: aliases are not.
func (s *Store) Credential(ctx context.Context, user string) (c auth.Credential, err error) {
	a, ok := store.ParseAddress(user)
	if !ok {
		return c, fmt.Errorf("credential: %w", store.ErrNotFound)
	}
	err = s.pool.QueryRow(ctx, sqlCredential, a.String()).
		Scan(&c.Account, &c.User, &c.Secret, &c.Disabled, &c.Disable, &c.Epoch, &c.AppOnly, &c.SCRAM, &c.Salt, &c.TOTP)
	if err == nil {
		c.SCRAM = s.openSCRAM(c.Account, c.SCRAM)
		c.TOTP, err = s.openTOTP(c.Account, c.TOTP)
	}
	return c, failed("credential", err)
}

// scramContext binds sealed keys of SCRAM to their account.
func scramContext(id store.AccountID) []byte { return fmt.Appendf(nil, "scram/%d", id) }

// sealSCRAM seals keys of SCRAM with the key-encryption key: a client can make them of a password with little work, so that
// whoever has them from a copy of the database could guess much faster than by the hash.
func (s *Store) sealSCRAM(id store.AccountID, keys string) (string, error) {
	if keys == "" {
		return "", nil
	}
	sealed, err := s.keys.seal(scramContext(id), []byte(keys))
	return base64.StdEncoding.EncodeToString(sealed), err
}

// openSCRAM undoes sealSCRAM. Keys that cannot be read are none: they are made anew at the next login with the password.
func (s *Store) openSCRAM(id store.AccountID, text string) string {
	if text == "" {
		return ""
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		var keys []byte
		if keys, err = s.keys.open(scramContext(id), sealed); err == nil {
			return string(keys)
		}
	}
	s.log.Warn("keys of SCRAM cannot be read", zap.Int64("account", int64(id)), zap.Error(err))
	return ""
}

const sqlRenewSecrets = `
update accounts
set secret = $3, scram = $4
where account_id = $1 and secret = $2 and state < 2 and (scram_salt = '' or scram_salt = $5)`

// RenewSecrets implements auth.Directory. The password is the same, so its sessions go on.
func (s *Store) RenewSecrets(ctx context.Context, id store.AccountID, hash string, by auth.Secrets) error {
	sealed, err := s.sealSCRAM(id, by.SCRAM)
	if err != nil {
		return failed("renew secrets", err)
	}
	tag, err := s.pool.Exec(ctx, sqlRenewSecrets, id, hash, by.Hash, sealed, auth.SaltOf(by.SCRAM))
	if err == nil && tag.RowsAffected() == 0 {
		err = fmt.Errorf("account %d with that secret and salt: %w", id, store.ErrNotFound)
	}
	return failed("renew secrets", err)
}

const (
	sqlSCRAMSalt = `
select scram, scram_salt
from accounts
where account_id = $1 and state < 2`

	sqlSetSCRAMSalt = `
update accounts
set scram_salt = $2
where account_id = $1 and scram = $3 and scram_salt = '' and state < 2`
)

// SCRAMSalt returns what the keys of SCRAM of an account's passwords are to be made with, from now on for ever. store.ErrNotFound.
func (s *Store) SCRAMSalt(ctx context.Context, id store.AccountID) (auth.Salt, error) {
	for {
		var keys string
		var salt auth.Salt
		err := s.pool.QueryRow(ctx, sqlSCRAMSalt, id).Scan(&keys, &salt)
		if err != nil || salt != "" {
			return salt, failed("salt of SCRAM", err)
		}
		if salt = auth.SaltOf(s.openSCRAM(id, keys)); salt == "" {
			salt = auth.NewSalt()
		}
		tag, err := s.pool.Exec(ctx, sqlSetSCRAMSalt, id, salt, keys)
		if err != nil || tag.RowsAffected() == 1 {
			return salt, failed("salt of SCRAM", err)
		} // else another process has made one, or the password has changed
	}
}

// SetSecrets replaces what is kept of an account's password; its keys must be made with SCRAMSalt. Sessions of the former
// password end. store.ErrNotFound.
func (s *Store) SetSecrets(ctx context.Context, id store.AccountID, by auth.Secrets) error {
	sealed, err := s.sealSCRAM(id, by.SCRAM)
	if err != nil {
		return failed("set secrets", err)
	}
	return s.setLogin(ctx, "set secrets", sqlSetSecret, id, by.Hash, sealed)
}
