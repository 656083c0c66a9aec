package gateway

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"postern/pkg/auth"
	"postern/pkg/config"
	"postern/pkg/directory"
	"postern/pkg/store/postgres"
)

// newRealms makes what asks directories elsewhere; none if none is configured.
func newRealms(o Options, st *postgres.Store) (realms []auth.Realm, err error) {
	metrics := directory.NewMetrics(o.Registry)
	add := func(name string, c auth.Checker, d *config.Directory) {
		r := realmOf(d, st, o.Log)
		r.Name, r.Checker = name, directory.Watch(name, c, o.Log.Named("directory"), metrics)
		realms = append(realms, r)
	}
	if c := &o.Config.Auth.LDAP; len(c.URLs) > 0 {
		ldap, err := newLDAP(c)
		if err != nil {
			return nil, err
		}
		add("ldap", ldap, &c.Directory)
	}
	if c := &o.Config.Auth.HTTP; c.URL != "" {
		program, err := newHTTPLogin(c)
		if err != nil {
			return nil, err
		}
		add("http", program, &c.Directory)
	}
	return realms, nil
}

func newHTTPLogin(c *config.HTTPLogin) (*directory.HTTP, error) {
	opt := directory.HTTPOptions{URL: c.URL}
	var err error
	if opt.Roots, err = readRoots(c.RootsFile); err != nil {
		return nil, fmt.Errorf("auth.http.roots_file: %w", err)
	}
	if opt.Secret, err = readSecret(c.SecretFile); err != nil {
		return nil, fmt.Errorf("auth.http.secret_file: %w", err)
	}
	return directory.NewHTTP(opt), nil
}

func newLDAP(c *config.LDAP) (*directory.LDAP, error) {
	opt := directory.LDAPOptions{
		URLs: c.URLs, StartTLS: c.StartTLS, DN: c.DN, Base: c.Base, Filter: c.Filter, BindDN: c.BindDN,
	}
	var err error
	if opt.Roots, err = readRoots(c.RootsFile); err != nil {
		return nil, fmt.Errorf("auth.ldap.roots_file: %w", err)
	}
	if opt.BindPassword, err = readSecret(c.BindPasswordFile); err != nil {
		return nil, fmt.Errorf("auth.ldap.bind_password_file: %w", err)
	}
	l, err := directory.NewLDAP(opt)
	if err != nil {
		return nil, fmt.Errorf("auth.ldap: %w", err)
	}
	return l, nil
}

func realmOf(d *config.Directory, st *postgres.Store, log *zap.Logger) auth.Realm {
	r := auth.Realm{
		Domains: d.Domains, Only: d.Only, CacheTTL: positive(d.Cache), Timeout: d.Timeout, Asking: d.Questions,
	}
	if d.Create {
		r.Create = func(ctx context.Context, address string) error {
			id, err := st.CreateAccount(ctx, address, "", 0)
			if err == nil {
				log.Info("account made", zap.String("user", address), zap.Int64("account", int64(id)))
			}
			return err
		}
	}
	return r
}
