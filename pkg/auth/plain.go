package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
)

// maxAnswers bounds an exchange; the longest needs two.
const maxAnswers = 4

// asking sends a challenge and returns the answer.
type asking = func(challenge []byte) ([]byte, error)

// allMechanisms is what we can offer, the strongest first.
var allMechanisms = []string{sasl.External, scramSHA256Plus, scramSHA256, sasl.OAuthBearer, xoauth2, sasl.Plain, sasl.Login}

// CheckMechanisms says which of the names are not those of mechanisms.
func CheckMechanisms(names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(allMechanisms, func(m string) bool { return strings.EqualFold(m, name) }) {
			return fmt.Errorf("%q: there are %s", name, strings.Join(allMechanisms, ", "))
		}
	}
	return nil
}

// offers reports whether a mechanism is among those that have been chosen.
func (a *Auth) offers(mech string) bool {
	return len(a.opt.Mechanisms) == 0 ||
		slices.ContainsFunc(a.opt.Mechanisms, func(m string) bool { return strings.EqualFold(m, mech) })
}

// Mechanisms implements Authenticator.
func (a *Auth) Mechanisms(p Peer) []string {
	var names []string
	for _, m := range allMechanisms {
		if a.takes(p, m) {
			names = append(names, m)
		}
	}
	return names
}

// takes reports whether a client may log in by a mechanism.
func (a *Auth) takes(p Peer, mech string) bool {
	if !p.TLS && !a.opt.Plaintext || !slices.Contains(allMechanisms, mech) || !a.offers(mech) {
		return false
	}
	switch {
	case mech == scramSHA256Plus:
		_, bound := p.binding()
		return bound
	case mech == sasl.External:
		_, shown := p.certificate()
		return shown
	case isToken(mech):
		return a.opt.Tokens != nil
	}
	return true
}

// Exchange implements Authenticator. mech is the name in capitals.
func (a *Auth) Exchange(ctx context.Context, p Peer, mech string, initial []byte, ask func([]byte) ([]byte, error)) (Identity, error) {
	switch {
	case !a.takes(p, mech):
		return Identity{}, ErrMechanism
	case mech == sasl.External:
		return a.exchangeExternal(ctx, p, mech, initial, ask)
	case mech == scramSHA256, mech == scramSHA256Plus:
		return a.exchangeSCRAM(ctx, p, mech, initial, ask)
	case isToken(mech):
		return a.exchangeToken(ctx, p, mech, initial, ask)
	}
	return a.exchangePassword(ctx, p, mech, initial, ask)
}

// exchangePassword runs the mechanisms that carry the password itself.
func (a *Auth) exchangePassword(ctx context.Context, p Peer, mech string, initial []byte, ask asking) (Identity, error) {
	var id Identity
	var verdict error // of the login; nil in it would mean the exchange did not get that far
	check := func(authz, user, password string) error {
		id, verdict = a.login(ctx, &attempt{peer: p, mech: mech, authz: authz, user: user, password: password})
		return verdict
	}
	var server sasl.Server = &loginServer{check: check}
	if mech == sasl.Plain {
		server = sasl.NewPlainServer(check)
	}
	err := converse(server, initial, ask)
	if err == nil || verdict != nil {
		return id, verdict
	}
	return Identity{}, err
}

// converse runs an exchange to its end, nil when it came to one. RFC 4422 §3.
func converse(s sasl.Server, answer []byte, ask func([]byte) ([]byte, error)) error {
	for range maxAnswers {
		challenge, done, err := s.Next(answer)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCancelled, err)
		}
		if done {
			return nil
		}
		if answer, err = ask(challenge); err != nil {
			return fmt.Errorf("sasl answer: %w", err)
		}
		if answer == nil {
			answer = []byte{} // an answer without octets is still one
		}
	}
	return fmt.Errorf("%w: too many answers", ErrCancelled)
}

// loginServer is the server side of LOGIN (draft-murchison-sasl-login), which go-sasl no longer has: older versions of
// Outlook know nothing else. An initial response is the user name.
type loginServer struct {
	check func(authz, user, password string) error
	user  *string
	done  bool
}

func (s *loginServer) Next(answer []byte) (challenge []byte, done bool, err error) {
	switch {
	case s.done:
		return nil, false, sasl.ErrUnexpectedClientResponse
	case answer == nil && s.user == nil:
		return []byte("Username:"), false, nil
	case answer == nil:
		return nil, false, errors.New("no password")
	case s.user == nil:
		user := string(answer)
		s.user = &user
		return []byte("Password:"), false, nil
	}
	s.done = true
	return nil, true, s.check("", *s.user, string(answer))
}
