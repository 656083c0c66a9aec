package bench

import (
	"bytes"
	"context"
	"fmt"
	"strings"
)

// lmtpConn delivers mail as an MTA does (RFC 2033).
type lmtpConn struct {
	*wire
	pipelining bool
}

func (b *Bench) lmtp(ctx context.Context) (*lmtpConn, error) {
	w, err := dial(ctx, b.target.LMTP, nil)
	if err != nil {
		return nil, fmt.Errorf("LMTP: %w", err)
	}
	c := &lmtpConn{wire: w}
	if err := c.greet(); err != nil {
		c.close()
		return nil, fmt.Errorf("LMTP: %w", err)
	}
	return c, nil
}

func (c *lmtpConn) greet() error {
	if _, err := c.reply("220"); err != nil {
		return err
	}
	c.write("LHLO bench.example\r\n")
	if err := c.w.Flush(); err != nil {
		return err
	}
	text, err := c.reply("250")
	c.pipelining = strings.Contains(text, "PIPELINING\n")
	return err
}

// reply reads one reply of one or several lines, which must have the code, and returns its lines without it.
func (c *lmtpConn) reply(code string) (string, error) {
	var text strings.Builder
	for {
		line, err := c.line()
		switch {
		case err != nil:
			return "", err
		case len(line) < 3 || string(line[:3]) != code:
			return "", fmt.Errorf("the server answers %q, not %s", line, code)
		case len(line) == 3 || line[3] == ' ':
			if text.Len() == 0 {
				return "", nil // the common case: nobody reads it
			}
			text.Write(line[min(4, len(line)):])
			text.WriteByte('\n')
			return text.String(), nil
		}
		text.Write(line[4:])
		text.WriteByte('\n')
	}
}

// deliver hands over one mail, which has been prepared by dotted.
func (c *lmtpConn) deliver(to string, mail []byte) error {
	for i, command := range []string{"MAIL FROM:<sender@bench.example>\r\n", "RCPT TO:<" + to + ">\r\n", "DATA\r\n"} {
		c.write(command)
		if c.pipelining && i < 2 {
			continue
		}
		if err := c.w.Flush(); err != nil {
			return err
		}
		if !c.pipelining && i < 2 {
			if _, err := c.reply("250"); err != nil {
				return err
			}
		}
	}
	codes := []string{"250", "250", "354"}
	if !c.pipelining {
		codes = codes[2:]
	}
	for _, code := range codes {
		if _, err := c.reply(code); err != nil {
			return err
		}
	}
	_, _ = c.w.Write(mail) // the error stays until Flush
	if err := c.w.Flush(); err != nil {
		return err
	}
	_, err := c.reply("250")
	return err
}

// stuffed makes of a mail what follows DATA: dots at the beginning of lines doubled, and the end.
func stuffed(mail []byte) []byte {
	if bytes.Contains(mail, []byte("\n.")) {
		mail = bytes.ReplaceAll(mail, []byte("\n."), []byte("\n.."))
	}
	return append(mail, ".\r\n"...)
}
