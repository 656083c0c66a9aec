package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/emersion/go-sasl"

	"postern/pkg/store"
)

// xoauth2 is OAUTHBEARER from before there was a standard: Google's, and since then everybody's.
const xoauth2 = "XOAUTH2"

// maxTokenMessage is octets of a message that carries a token: the longest there are have some 8,000.
const maxTokenMessage = 11 << 10

// Tokens says whose access tokens are.
type Tokens interface {
	// Check returns what a token says. A *TokenFault is what is wrong with it; another error, that it could not be checked.
	Check(ctx context.Context, token string) (Token, error)
	// Hint is what a client is told that has come with no good token.
	Hint() TokenHint
}

// Token is an access token that is good.
type Token struct {
	Mailboxes []string  // its owner's addresses; one at least
	Expires   time.Time // when the sessions end that it begins; zero: they do not end for it
}

// TokenHint helps a client to a token (RFC 7628 §3.2.2).
type TokenHint struct {
	Scope         string // what it must have, with spaces between; may be empty
	Configuration string // URL of the provider's OpenID configuration
}

// TokenFault is what is wrong with a token.
type TokenFault struct {
	Why     string // for the operator; nothing of the token is in it
	Genuine bool   // its issuer has made it: it is nobody's guess
	Expired bool   // it was good once
	Scope   bool   // it is good for something else
}

func (f *TokenFault) Error() string { return f.Why }

// exchangeToken runs OAUTHBEARER (RFC 7628) and XOAUTH2. What is wrong goes to the client as a challenge, which it answers with
// whatever it likes before the exchange fails (RFC 7628 §3.2.3).
func (a *Auth) exchangeToken(ctx context.Context, p Peer, mech string, first []byte, ask asking) (Identity, error) {
	var err error
	if first == nil {
		if first, err = ask([]byte{}); err != nil {
			return Identity{}, fmt.Errorf("sasl answer: %w", err)
		}
	}
	if len(first) > maxTokenMessage {
		return Identity{}, fmt.Errorf("%w: too long", ErrCancelled)
	}
	id, trouble, err := a.readToken(ctx, p, mech, first)
	if err == nil {
		return id, nil
	}
	// Whether it has answered, and what, is all one: it has not logged in.
	_, _ = ask(trouble.challenge(mech, a.opt.Tokens.Hint()))
	return Identity{}, err
}

func (a *Auth) readToken(ctx context.Context, p Peer, mech string, first []byte) (Identity, *trouble, error) {
	read := parseOAuthBearer
	if mech == xoauth2 {
		read = parseXOAuth2
	}
	m, ok := read(string(first))
	if !ok {
		return Identity{}, unreadable, fmt.Errorf("%w: malformed message", ErrCancelled)
	}
	t := &attempt{peer: p, mech: mech, user: m.user}
	said, trouble, err := a.loginByToken(ctx, t, m.token)
	if err != nil {
		return Identity{}, trouble, err
	}
	id := a.accept(t)
	if m.user == "" { // next time too nobody knows who it is before the token is read
		a.throttle.known.put(a.pairOf("", prefixOf(p.Addr)), struct{}{})
	}
	id.NoPassword, id.Expires = true, said.Expires
	return id, nil, nil
}

// loginByToken says whether a token opens the mailbox that the client wants, or its owner's if it does not say. Who has a good
// one is let in whatever has been tried before: it is nothing that can be guessed.
func (a *Auth) loginByToken(ctx context.Context, t *attempt, token string) (Token, *trouble, error) {
	if t.user != "" {
		switch fault, err := a.findUser(ctx, t); {
		case err != nil:
			return Token{}, away, err
		case fault != "":
			return Token{}, unreadable, a.refuseToken(ctx, t, token, &TokenFault{Why: fault})
		}
	}
	a.identify(t)
	if why := a.throttle.hopeless(t.keys); why != "" {
		return Token{}, away, a.refuse(ctx, t, refusal{ErrThrottled, why})
	}
	said, err := a.opt.Tokens.Check(ctx, token)
	var fault *TokenFault
	switch {
	case errors.As(err, &fault):
		return Token{}, troubleOf(fault), a.refuseToken(ctx, t, token, fault)
	case err != nil:
		return Token{}, away, fmt.Errorf("%w: check a token: %w", ErrAway, err)
	}
	switch fault, err = a.claim(ctx, t, said); {
	case err != nil:
		return Token{}, away, err
	case fault != nil:
		return Token{}, invalid, a.refuseToken(ctx, t, token, fault)
	}
	return said, nil, nil
}

