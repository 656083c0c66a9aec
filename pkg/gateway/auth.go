package gateway

import (
	"context"
	"slices"

	"postern/pkg/auth"
	"postern/pkg/config"
	"postern/pkg/store/postgres"
)

// newAuth makes what decides who may log in, and has the store tell it of changes. novel is told of logins from new places.
func newAuth(o Options, st *postgres.Store, novel func(context.Context, auth.Record)) *auth.Auth {
	a := auth.New(auth.Options{
		Directory: st, Log: o.Log.Named("auth"), Bans: st, History: st, Novel: novel,
		Throttle: auth.Throttle{Trusted: config.Networks(slices.Concat(o.Config.Auth.Trusted, o.Config.Proxy.Trusted))},
	})
	st.OnLoginChange(a.Recheck)
	return a
}
