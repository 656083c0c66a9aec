package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/emersion/go-sasl"
)

// maxAnswers bounds an exchange; the longest needs two.
const maxAnswers = 4

// mechanisms is what we offer, in the order it is offered. Both carry the password itself, so both need TLS.
var mechanisms = []struct {
	name   string
	server func(func(authz, user, password string) error) sasl.Server
}{
	{sasl.Plain, func(check func(_, _, _ string) error) sasl.Server { return sasl.NewPlainServer(check) }},
	{sasl.Login, func(check func(_, _, _ string) error) sasl.Server { return &loginServer{check: check} }},
}

// Mechanisms implements Authenticator.
func (a *Auth) Mechanisms(p Peer) []string {
	if !p.TLS && !a.opt.Plaintext {
		return nil
	}
	var names []string
	for _, m := range mechanisms {
		names = append(names, m.name)
	}
	return names
}

// Exchange implements Authenticator. mech is the name in capitals.
func (a *Auth) Exchange(ctx context.Context, p Peer, mech string, initial []byte, ask func([]byte) ([]byte, error)) (Identity, error) {
	var id Identity
	var verdict error // of the login; nil in it would mean the exchange did not get that far
	check := func(authz, user, password string) error {
		id, verdict = a.login(ctx, &attempt{peer: p, mech: mech, authz: authz, user: user, password: password})
		return verdict
	}
	if !p.TLS && !a.opt.Plaintext {
		return Identity{}, ErrMechanism
	}
	for _, m := range mechanisms {
		if m.name != mech {
			continue
		}
		err := converse(m.server(check), initial, ask)
		if err == nil || verdict != nil {
			return id, verdict
		}
		return Identity{}, err
	}
	return Identity{}, ErrMechanism
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
