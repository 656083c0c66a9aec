package gateway

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"slices"

	"postern/pkg/auth"
	"postern/pkg/config"
	"postern/pkg/oauth"
	"postern/pkg/store/postgres"
)

// newAuth makes what decides who may log in, with access tokens too if there is what checks them, and with the passwords of
// directories elsewhere, and has the store tell it of changes. novel is told of logins from new places.
func newAuth(o Options, st *postgres.Store, tokens *oauth.Validator, novel func(context.Context, auth.Record)) (*auth.Auth, error) {
	masterKey, _, err := o.Config.MasterKey()
	if err != nil {
		return nil, err
	}
	// One derived from the master key is the same for all processes.
	seed, err := hkdf.Key(sha256.New, masterKey, nil, "salts of users that are not there", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	realms, err := newRealms(o, st)
	if err != nil {
		return nil, err
	}
	opt := auth.Options{
		Directory: st, Log: o.Log.Named("auth"), Bans: st, History: st, Novel: novel,
		Mechanisms: o.Config.Auth.Mechanisms, Seed: seed, Realms: realms,
		Throttle: auth.Throttle{Trusted: config.Networks(slices.Concat(o.Config.Auth.Trusted, o.Config.Proxy.Trusted))},
	}
	if tokens != nil { // nil in an interface would be something
		opt.Tokens = tokens
	}
	a := auth.New(opt)
	st.OnLoginChange(a.Recheck)
	return a, nil
}
