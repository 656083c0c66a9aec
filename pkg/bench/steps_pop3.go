package bench

import (
	"context"
	"strconv"
	"time"
)

// window is how many commands are on their way before the first answer is read.
const window = 64

func pop3Steps() []Step {
	step := func(name, title, unit string, run func(context.Context, *Bench) (float64, error)) Step {
		return Step{
			Name: name, Title: title, Group: "POP3", Unit: unit, HigherIsBetter: unit == "msg/s",
			needs: needPOP3 | needArchive, run: run,
		}
	}
	return []Step{
		step("pop3-open", "Login and STAT, after TLS", "ms", popOpen),
		step("pop3-uidl", "UIDL of all", "msg/s", popUIDL),
		step("pop3-retr-single", "RETR, one after the other", "msg/s", popRetrieve(1, inOrder)),
		step("pop3-retr-scattered", "RETR here and there", "msg/s", popRetrieve(1, hereAndThere)),
		step("pop3-retr-pipelined", "RETR, pipelined", "msg/s", popRetrieve(window, nil)),
		step("pop3-dele", "DELE of all and QUIT", "msg/s", popDelete),
	}
}

// maildrop makes sure that the INBOX is a copy of the archive.
func (b *Bench) maildrop(ctx context.Context) error {
	c, err := b.imap(ctx, b.archivist())
	if err != nil {
		return err
	}
	defer c.close()
	if n, err := c.count("INBOX"); err != nil || n == b.o.Messages {
		return err
	}
	if err := c.empty("INBOX"); err != nil {
		return err
	}
	if _, err := c.selectBox(archiveBox, nil); err != nil {
		return err
	}
	return c.do("COPY 1:* INBOX", nil)
}

// session logs in to the maildrop.
func (b *Bench) session(ctx context.Context) (*pop3Conn, error) {
	if err := b.maildrop(ctx); err != nil {
		return nil, err
	}
	c, err := b.pop3(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.login(b.archivist()); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func popOpen(ctx context.Context, b *Bench) (float64, error) {
	if err := b.maildrop(ctx); err != nil {
		return 0, err
	}
	return latency(opens, func() (time.Duration, error) {
		c, err := b.pop3(ctx)
		if err != nil {
			return 0, err
		}
		defer c.close()
		n := 0
		spent, err := timed(func() (err error) {
			if err := c.login(b.archivist()); err != nil {
				return err
			}
			n, err = c.stat()
			return err
		})
		if err == nil && n != b.o.Messages {
			err = wrong("messages in the maildrop", n, b.o.Messages)
		}
		if err != nil {
			return 0, err
		}
		return spent, c.quit()
	})
}

func popUIDL(ctx context.Context, b *Bench) (float64, error) {
	c, err := b.session(ctx)
	if err != nil {
		return 0, err
	}
	defer c.close()
	rate, err := b.rate(func() (float64, time.Duration, error) {
		n := 0
		spent, err := timed(func() error {
			c.write("UIDL\r\n")
			if _, err := c.ok(); err != nil {
				return err
			}
			for {
				line, err := c.line()
				if err != nil || string(line) == "." {
					return err
				}
				n++
			}
		})
		if err == nil && n != b.o.Messages {
			err = wrong("lines of UIDL", n, b.o.Messages)
		}
		return float64(n), spent, err
	})
	if err != nil {
		return 0, err
	}
	return rate, c.quit()
}

// pipelined sends a command for each place, so many ahead of the answers, which answer reads.
func (c *pop3Conn) pipelined(command string, places []int, ahead int, answer func(place int) error) error {
	for i := range len(places) + ahead - 1 {
		if i < len(places) {
			c.write(command, strconv.Itoa(places[i]), "\r\n")
		}
		done := i - ahead + 1
		if done < 0 {
			continue
		}
		// Half a window is sent at a time: a segment for each command would measure the network.
		if done%max(ahead/2, 1) == 0 || i == len(places)-1 {
			if err := c.w.Flush(); err != nil {
				return err
			}
		}
		if err := answer(places[done]); err != nil {
			return err
		}
	}
	return nil
}

// popRetrieve reads bodies: all if pipelined, a sample if one by one.
func popRetrieve(ahead int, choose func(n, total int) []int) func(context.Context, *Bench) (float64, error) {
	return func(ctx context.Context, b *Bench) (float64, error) {
		c, err := b.session(ctx)
		if err != nil {
			return 0, err
		}
		defer c.close()
		if ahead > 1 && !c.pipelining {
			return 0, unable("the server does not announce PIPELINING")
		}
		places := inOrder(b.o.Messages, b.o.Messages)
		if ahead == 1 {
			places = choose(b.o.Sample, b.o.Messages)
		}
		rate, err := b.rate(func() (float64, time.Duration, error) {
			spent, err := timed(func() error { return c.pipelined("RETR ", places, ahead, c.retrieved(b.sizes)) })
			return float64(len(places)), spent, err
		})
		if err != nil {
			return 0, err
		}
		return rate, c.quit()
	}
}

// retrieved reads a body, which must have the size of its message.
func (c *pop3Conn) retrieved(sizes []int32) func(int) error {
	return func(place int) error {
		if _, err := c.next(); err != nil {
			return err
		}
		n, err := c.dotted()
		if err == nil && n != int64(sizes[place-1]) {
			err = wrong("octets of message "+strconv.Itoa(place), n, sizes[place-1])
		}
		return err
	}
}

func popDelete(ctx context.Context, b *Bench) (float64, error) {
	places := inOrder(b.o.Messages, b.o.Messages)
	return b.rate(func() (float64, time.Duration, error) {
		c, err := b.session(ctx)
		if err != nil {
			return 0, 0, err
		}
		defer c.close()
		ahead := 1
		if c.pipelining {
			ahead = window
		}
		spent, err := timed(func() error {
			err := c.pipelined("DELE ", places, ahead, func(int) error {
				_, err := c.next()
				return err
			})
			if err != nil {
				return err
			}
			return c.quit()
		})
		if err != nil {
			return 0, 0, err
		}
		return float64(len(places)), spent, b.emptied(ctx)
	})
}

// emptied demands that nothing is left in the maildrop.
func (b *Bench) emptied(ctx context.Context) error {
	c, err := b.imap(ctx, b.archivist())
	if err != nil {
		return err
	}
	defer c.close()
	return c.holds("INBOX", 0)
}