// findUser looks up who the client wants to be.
func (a *Auth) findUser(ctx context.Context, t *attempt) (fault string, err error) {
	if fault = t.faultOfName(); fault != "" {
		a.identify(t)
		return fault, nil
	}
	return "", a.lookUp(ctx, t)
}

// claim says what keeps a good token from the mailbox.
func (a *Auth) claim(ctx context.Context, t *attempt, said Token) (*TokenFault, error) {
	if t.user == "" {
		if len(said.Mailboxes) > 1 {
			return &TokenFault{Why: "token has several mailboxes, and the client does not say which", Genuine: true}, nil
		}
		t.user = said.Mailboxes[0]
		switch fault, err := a.findUser(ctx, t); {
		case err != nil:
			return nil, err
		case fault != "":
			return &TokenFault{Why: fault, Genuine: true}, nil
		}
		a.identify(t)
	}
	if !isAmong(t.user, said.Mailboxes) {
		return &TokenFault{Why: "token is another's"}, nil
	}
	if fault := t.faultOfAccount(); fault != "" {
		return &TokenFault{Why: fault, Genuine: true}, nil
	}
	return nil, nil
}

// isAmong reports whether a name is that of one of the mailboxes, in any spelling of addresses.
func isAmong(user string, mailboxes []string) bool {
	wanted, ok := store.ParseAddress(user)
	if !ok {
		return false
	}
	for _, m := range mailboxes {
		if a, ok := store.ParseAddress(m); ok && a.String() == wanted.String() {
			return true
		}
	}
	return false
}

// refuseToken counts what may be an attack. A token that has expired is not: a telephone may come with it first each time. With
// one that the issuer has made, the same fault again is the same failure again, however often the client gets a new one.
func (a *Auth) refuseToken(ctx context.Context, t *attempt, token string, fault *TokenFault) error {
	who := string(t.keys.user[:])
	t.print = a.digest("token", who, token)
	if fault.Genuine {
		t.print = a.digest("token fault", who, fault.Why)
	}
	if !fault.Expired {
		a.throttle.failed(t.keys, t.print)
	}
	return a.refuse(ctx, t, refusal{ErrDenied, fault.Why})
}

// trouble is what a client is told of why it has not logged in: the word of RFC 6750 §3.1, and the number that XOAUTH2 has.
type trouble struct{ status, number string }

var (
	unreadable   = &trouble{"invalid_request", "400"}
	invalid      = &trouble{"invalid_token", "401"}
	insufficient = &trouble{"insufficient_scope", "403"}
	away         = &trouble{"temporarily_unavailable", "503"} // the token may be good: keep it
)

func troubleOf(f *TokenFault) *trouble {
	if f.Scope {
		return insufficient
	}
	return invalid
}

// challenge is the trouble in JSON (RFC 7628 §3.2.2).
func (tr *trouble) challenge(mech string, hint TokenHint) []byte {
	said := struct {
		Status        string `json:"status"`
		Schemes       string `json:"schemes,omitempty"`
		Scope         string `json:"scope,omitempty"`
		Configuration string `json:"openid-configuration,omitempty"`
	}{tr.status, "", hint.Scope, hint.Configuration}
	if mech == xoauth2 {
		said.Status, said.Schemes, said.Configuration = tr.number, "bearer", ""
	}
	text, err := json.Marshal(said)
	if err != nil { // four texts
		return []byte("{}")
	}
	return text
}

// isToken reports whether a mechanism is one that takes access tokens.
func isToken(mech string) bool { return mech == sasl.OAuthBearer || mech == xoauth2 }
