package gateway

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"slices"

	"postern/pkg/auth"
	"postern/pkg/config"
	"postern/pkg/oauth"
	"postern/pkg/store/postgres"
)

// newAuth makes what decides who may log in, with access tokens too if there is what checks them, and has the store tell it of changes. novel is told of logins from new places.
func newAuth(o Options, st *postgres.Store, tokens *oauth.Validator, novel func(context.Context, auth.Record)) (*auth.Auth, error) {
	if err := auth.CheckMechanisms(o.Config.Auth.Mechanisms); err != nil {
		return nil, fmt.Errorf("auth.mechanisms: %w", err)
	}
	masterKey, _, err := o.Config.MasterKey()
	if err != nil {
		return nil, err
	}
	// One derived from the master key is the same for all processes.
	seed, err := hkdf.Key(sha256.New, masterKey, nil, "salts of users that are not there", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	opt := auth.Options{
		Directory: st, Log: o.Log.Named("auth"), Bans: st, History: st, Novel: novel,
		Mechanisms: o.Config.Auth.Mechanisms, Seed: seed,
		Throttle: auth.Throttle{Trusted: config.Networks(slices.Concat(o.Config.Auth.Trusted, o.Config.Proxy.Trusted))},
	}
	if tokens != nil { // nil in an interface would be something
		opt.Tokens = tokens
	}
	a := auth.New(opt)
	st.OnLoginChange(a.Recheck)
	return a, nil
}

// clientTLS has clients asked for a certificate, if there is a file of those who issue them. One without goes on without;
// what another has issued ends the handshake.
func clientTLS(c *tls.Config, caFile string) (*tls.Config, error) {
	if caFile == "" {
		return c, nil
	}
	text, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("tls.client_ca_file: %w", err)
	}
	c = c.Clone()
	c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
	if !c.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("tls.client_ca_file: no certificate in %s", caFile)
	}
	return c, nil
}
