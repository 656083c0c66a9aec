package pop3

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// states are the states of RFC 1939 §3 in which a command is allowed.
type states uint8

const (
	authorization states = 1 << iota
	transaction

	anyState = authorization | transaction
)

// commands is the package's table of contents.
var commands = table(
	define("CAPA", anyState, parseNothing, (*conn).capa),
	define("LANG", anyState, parseText, (*conn).lang),
	define("NOOP", transaction, parseNothing, (*conn).noop),
	define("QUIT", anyState, parseNothing, (*conn).quit),

	define("APOP", authorization, parseText, (*conn).apop),
	define("AUTH", authorization, parseAuth, (*conn).authenticate),
	define("PASS", authorization, parseText, (*conn).pass),
	define("STLS", anyState, parseNothing, (*conn).stls),
	define("USER", authorization, parseText, (*conn).userName),
	define("UTF8", authorization, parseNothing, (*conn).utf8),

	define("DELE", transaction, parseNumber, (*conn).dele),
	define("LIST", transaction, parseOptionalNumber, (*conn).list),
	define("RETR", transaction, parseNumber, (*conn).retr),
	define("RSET", transaction, parseNothing, (*conn).rset),
	define("STAT", transaction, parseNothing, (*conn).stat),
	define("TOP", transaction, parseTop, (*conn).top),
	define("UIDL", transaction, parseOptionalNumber, (*conn).uidl),
)

// command is one row of the table.
type command struct {
	name string
	in   states
	run  func(c *conn, ctx context.Context, args string) error
}

// define ties a command's grammar to what it does. R is the request one produces and the other takes.
func define[R any](name string, in states, parse func(string) (R, error), run func(*conn, context.Context, R) error) command {
	return command{name: name, in: in, run: func(c *conn, ctx context.Context, args string) error {
		r, err := parse(args)
		if err != nil {
			return err
		}
		return run(c, ctx, r)
	}}
}

func table(rows ...command) map[string]command {
	t := make(map[string]command, len(rows))
	for _, row := range rows {
		t[row.name] = row
	}
	return t
}

// lookUp finds the command of a line; names have no case (RFC 1939 §3).
func (c *conn) lookUp(line string) (cmd command, args string, ok bool) {
	name, args, _ := strings.Cut(line, " ")
	cmd, ok = c.commands[strings.ToUpper(name)]
	return cmd, args, ok
}

// dispatch runs one command.
func (c *conn) dispatch(ctx context.Context, line string) error {
	c.tally.commands++
	cmd, args, ok := c.lookUp(line)
	if !ok {
		c.server.Metrics.observe("unknown", resultBad, 0)
		return &refusal{text: "Unknown command.", result: resultBad}
	}
	if c.drop == nil && c.tally.commands > maxEarly && cmd.name != "QUIT" {
		return errTooMany
	}
	start := time.Now()
	err := c.allow(cmd)
	if err == nil {
		err = cmd.run(c, ctx, args)
	}
	c.server.Metrics.observe(cmd.name, c.result(err), time.Since(start))
	return err
}

func (c *conn) allow(cmd command) error {
	state, hint := authorization, "Log in first."
	if c.drop != nil {
		state, hint = transaction, "You are logged in already."
	}
	if cmd.in&state == 0 {
		return &refusal{text: hint, result: resultBad}
	}
	return nil
}

// The parsers are pure: arguments in, request out.

type nothing struct{}

func parseNothing(args string) (nothing, error) {
	if strings.TrimSpace(args) != "" {
		return nothing{}, badArguments("This command takes no argument.")
	}
	return nothing{}, nil
}

// parseText takes all of the rest: a password may contain and end in spaces (RFC 1939 §7, PASS).
func parseText(args string) (string, error) { return args, nil }

func parseNumber(args string) (uint32, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(args), 10, 32)
	if err != nil || n == 0 {
		return 0, badArguments("A message number is expected.")
	}
	return uint32(n), nil
}

// parseOptionalNumber returns 0 for no number.
func parseOptionalNumber(args string) (uint32, error) {
	if strings.TrimSpace(args) == "" {
		return 0, nil
	}
	return parseNumber(args)
}

type topRequest struct {
	number uint32
	lines  uint64
}

func parseTop(args string) (topRequest, error) {
	words := strings.Fields(args)
	if len(words) != 2 {
		return topRequest{}, badArguments("A message number and a number of lines are expected.")
	}
	number, err := parseNumber(words[0])
	if err != nil {
		return topRequest{}, err
	}
	lines, err := strconv.ParseUint(words[1], 10, 63)
	if err != nil {
		return topRequest{}, badArguments("A number of lines is expected.")
	}
	return topRequest{number, lines}, nil
}

type authRequest struct {
	mechanism string // empty asks for the list
	initial   []byte // nil when there was none
}

func parseAuth(args string) (authRequest, error) {
	words := strings.Fields(args)
	switch len(words) {
	case 0:
		return authRequest{}, nil
	case 1:
		return authRequest{mechanism: strings.ToUpper(words[0])}, nil
	case 2:
		initial, err := decodeResponse(words[1])
		if err != nil {
			return authRequest{}, badArguments("The initial response is not base64.")
		}
		return authRequest{strings.ToUpper(words[0]), initial}, nil
	}
	return authRequest{}, badArguments("A mechanism and at most one initial response are expected.")
}

// decodeResponse undoes base64; "=" is an initial response that is there but empty (RFC 5034 §4).
func decodeResponse(s string) ([]byte, error) {
	if s == "=" {
		return []byte{}, nil
	}
	return base64.StdEncoding.DecodeString(s)
}

func badArguments(text string) error { return &refusal{text: text, result: resultBad} }
