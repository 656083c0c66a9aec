package auth

import (
	"context"
	"crypto/x509"
	"strings"

	"github.com/emersion/go-sasl"
)

// certificate is what the client has shown and proved to hold, if we know who issued it.
func (p Peer) certificate() (*x509.Certificate, bool) {
	if p.Channel == nil {
		return nil, false
	}
	state := p.Channel.ConnectionState()
	if len(state.VerifiedChains) == 0 {
		return nil, false
	}
	return state.PeerCertificates[0], true
}

// exchangeExternal runs EXTERNAL (RFC 4422 appendix A): who the client is says its certificate, in an e-mail address among its
// alternative names. One with several addresses must say which.
func (a *Auth) exchangeExternal(ctx context.Context, p Peer, mech string, initial []byte, ask asking) (Identity, error) {
	var id Identity
	var verdict error
	err := converse(sasl.NewExternalServer(func(authz string) error {
		id, verdict = a.loginByCertificate(ctx, &attempt{peer: p, mech: mech, authz: authz})
		return verdict
	}), initial, ask)
	if err == nil || verdict != nil {
		return id, verdict
	}
	return Identity{}, err
}

func (a *Auth) loginByCertificate(ctx context.Context, t *attempt) (Identity, error) {
	cert, _ := t.peer.certificate() // it is there, else EXTERNAL would not be offered
	t.user = addressOf(cert, t.authz)
	fault := "certificate is not that user's"
	if t.user != "" {
		t.authz = ""
		if fault = t.faultOfName(); fault == "" {
			if err := a.lookUp(ctx, t); err != nil {
				return Identity{}, err
			}
			fault = t.faultOfAccount()
		}
	}
	a.identify(t)
	if fault != "" {
		return Identity{}, a.refuse(ctx, t, refusal{ErrDenied, fault}) // there is nothing to guess, so nothing is counted
	}
	id := a.accept(t)
	id.NoPassword, id.Expires = true, cert.NotAfter
	return id, nil
}

func (t *attempt) faultOfAccount() string {
	switch {
	case !t.known:
		return "unknown user"
	case t.cred.Disabled:
		return "account disabled"
	}
	return ""
}

// addressOf is the address in a certificate that is meant, or "".
func addressOf(cert *x509.Certificate, authz string) string {
	for _, address := range cert.EmailAddresses {
		if strings.EqualFold(address, authz) {
			return address
		}
	}
	if authz == "" && len(cert.EmailAddresses) == 1 {
		return cert.EmailAddresses[0]
	}
	return ""
}
