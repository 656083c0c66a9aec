// LOGIN and AUTHENTICATE (RFC 3501 §6.2; SASL-IR, RFC 4959).

package imap

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/pkg/auth"
	"postern/pkg/imap/wire"

	"github.com/emersion/go-imap/v2"
	"go.uber.org/zap"
)

type loginRequest struct{ user, password string }

func parseLogin(d *wire.Decoder, _ flags) (loginRequest, error) {
	var r loginRequest
	r.user = d.SP().AString()
	r.password = d.SP().AString()
	return r, d.End()
}

func (c *conn) login(ctx context.Context, r loginRequest) error {
	if !c.mayLogin() {
		return refusal{code: "PRIVACYREQUIRED", text: "Passwords are taken over TLS only."}
	}
	id, err := c.decide(ctx, func(ctx context.Context) (auth.Identity, error) {
		return c.srv.Auth.Login(ctx, c.peer, r.user, r.password)
	})
	return c.enter(ctx, id, err)
}

// decide has a login decided. It does not keep the server from stopping, however long a refusal is delayed.
func (c *conn) decide(ctx context.Context, by func(context.Context) (auth.Identity, error)) (auth.Identity, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_ = c.stream.flush() // what has been answered need not wait for it; an error is the stream's from then on
	c.stream.onStop(cancel)
	defer c.stream.onStop(nil)
	return by(ctx)
}

// mayLogin reports whether passwords are taken from this peer.
func (c *conn) mayLogin() bool { return slices.Contains(c.srv.Auth.Mechanisms(c.peer), "PLAIN") }

type authenticateRequest struct {
	mechanism string
	initial   []byte // nil if there was none; "=" stands for an empty one (RFC 4959 §3)
}

func parseAuthenticate(d *wire.Decoder, _ flags) (authenticateRequest, error) {
	r := authenticateRequest{mechanism: d.SP().Keyword()}
	if d.Knows(imap.CapSASLIR) && d.TrySP() {
		word := d.Word()
		if word == "" {
			d.Fail("an initial response")
		}
		if word == "=" {
			word = ""
		}
		var err error
		if r.initial, err = decodeResponse(word); err != nil {
			d.Fail("base64 before this")
		}
	}
	return r, d.End()
}

func decodeResponse(s string) ([]byte, error) {
	p, err := base64.StdEncoding.DecodeString(s)
	if p == nil && err == nil {
		p = []byte{}
	}
	return p, err
}

func (c *conn) authenticate(ctx context.Context, r authenticateRequest) error {
	if !c.offers(imap.AuthCap(r.mechanism)) {
		return auth.ErrMechanism
	}
	id, err := c.decide(ctx, func(ctx context.Context) (auth.Identity, error) {
		return c.srv.Auth.Exchange(ctx, c.peer, r.mechanism, r.initial, c.ask)
	})
	if cerr := c.dec.Lost(); cerr != nil {
		return &lost{cerr}
	}
	if serr := c.dec.Err(); serr != nil {
		return serr // an answer that cannot be read is BAD (RFC 3501 §6.2.2)
	}
	return c.enter(ctx, id, err)
}

// ask sends a challenge and reads the answer: a line of base64, or "*" to cancel. Some clients give up by sending their
// next command instead: its tag is kept, and it runs after the tagged NO.
func (c *conn) ask(challenge []byte) ([]byte, error) {
	if err := c.enc.Atom("+ ").Atom(base64.StdEncoding.EncodeToString(challenge)).CRLF().Err(); err != nil {
		return nil, err
	}
	c.dec.Begin(c.limits())
	word := c.dec.Word()
	if c.dec.Peek() == ' ' && isTag(word) {
		c.tag = word
		return nil, auth.ErrCancelled
	}
	if c.dec.End() != nil || word == "*" {
		return nil, auth.ErrCancelled
	}
	answer, err := decodeResponse(word)
	if err != nil {
		c.dec.Fail("base64")
		return nil, auth.ErrCancelled
	}
	return answer, nil
}

func isTag(s string) bool { return s != "" && !strings.ContainsAny(s, `+(){%*"\`) }

// enter begins the authenticated state, or says why not.
func (c *conn) enter(ctx context.Context, id auth.Identity, err error) error {
	if err != nil {
		if errors.Is(err, auth.ErrDenied) || errors.Is(err, auth.ErrThrottled) {
			c.failures++
		}
		return fmt.Errorf("login: %w", err)
	}
	account, err := c.srv.Accounts.Account(ctx, id.Account)
	if err != nil {
		return fmt.Errorf("open account %d: %w", id.Account, err)
	}
	if !c.srv.admit(id.Account, c.peer.Addr) {
		c.log.Warn("too many sessions", zap.String("user", id.User))
		return refusal{code: "LIMIT", text: "Too many sessions of this account; close some first."}
	}
	c.account, c.user, c.state = account, id.User, authenticated
	c.stay = c.srv.Auth.Keep(id, c.peer, c.withdraw)
	c.stay.Client(c.client)
	c.pace = c.srv.Limits.Pace()
	c.mask = c.mask.and(newMask(strings.Split(id.Disable, ",")))
	c.stream.limit, c.stream.early = time.Time{}, false
	c.log = c.log.With(zap.String("user", id.User))
	c.answer(c.capabilities(), "Logged in.")
	return nil
}
