package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// imapConn is a session.
type imapConn struct {
	*wire
	caps  map[string]bool
	tags  int
	first []byte // of the response that is being read
	err   error  // what went wrong while a command was written

	selected string // the mailbox
	leaving  bool   // BYE is what we asked for
}

// response is one untagged response: its text up to the first literal, and what its literals come to.
type response struct {
	line     []byte // without "* "; valid until the next response is read
	literals int
	octets   int64
}

// imap connects, logs in and learns what the server can do.
func (b *Bench) imap(ctx context.Context, l Login) (*imapConn, error) {
	return b.imapWith(ctx, l, b.tls)
}

func (b *Bench) imapWith(ctx context.Context, l Login, conf *tls.Config) (*imapConn, error) {
	w, err := dial(ctx, b.target.IMAP, conf)
	if err != nil {
		return nil, fmt.Errorf("IMAP: %w", err)
	}
	c := &imapConn{wire: w}
	if err = c.greet(); err == nil {
		err = c.login(l)
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("IMAP: %w", err)
	}
	return c, nil
}

// greet reads the greeting and asks for the capabilities if it does not name them.
func (c *imapConn) greet() error {
	line, err := c.line()
	if err != nil {
		return fmt.Errorf("waiting for the greeting: %w", err)
	}
	if !bytes.HasPrefix(line, []byte("* OK")) {
		return fmt.Errorf("the server greets with %q", line)
	}
	if c.learn(line) {
		return nil
	}
	return c.capability()
}

// learn takes capabilities from a response code or a CAPABILITY response.
func (c *imapConn) learn(line []byte) bool {
	_, list, ok := strings.Cut(string(line), "CAPABILITY ")
	if !ok {
		return false
	}
	list, _, _ = strings.Cut(list, "]")
	c.caps = make(map[string]bool)
	for name := range strings.FieldsSeq(strings.ToUpper(list)) {
		c.caps[name] = true
	}
	return true
}

func (c *imapConn) capability() error {
	return c.do("CAPABILITY", func(r response) error {
		if bytes.HasPrefix(r.line, []byte("CAPABILITY ")) {
			c.learn(r.line)
		}
		return nil
	})
}

func (c *imapConn) login(l Login) error {
	c.begin()
	if c.caps["SASL-IR"] && c.caps["AUTH=PLAIN"] {
		c.write("AUTHENTICATE PLAIN ", base64.StdEncoding.EncodeToString([]byte("\x00"+l.Address+"\x00"+l.Password)))
	} else {
		c.write("LOGIN ", quoted(l.Address), " ", quoted(l.Password))
	}
	tag := c.end()
	told := false
	line, err := c.await(tag, func(r response) error {
		told = told || bytes.HasPrefix(r.line, []byte("CAPABILITY ")) && c.learn(r.line)
		return nil
	})
	var no *refusal
	if errors.As(err, &no) {
		return fmt.Errorf("%w of %s: %s", ErrRefused, l.Address, no.text)
	}
	if err != nil || told || c.learn(line) {
		return err
	}
	return c.capability()
}

// can is why a step must be left out if the server lacks a capability.
func (c *imapConn) can(names ...string) error {
	for _, name := range names {
		if !c.caps[name] {
			return unable("the server does not announce " + name)
		}
	}
	return nil
}

// begin writes a tag. A command is written with begin, write or literal, and end.
func (c *imapConn) begin() {
	c.tags++
	c.write("a", strconv.Itoa(c.tags), " ")
}

// literal writes octets of any kind, without waiting if the server allows that.
func (c *imapConn) literal(octets []byte) {
	if c.caps["LITERAL+"] || c.caps["LITERAL-"] && len(octets) <= 4096 {
		c.write("{", strconv.Itoa(len(octets)), "+}\r\n")
		_, _ = c.w.Write(octets) // the error stays until Flush
		return
	}
	c.write("{", strconv.Itoa(len(octets)), "}\r\n")
	if c.err == nil {
		c.err = c.goAhead()
	}
	_, _ = c.w.Write(octets)
}

// goAhead sends what is written and waits for the server's "+".
func (c *imapConn) goAhead() error {
	if err := c.w.Flush(); err != nil {
		return err
	}
	for {
		line, err := c.line()
		switch {
		case err != nil:
			return err
		case bytes.HasPrefix(line, []byte("+")):
			return nil
		case !bytes.HasPrefix(line, []byte("* ")):
			return fmt.Errorf("waiting for \"+\": %q", line)
		}
	}
}

