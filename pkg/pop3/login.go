package pop3

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"

	"postern/pkg/auth"
)

// maxFailures is how many wrong passwords a connection may try. One is not enough: a client that is cut off at the first
// tells its user that the server is down (REQUIREMENTS names this among the traps).
const maxFailures = 3

// USER (RFC 1939 §7) says nothing about whether the name is known. Spaces around it are the client's, or were pasted.
func (c *conn) userName(_ context.Context, name string) error {
	name = strings.TrimSpace(name)
	if !c.plainOffered() {
		return &refusal{text: "USER is not offered on this connection."}
	}
	if name == "" {
		return badArguments("A name is expected.")
	}
	c.user = name
	c.ok("Send the password.")
	return nil
}

func (c *conn) pass(ctx context.Context, password string) error {
	if c.user == "" {
		return badArguments("USER comes first.")
	}
	user := c.user
	c.user = ""
	ctx, cancel := context.WithTimeout(ctx, loginTime(c.server))
	defer cancel()
	id, err := c.decide(ctx, func(ctx context.Context) (auth.Identity, error) {
		return c.server.Auth.Login(ctx, c.peer, user, password)
	})
	return c.enter(ctx, id, err)
}

// AUTH (RFC 5034). Without a mechanism it lists them, as clients from before CAPA expect.
func (c *conn) authenticate(ctx context.Context, r authRequest) error {
	mechanisms := c.server.Auth.Mechanisms(c.peer)
	if r.mechanism == "" {
		c.ok("Mechanisms follow.")
		c.lines(mechanisms...)
		return nil
	}
	if !slices.Contains(mechanisms, r.mechanism) {
		return auth.ErrMechanism
	}
	ctx, cancel := context.WithTimeout(ctx, c.server.loginTimeout()+loginTime(c.server))
	defer cancel()
	id, err := c.decide(ctx, func(ctx context.Context) (auth.Identity, error) {
		return c.server.Auth.Exchange(ctx, c.peer, r.mechanism, r.initial, c.ask)
	})
	return c.enter(ctx, id, err)
}

// decide has a login decided. It does not keep the server from stopping, however long a refusal is delayed.
func (c *conn) decide(ctx context.Context, by func(context.Context) (auth.Identity, error)) (auth.Identity, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.out.Flush() //nolint:errcheck // sticky, see reply.go; what has been answered need not wait
	c.onStop(cancel)
	defer c.onStop(nil)
	return by(ctx)
}

// loginTime is how long a login may take once the client has said all: the check, its delay, and opening the maildrop.
func loginTime(s *Server) time.Duration { return 2 * s.storeTimeout() }

// ask sends a challenge and returns the answer (RFC 5034 §4).
func (c *conn) ask(challenge []byte) ([]byte, error) {
	c.line("+ " + base64.StdEncoding.EncodeToString(challenge))
	line, err := c.readLine(func([]byte) bool { return true })
	if err != nil {
		return nil, errors.Join(auth.ErrCancelled, err)
	}
	if line == "*" {
		return nil, auth.ErrCancelled
	}
	answer, err := base64.StdEncoding.DecodeString(line)
	switch {
	case c.isCommand(line, answer):
		c.pushed = &line
		return nil, auth.ErrCancelled
	case err != nil:
		return nil, auth.ErrCancelled
	}
	return answer, nil
}

// isCommand reports whether a client has dropped its exchange without a word and gone on with a command. Several names
// of commands are base64 too, but what they stand for is no name and no password: control characters or broken UTF-8.
func (c *conn) isCommand(line string, decoded []byte) bool {
	if _, _, ok := c.lookUp(line); !ok {
		return false
	}
	plausible := len(decoded) > 0 && utf8.Valid(decoded) && !slices.ContainsFunc([]rune(string(decoded)), unicode.IsControl)
	return !plausible
}

// enter opens the maildrop of a user who has proved who they are, or counts the failure. The audit line is auth's.
func (c *conn) enter(ctx context.Context, id auth.Identity, err error) error {
	if errors.Is(err, auth.ErrDenied) || errors.Is(err, auth.ErrThrottled) {
		c.tally.failures++
	}
	if err != nil {
		return err
	}
	drop, err := openMaildrop(ctx, c.server, id.Account)
	if err != nil {
		return err
	}
	c.drop = drop
	c.stay = c.server.Auth.Keep(id, c.peer, c.withdraw)
	c.pace = c.server.Limits.Pace()
	c.log = c.log.With(zap.String("user", id.User))
	c.ok("Logged in, " + drop.summary() + ".")
	if err := c.release(); err != nil {
		c.broken = err
		return err
	}
	c.acquire() // what follows may have been sent with the login, and is larger than what comes before it
	return nil
}

// plainOffered reports whether passwords may be sent on this connection: where PLAIN is not, USER is not either.
func (c *conn) plainOffered() bool {
	return slices.Contains(c.server.Auth.Mechanisms(c.peer), "PLAIN")
}

// APOP needs a secret kept in the clear and MD5 (RFC 1939 §7), so it is never offered.
func (c *conn) apop(context.Context, string) error {
	return &refusal{text: "APOP is not offered, use AUTH or USER."}
}
