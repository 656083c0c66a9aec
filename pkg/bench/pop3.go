package bench

import (
	"bytes"
	"context"
	"fmt"
	"strings"
)

// pop3Conn is a session with a maildrop.
type pop3Conn struct {
	*wire
	pipelining bool
}

// pop3 connects and learns what the server can do. It does not log in.
func (b *Bench) pop3(ctx context.Context) (*pop3Conn, error) {
	w, err := dial(ctx, b.target.POP3, b.tls)
	if err != nil {
		return nil, fmt.Errorf("POP3: %w", err)
	}
	c := &pop3Conn{wire: w}
	if err := c.greet(); err != nil {
		c.close()
		return nil, fmt.Errorf("POP3: %w", err)
	}
	return c, nil
}

func (c *pop3Conn) greet() error {
	if _, err := c.ok(); err != nil {
		return err
	}
	c.write("CAPA\r\n")
	if _, err := c.ok(); err != nil {
		return err
	}
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		if string(line) == "." {
			return nil
		}
		c.pipelining = c.pipelining || strings.EqualFold(string(line), "PIPELINING")
	}
}

// login opens the maildrop.
func (c *pop3Conn) login(l Login) error {
	c.write("USER ", l.Address, "\r\n")
	if _, err := c.ok(); err != nil {
		return fmt.Errorf("POP3: USER: %w", err)
	}
	c.write("PASS ", l.Password, "\r\n")
	if _, err := c.ok(); err != nil {
		return fmt.Errorf("POP3: %w of %s: %w", ErrRefused, l.Address, err)
	}
	return nil
}

// ok sends what has been written and reads a reply's first line, which must be +OK. It returns what follows that.
func (c *pop3Conn) ok() ([]byte, error) {
	if err := c.w.Flush(); err != nil {
		return nil, err
	}
	return c.next()
}

// next reads the next reply's first line.
func (c *pop3Conn) next() ([]byte, error) {
	line, err := c.line()
	if err != nil {
		return nil, err
	}
	rest, ok := bytes.CutPrefix(line, []byte("+OK"))
	if !ok {
		return nil, fmt.Errorf("the server answers %q", line)
	}
	return bytes.TrimPrefix(rest, []byte(" ")), nil
}

// quit ends the session; what was marked is deleted.
func (c *pop3Conn) quit() error {
	c.write("QUIT\r\n")
	_, err := c.ok()
	return err
}

// stat is how many messages the maildrop has.
func (c *pop3Conn) stat() (int, error) {
	c.write("STAT\r\n")
	line, err := c.ok()
	if err != nil {
		return 0, err
	}
	n, _, ok := number(line)
	if !ok {
		return 0, fmt.Errorf("STAT: %q", line)
	}
	return int(n), nil
}
