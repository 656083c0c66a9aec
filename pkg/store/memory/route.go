package memory

import (
	"context"

	"postern/pkg/auth"
	"postern/pkg/store"
)

// maxAliases is how many aliases may lead to one another.
const maxAliases = 8

// Route implements store.Store.
func (s *Store) Route(ctx context.Context, address string) (store.Route, error) {
	var r store.Route
	err := s.do(ctx, "route "+address, func() error {
		parsed, ok := store.ParseAddress(address)
		if !ok || parsed.Local == "" {
			return store.ErrNotFound
		}
		for i, key := range parsed.Candidates() {
			if !s.known(key) {
				continue
			}
			detail := ""
			if i == 1 && parsed.Base != parsed.Local { // found without its detail
				detail = parsed.Detail
			}
			r.Targets = s.resolve(nil, key, detail, maxAliases)
			break
		}
		if len(r.Targets) == 0 {
			return store.ErrNotFound
		}
		return nil
	})
	return r, err
}

func (s *Store) known(key string) bool { return s.users[key] != nil || s.aliases[key] != nil }

// resolve adds to found the accounts a key leads to, each once.
func (s *Store) resolve(found []store.Target, key, detail string, depth int) []store.Target {
	if a := s.users[key]; a != nil {
		found = a.target(found, detail)
	}
	if depth == 0 {
		return found
	}
	for _, target := range s.aliases[key] {
		if next, ok := store.ParseAddress(target); ok {
			found = s.resolve(found, next.String(), detail, depth-1)
		}
	}
	return found
}

func (a *account) target(found []store.Target, detail string) []store.Target {
	for _, t := range found {
		if t.Account == a.id {
			return found
		}
	}
	return append(found, store.Target{
		Account: a.id, Address: a.address, Inbox: a.named(store.Inbox).id, Detail: detail,
		OverQuota: a.full(),
	})
}

// AppPasswords implements auth.Directory: the model knows none.
func (s *Store) AppPasswords(context.Context, store.AccountID) ([]auth.AppPassword, error) {
	return nil, nil
}

// RenewSecrets implements auth.Directory.
func (s *Store) RenewSecrets(ctx context.Context, id store.AccountID, hash string, by auth.Secrets) error {
	return s.do(ctx, "renew secrets", func() error {
		a := s.accounts[id]
		if a == nil || a.secret != hash {
			return store.ErrNotFound
		}
		a.secret = by.Hash // the model knows no SCRAM
		return nil
	})
}

// UseCode implements auth.Directory: the model knows no second factor.
func (s *Store) UseCode(context.Context, store.AccountID, int64) (bool, error) { return false, nil }

// UsedAppPasswords implements auth.Directory.
func (s *Store) UsedAppPasswords(context.Context, []auth.Use) error { return nil }

// Credential implements auth.Directory.
func (s *Store) Credential(ctx context.Context, user string) (auth.Credential, error) {
	var c auth.Credential
	err := s.do(ctx, "credential", func() error {
		parsed, ok := store.ParseAddress(user)
		a := s.users[parsed.String()]
		if !ok || a == nil {
			return store.ErrNotFound
		}
		c = auth.Credential{
			Identity: auth.Identity{Account: a.id, User: a.address, Disable: a.disable},
			Secret:   a.secret, Disabled: a.disabled,
		}
		return nil
	})
	return c, err
}
