package gateway

import (
	"slices"

	"postern/pkg/auth"
	"postern/pkg/config"
	"postern/pkg/store/postgres"
)

// newAuth makes what decides who may log in, and has the store tell it of changes.
func newAuth(o Options, st *postgres.Store) *auth.Auth {
	a := auth.New(auth.Options{
		Directory: st, Log: o.Log.Named("auth"), Bans: st,
		Throttle: auth.Throttle{Trusted: config.Networks(slices.Concat(o.Config.Auth.Trusted, o.Config.Proxy.Trusted))},
	})
	st.OnLoginChange(a.Recheck)
	return a
}
