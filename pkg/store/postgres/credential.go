package postgres

import (
	"context"
	"fmt"

	"postern/pkg/auth"
	"postern/pkg/store"
)

var _ auth.Directory = (*Store)(nil)

const sqlCredential = `
select account_id, address, secret, state = 1, imap_disable, login_epoch, app_only, scram
from accounts
where address = $1 and state < 2`

// Credential implements auth.Directory. Only the account's own address is a login name: aliases are not.
func (s *Store) Credential(ctx context.Context, user string) (c auth.Credential, err error) {
	a, ok := store.ParseAddress(user)
	if !ok {
		return c, fmt.Errorf("credential: %w", store.ErrNotFound)
	}
	err = s.pool.QueryRow(ctx, sqlCredential, a.String()).
		Scan(&c.Account, &c.User, &c.Secret, &c.Disabled, &c.Disable, &c.Epoch, &c.AppOnly, &c.SCRAM)
	return c, failed("credential", err)
}

const sqlRenewSecrets = `
update accounts
set secret = $3, scram = $4
where account_id = $1 and secret = $2 and state < 2`

// RenewSecrets implements auth.Directory. The password is the same, so its sessions go on.
func (s *Store) RenewSecrets(ctx context.Context, id store.AccountID, hash string, by auth.Secrets) error {
	tag, err := s.pool.Exec(ctx, sqlRenewSecrets, id, hash, by.Hash, by.SCRAM)
	if err == nil && tag.RowsAffected() == 0 {
		err = fmt.Errorf("account %d with that secret: %w", id, store.ErrNotFound)
	}
	return failed("renew secrets", err)
}

// SetSecrets replaces what is kept of an account's password. Sessions of the former password end. store.ErrNotFound.
func (s *Store) SetSecrets(ctx context.Context, id store.AccountID, by auth.Secrets) error {
	return s.setLogin(ctx, "set secrets", sqlSetSecret, id, by.Hash, by.SCRAM)
}
