package lmtp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// commands is the package's table of contents.
var commands = table(
	define("LHLO", parseText, (*conn).lhlo),
	define("MAIL", parseMail, (*conn).mail),
	define("RCPT", parseRcpt, (*conn).rcpt),
	define("DATA", parseNothing, (*conn).data),
	define("BDAT", parseChunk, (*conn).bdat),
	define("RSET", parseNothing, (*conn).rset),
	define("NOOP", parseText, (*conn).noop),
	define("QUIT", parseText, (*conn).quit),
	define("VRFY", parseText, (*conn).vrfy),
	define("HELP", parseText, (*conn).help),
	define("HELO", parseText, (*conn).helloOfSMTP),
	define("EHLO", parseText, (*conn).helloOfSMTP),
)

// command is one row of the table.
type command struct {
	name string
	run  func(c *conn, ctx context.Context, args string) error
}

// define ties a command's grammar to what it does. R is the request one produces and the other takes.
func define[R any](name string, parse func(string) (R, error), run func(*conn, context.Context, R) error) command {
	return command{name: name, run: func(c *conn, ctx context.Context, args string) error {
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

// lookUp finds the command of a line; names have no case (RFC 5321 §2.4).
func (c *conn) lookUp(line string) (cmd command, args string, ok bool) {
	name, args, _ := strings.Cut(line, " ")
	cmd, ok = c.commands[strings.ToUpper(name)]
	return cmd, strings.TrimSpace(args), ok
}

// dispatch runs one command.
func (c *conn) dispatch(ctx context.Context, line string) error {
	cmd, args, ok := c.lookUp(line)
	if !ok {
		c.server.Metrics.observe("unknown", errUnknown)
		return errUnknown
	}
	err := cmd.run(c, ctx, args)
	var r *reply
	errors.As(err, &r)
	c.server.Metrics.observe(cmd.name, r)
	return err
}

var errUnknown = &reply{500, "5.5.1", "Unknown command."}

type nothing struct{}

func parseNothing(args string) (nothing, error) {
	if args != "" {
		return nothing{}, &reply{501, "5.5.4", "This command takes no argument."}
	}
	return nothing{}, nil
}

func parseText(args string) (string, error) { return args, nil }

// LHLO (RFC 2033 §4.1) begins a session anew.
func (c *conn) lhlo(_ context.Context, name string) error {
	if name == "" {
		return &reply{501, "5.5.4", "A host name is expected."}
	}
	c.helo, c.env = name, nil
	c.lines(250, append([]string{c.server.Hostname}, c.extensions()...)...)
	return nil
}

// extensions leaves out two. DSN: a server that offers it takes on the duty to report success (RFC 3461 §5.2.1), which a
// mail server that sees none reports itself; its parameters are accepted all the same. BINARYMIME: line ends are made
// CRLF on arrival.
func (c *conn) extensions() []string {
	return []string{
		"PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "CHUNKING",
		"SIZE " + strconv.FormatInt(c.server.maxSize(), 10),
		fmt.Sprintf("LIMITS RCPTMAX=%d", c.server.maxRecipients()),
	}
}

func (c *conn) helloOfSMTP(context.Context, string) error {
	return &reply{500, "5.5.1", "This is LMTP, say LHLO."} // RFC 2033 §4.1
}

func (c *conn) rset(context.Context, nothing) error {
	c.env = nil
	return c.ok("2.0.0", "Forgotten.")
}

func (c *conn) noop(context.Context, string) error { return c.ok("2.0.0", "Nothing done.") }

func (c *conn) help(context.Context, string) error {
	c.say(&reply{214, "2.0.0", "RFC 2033, RFC 5321."})
	return nil
}

// VRFY does not tell who has an account (RFC 5321 §7.3).
func (c *conn) vrfy(context.Context, string) error {
	c.say(&reply{252, "2.5.0", "Send some mail, I'll try my best."})
	return nil
}

func (c *conn) quit(context.Context, string) error {
	c.say(&reply{221, "2.0.0", "Bye."})
	return errQuit
}
