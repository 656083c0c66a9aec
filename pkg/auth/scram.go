package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
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
	first string // the client's message
	nonce string // ours
	conv  *scram.ServerConversation
	told  Salt   // what the client makes its keys with
	fault string // why the account's own password does not log in, whatever the proof
	away  error  // of the directory
}

// begin reads the client's first message and returns ours.
func (s *scramLogin) begin(ctx context.Context, first string) (string, error) {
	s.first, s.nonce = first, rand.Text()
	var err error
	s.conv, err = s.conversation(func(user string) (scram.StoredCredentials, error) { return s.lookUp(ctx, user) })
	if err != nil {
		return "", err
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

// conversation begins one in which our nonce is the same each time.
func (s *scramLogin) conversation(keysOf scram.CredentialLookup) (*scram.ServerConversation, error) {
	server, err := scram.SHA256.NewServer(keysOf)
	if err != nil {
		return nil, err
	}
	server.WithNonceGenerator(func() string { return s.nonce })
	b, bound := s.t.peer.binding()
	switch {
	case s.t.mech == scramSHA256Plus:
		return server.NewConversationWithChannelBindingRequired(b), nil
	case bound && s.a.offers(scramSHA256Plus): // "y" says that somebody took PLUS off our list (RFC 5802 §6)
		return server.NewConversationWithChannelBinding(b), nil
	}
	return server.NewConversation(), nil
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
	k := s.ownKeys(user)
	s.told = k.info()
	return k.credentials(), nil
}

// ownKeys are those of the account's own password; where there are none, such as no password has, with a salt that is the
// account's or could be.
func (s *scramLogin) ownKeys(user string) scramKeys {
	t, none := s.t, s.a.noKeys(user)
	if !t.known {
		s.fault = firstOf(s.fault, "unknown user")
		return none
	}
	elsewhere := s.a.isElsewhere(user)
	own, err := parseSCRAMKeys(t.cred.SCRAM)
	if err == nil && !elsewhere && (t.cred.Salt == "" || t.cred.Salt == own.info()) {
		return own
	}
	salt, rounds, saltErr := t.cred.Salt.parse()
	if err != nil && t.cred.SCRAM != "" || saltErr != nil && t.cred.Salt != "" {
		s.a.audit(t).Error("stored password cannot be used")
	}
	if saltErr == nil {
		none.salt, none.rounds = salt, rounds
	}
	s.fault = firstOf(s.fault, s.without())
	return none
}

// without says why there are no keys of the own password.
func (s *scramLogin) without() string {
	if s.a.realmOf(s.t.user) != nil {
		return "no keys of SCRAM: a directory elsewhere has the password; use PLAIN, or an app password"
	}
	return "no keys of SCRAM for the password yet: log in with it once; or make the app password anew"
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
	verifier, fault, err := s.prove(ctx, final)
	if err != nil {
		return "", err
	}
	if why := a.throttle.verdict(&t.keys, fault == ""); why != "" {
		return "", a.refuse(ctx, t, refusal{ErrThrottled, why})
	}
	if fault != "" {
		a.throttle.failedHere(t.keys, t.print, s.mistake())
		return "", a.refuse(ctx, t, refusal{ErrDenied, fault})
	}
	return verifier, nil
}

// mistake is what counts where the owner has been before. That a telephone there has a password which does not log in is one
// mistake, however often it comes, and keeps the owner out of nothing. To everybody else such an account looks like any other, be
// the password right or wrong.
func (s *scramLogin) mistake() digest {
	if s.t.known && s.t.barred() != "" {
		return s.a.digest("barred", s.t.user)
	}
	return s.t.print
}

// prove finds the password that the client has proved to have, and returns what proves us to it by the same. That of an account
// which may not use it is looked at all the same, for the log.
func (s *scramLogin) prove(ctx context.Context, final string) (verifier, fault string, err error) {
	t := s.t
	verifier, err = s.conv.Step(final)
	switch {
	case err == nil && s.conv.Valid() && s.fault == "":
		return verifier, t.barred(), nil
	case t.known && verifier == scram.ErrInvalidProof && s.a.throttle.hopeless(t.keys) == "":
		proof, err := s.proveApp(ctx, final)
		if err != nil {
			return "", "", err
		}
		if t.app != nil {
			return proof, s.a.faultOfApp(t), nil
		}
	}
	return "", firstOf(s.fault, faultOfProof(verifier)), nil
}

// proveApp looks whether the client has one of the app passwords. It is asked for them now, not before the challenge, which
// must not take longer where there are some.
func (s *scramLogin) proveApp(ctx context.Context, final string) (verifier string, err error) {
	all, err := s.apps(ctx)
	if err != nil {
		return "", err
	}
	for i := range all {
		k, err := parseSCRAMKeys(all[i].SCRAM)
		if err != nil || k.info() != s.told {
			continue
		}
		if verifier = s.try(k, final); verifier != "" {
			s.t.app = &all[i]
			return verifier, nil
		}
	}
	return "", nil
}

func (s *scramLogin) apps(ctx context.Context) ([]AppPassword, error) {
	if err := s.a.mayAsk(ctx); err != nil {
		return nil, err
	}
	defer func() { <-s.a.asking }()
	all, err := s.a.opt.Directory.AppPasswords(ctx, s.t.cred.Account)
	if err != nil {
		return nil, unavailable(ctx, fmt.Errorf("look up app passwords: %w", err))
	}
	return all, nil
}

// try has the client's messages again in a conversation about other keys, and returns what proves us, if they are those of the
// client.
func (s *scramLogin) try(k scramKeys, final string) string {
	conv, err := s.conversation(func(string) (scram.StoredCredentials, error) { return k.credentials(), nil })
	if err == nil {
		_, err = conv.Step(s.first)
	}
	if err != nil {
		return ""
	}
	verifier, err := conv.Step(final)
	if err != nil || !conv.Valid() {
		return ""
	}
	return verifier
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
