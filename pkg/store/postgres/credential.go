package postgres

import (
	"context"
	"fmt"

	"postern/pkg/auth"
	"postern/pkg/store"
)

var _ auth.Directory = (*Store)(nil)

const sqlCredential = `
select account_id, address, secret, state = 1, imap_disable, login_epoch, app_only
from accounts
where address = $1 and state < 2`

// Credential implements auth.Directory. Only the account's own address is a login name: aliases are not.
func (s *Store) Credential(ctx context.Context, user string) (c auth.Credential, err error) {
	a, ok := store.ParseAddress(user)
	if !ok {
		return c, fmt.Errorf("credential: %w", store.ErrNotFound)
	}
	err = s.pool.QueryRow(ctx, sqlCredential, a.String()).
		Scan(&c.Account, &c.User, &c.Secret, &c.Disabled, &c.Disable, &c.Epoch, &c.AppOnly)
	return c, failed("credential", err)
}
