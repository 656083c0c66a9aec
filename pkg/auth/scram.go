package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/xdg-go/scram"
)

// The mechanisms of RFC 7677. PLUS binds the login to this TLS connection (RFC 9266): whoever sits in between has another.
const (
	scramSHA256     = "SCRAM-SHA-256"
	scramSHA256Plus = "SCRAM-SHA-256-PLUS"
)

// Channel is the TLS connection below a session.
type Channel interface{ ConnectionState() tls.ConnectionState }

// binding is what a login can be bound to; there is none without TLS, nor below TLS 1.3 without an extended master secret.
func (p Peer) binding() (scram.ChannelBinding, bool) {
	if p.Channel == nil {
		return scram.ChannelBinding{}, false
	}
	state := p.Channel.ConnectionState()
	b, err := scram.NewTLSExporterBinding(&state)
	return b, err == nil
}

// exchangeSCRAM runs SCRAM. The password is not sent, so that what cannot be told apart here is the same wrong one repeated:
// each counts.
func (a *Auth) exchangeSCRAM(ctx context.Context, p Peer, mech string, first []byte, ask asking) (Identity, error) {
	s := &scramLogin{a: a, t: &attempt{peer: p, mech: mech}}
	var err error
	if first == nil {
		if first, err = ask([]byte{}); err != nil {
			return Identity{}, fmt.Errorf("sasl answer: %w", err)
		}
	}
	if len(first) > maxSCRAM {
		return Identity{}, fmt.Errorf("%w: too long", ErrCancelled)
	}
	challenge, err := s.begin(ctx, string(first))
	if err != nil {
		return Identity{}, err
	}
	proof, err := ask([]byte(challenge))
	if err != nil {
		return Identity{}, fmt.Errorf("sasl answer: %w", err)
	}
	if len(proof) > maxSCRAM {
		return Identity{}, fmt.Errorf("%w: too long", ErrCancelled)
	}
	verifier, err := s.end(ctx, string(proof))
	if err != nil {
		return Identity{}, err
	}
	// What proves us to the client goes as a challenge, which it answers with nothing (RFC 5802 §5, RFC 4422 §5.2).
	if _, err := ask([]byte(verifier)); err != nil {
		return Identity{}, fmt.Errorf("sasl answer: %w", err)
	}
	return a.accept(s.t), nil
}

// maxSCRAM is octets of one message.
const maxSCRAM = 2048

// scramLogin is an exchange under way.
type scramLogin struct {
	a     *Auth
	t     *attempt
	conv  *scram.ServerConversation
	fault string // why the user cannot log in, whatever the proof
	away  error  // of the directory
}

// begin reads the client's first message and returns ours.
func (s *scramLogin) begin(ctx context.Context, first string) (string, error) {
	server, err := scram.SHA256.NewServer(func(user string) (scram.StoredCredentials, error) { return s.lookUp(ctx, user) })
	if err != nil {
		return "", err
	}
	b, bound := s.t.peer.binding()
	switch {
	case s.t.mech == scramSHA256Plus:
		s.conv = server.NewConversationWithChannelBindingRequired(b)
	case bound && s.a.offers(scramSHA256Plus): // "y" says that somebody took PLUS off our list (RFC 5802 §6)
		s.conv = server.NewConversationWithChannelBinding(b)
	default:
		s.conv = server.NewConversation()
	}
	challenge, err := s.conv.Step(first)
	switch {
	case s.away != nil:
		return "", s.away
	case err == nil:
		return challenge, nil
	case s.conv.Username() == "":
		return "", fmt.Errorf("%w: %w", ErrCancelled, err)
	}
	s.t.user = s.conv.Username()
	s.a.identify(s.t)
	return "", s.a.refuse(ctx, s.t, refusal{ErrDenied, "SCRAM: " + err.Error()})
}

// lookUp finds the keys of a user. One who has none, or is not there, gets a salt that is always the same, so that it does not
// tell, and keys that no password has.
func (s *scramLogin) lookUp(ctx context.Context, user string) (scram.StoredCredentials, error) {
	t := s.t
	t.user, t.authz = user, s.conv.AuthzID()
	if s.fault = t.faultOfName(); s.fault == "" {
		if s.away = s.a.lookUp(ctx, t); s.away != nil {
			return scram.StoredCredentials{}, s.away
		}
	}
	if t.known && !s.a.isElsewhere(user) {
		switch k, err := parseSCRAMKeys(t.cred.SCRAM); {
		case err == nil:
			return k.credentials(), nil
		case t.cred.SCRAM != "":
			s.a.audit(t).Error("stored password cannot be used")
		}
	}
	s.fault = firstOf(s.fault, s.without())
	return s.a.noKeys(user).credentials(), nil
}

// without says why there are no keys.
func (s *scramLogin) without() string {
	if !s.t.known {
		return "unknown user"
	}
	if s.a.realmOf(s.t.user) != nil {
		return "no keys of SCRAM: a directory elsewhere has the password; use PLAIN"
	}
	return "no keys of SCRAM yet: log in with the password once"
}

func firstOf(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

func (k scramKeys) credentials() scram.StoredCredentials {
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(k.salt), Iters: k.rounds}, StoredKey: k.stored, ServerKey: k.server,
	}
}

// noKeys are those of a user who has none.
func (a *Auth) noKeys(user string) scramKeys {
	h := hmac.New(sha256.New, a.seed)
	h.Write([]byte(strings.ToLower(user)))
	k := scramKeys{salt: h.Sum(nil)[:scramSalt], rounds: scramRounds, stored: make([]byte, sha256.Size), server: make([]byte, sha256.Size)}
	rand.Read(k.stored) // it ends the program rather than fail
	return k
}

// end checks the client's proof and returns ours. A right one counts as a password that has been verified of late: the owner
// is not kept out, where they have been before, by a telephone that has forgotten the password.
func (s *scramLogin) end(ctx context.Context, final string) (string, error) {
	a, t := s.a, s.t
	a.identify(t)
	t.print = a.digest("proof", t.user, final)
	verifier, err := s.conv.Step(final)
	fault := s.fault
	if err != nil && fault == "" {
		fault = faultOfProof(verifier)
	}
	if fault == "" {
		if fault = t.barred(); fault != "" {
			t.print = a.digest("barred", t.user) // the password is right: however often it comes, it is not another guess
		}
	}
	if why := a.throttle.verdict(&t.keys, fault == ""); why != "" {
		return "", a.refuse(ctx, t, refusal{ErrThrottled, why})
	}
	if fault != "" {
		a.throttle.failed(t.keys, t.print)
		return "", a.refuse(ctx, t, refusal{ErrDenied, fault})
	}
	if !s.conv.Valid() {
		return "", errors.New("SCRAM: neither valid nor an error")
	}
	return verifier, nil
}

// barred says why the account's own password does not log in, though it is right.
func (t *attempt) barred() string {
	switch {
	case t.cred.Disabled:
		return "account disabled"
	case t.cred.AppOnly:
		return "only app passwords log in to this account"
	case t.cred.TOTP != "":
		return "SCRAM cannot carry the code that this account needs: use PLAIN, or an app password"
	}
	return ""
}

func faultOfProof(answer string) string {
	switch answer {
	case scram.ErrInvalidProof:
		return "wrong password"
	case scram.ErrChannelBindingsDontMatch:
		return "SCRAM: bound to another connection"
	}
	return "SCRAM: malformed proof"
}
