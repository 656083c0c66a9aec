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
		r.Targets = s.resolve(nil, parsed, maxAliases)
		if len(r.Targets) == 0 {
			return store.ErrNotFound
		}
		return nil
	})
	return r, err
}

// resolve adds to found the accounts an address leads to, each once.
func (s *Store) resolve(found []store.Target, address store.Address, depth int) []store.Target {
	for _, key := range address.Candidates() {
		detail := address.Detail
		if key == address.String() {
			detail = "" // the "+" belongs to the name
		}
		if a := s.users[key]; a != nil {
			return a.target(found, detail)
		}
		if targets, ok := s.aliases[key]; ok && depth > 0 {
			for _, target := range targets {
				if next, ok := store.ParseAddress(target); ok {
					found = s.follow(found, next, detail, depth-1)
				}
			}
			return found
		}
	}
	return found
}

// follow resolves a target of an alias. What followed "+" in the address of the alias goes along.
func (s *Store) follow(found []store.Target, next store.Address, detail string, depth int) []store.Target {
	n := len(found)
	found = s.resolve(found, next, depth)
	for i := n; i < len(found); i++ {
		if found[i].Detail == "" {
			found[i].Detail = detail
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
		OverQuota: a.limit > 0 && a.used() >= a.limit,
	})
}

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
			Identity: auth.Identity{Account: a.id, User: a.address},
			Secret:   a.secret, Disabled: a.disabled,
		}
		return nil
	})
	return c, err
}