// end ends a command and returns its tag. It is sent with what follows, or when an answer is awaited.
func (c *imapConn) end() int {
	c.write("\r\n")
	return c.tags
}

// send writes a command.
func (c *imapConn) send(parts ...string) int {
	c.begin()
	c.write(parts...)
	return c.end()
}

// do sends a command and hands each response to each, which may be nil. It returns when the command is done.
func (c *imapConn) do(command string, each func(response) error) error {
	_, err := c.await(c.send(command), each)
	return err
}

// logout ends the session as it should be.
func (c *imapConn) logout() error {
	c.leaving = true
	return c.do("LOGOUT", nil)
}

// refusal is NO or BAD.
type refusal struct{ text string }

func (r *refusal) Error() string { return "the server answers " + r.text }

// await reads to the tagged reply and returns it. It must be OK.
func (c *imapConn) await(tag int, each func(response) error) ([]byte, error) {
	if err := errors.Join(c.err, c.w.Flush()); err != nil {
		return nil, err
	}
	for {
		r, done, err := c.response(tag)
		if err != nil {
			return nil, err
		}
		if done {
			if !bytes.HasPrefix(r.line, []byte("OK")) {
				return nil, &refusal{string(r.line)}
			}
			return r.line, nil
		}
		if each == nil {
			continue
		}
		if err := each(r); err != nil {
			return nil, err
		}
	}
}

// response reads a whole response with its literals, and says whether it is the one that ends the command.
func (c *imapConn) response(tag int) (r response, done bool, err error) {
	line, err := c.line()
	if err != nil {
		return r, false, err
	}
	if rest, ok := bytes.CutPrefix(line, []byte("* ")); ok {
		if bytes.HasPrefix(rest, []byte("BYE")) && !c.leaving {
			return r, false, fmt.Errorf("the server ends the session: %q", rest)
		}
		r.line = rest
		err = c.literals(&r)
		return r, false, err
	}
	if rest, ok := bytes.CutPrefix(line, []byte("a")); ok {
		if n, rest, ok := number(rest); ok && n == uint64(tag) && len(rest) > 0 {
			r.line = rest[1:]
			return r, true, nil
		}
	}
	return r, false, fmt.Errorf("waiting for the reply to a%d: %q", tag, line)
}

// literals passes over the literals of a response.
func (c *imapConn) literals(r *response) error {
	n, ok := literalAt(r.line)
	if !ok {
		return nil
	}
	c.first = append(c.first[:0], r.line...)
	r.line = c.first
	for ok {
		r.literals++
		r.octets += n
		if err := c.skip(n); err != nil {
			return err
		}
		line, err := c.line()
		if err != nil {
			return err
		}
		n, ok = literalAt(line)
	}
	return nil
}

// literalAt is the length of the literal that a line announces at its end.
func literalAt(line []byte) (int64, bool) {
	if len(line) == 0 || line[len(line)-1] != '}' {
		return 0, false
	}
	open := bytes.LastIndexByte(line, '{')
	if open < 0 {
		return 0, false
	}
	n, rest, ok := number(line[open+1 : len(line)-1])
	return int64(n), ok && len(rest) == 0
}

// number reads the digits that b begins with.
func number(b []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && i < 19 && b[i] >= '0' && b[i] <= '9'; i++ {
		n = 10*n + uint64(b[i]-'0')
	}
	return n, b[i:], i > 0
}

// numbered splits "12 FETCH (…" into its number and what follows the name. It is false for other responses.
func (r response) numbered(name string) (n int, rest []byte, ok bool) {
	v, rest, ok := number(r.line)
	if !ok || len(rest) < 2 || !bytes.HasPrefix(rest[1:], []byte(name)) {
		return 0, nil, false
	}
	return int(v), rest[1+len(name):], true
}

// after is the number that follows a word in a line; 0 if it is not there.
func after(line []byte, word string) uint64 {
	_, rest, _ := bytes.Cut(line, []byte(word))
	n, _, _ := number(rest)
	return n
}

func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// wrong is an answer that is not what it must be.
func wrong(what string, got, want any) error {
	return fmt.Errorf("wrong answer: %v %s, not %v", got, what, want)
}
