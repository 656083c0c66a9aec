package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

func deliverySteps() []Step {
	deliver := func(name, title string, conns int, hot bool) Step {
		return Step{
			Name: name, Title: title, Group: "Delivery", Unit: "msg/s", HigherIsBetter: true, needs: needLMTP | noIMAP,
			run: func(ctx context.Context, b *Bench) (float64, error) { return b.deliveryRate(ctx, conns, hot) },
		}
	}
	return []Step{
		deliver("deliver-1", "LMTP delivery by 1 connection", 1, false),
		deliver("deliver-16", "LMTP delivery by 16 connections", 16, false),
		deliver("deliver-64", "LMTP delivery by 64 connections", 64, false),
		deliver("deliver-hot", "LMTP delivery by 16 connections into one mailbox", 16, true),
		{
			Name: "append", Title: "APPEND of one message at a time", Group: "Delivery", Unit: "msg/s", HigherIsBetter: true,
			run: appendSingle,
		},
		{
			Name: "append-multi", Title: "APPEND of 50 messages at a time", Group: "Delivery", Unit: "msg/s", HigherIsBetter: true,
			run: appendMulti,
		},
	}
}

// fresh makes mails that nobody has seen, ready for LMTP if so asked.
func (b *Bench) fresh(n int, lmtp bool) [][]byte {
	mails := make([][]byte, n)
	for i := range mails {
		mails[i] = b.corpus.mail(b.next, b.run)
		b.next++
		if lmtp {
			mails[i] = stuffed(mails[i])
		}
	}
	return mails
}

// deliveryRate delivers a burst by several connections, then looks whether all of it arrived and removes it.
func (b *Bench) deliveryRate(ctx context.Context, conns int, hot bool) (float64, error) {
	mails := b.fresh(b.o.Burst, true)
	users := b.target.Logins[spreadFrom:]
	if hot {
		users = b.target.Logins[hotUser : hotUser+1]
	}
	senders := make([]*lmtpConn, min(conns, len(mails)))
	for i := range senders {
		c, err := b.lmtp(ctx)
		if err != nil {
			return 0, err
		}
		defer c.close()
		senders[i] = c
	}
	spent, err := timed(func() error { return send(senders, mails, users) })
	if err != nil {
		return 0, err
	}
	return float64(len(mails)) / spent.Seconds(), b.arrived(ctx, users, len(mails))
}

// send delivers mail i to user i modulo their number, by whichever connection is free.
func send(senders []*lmtpConn, mails [][]byte, users []Login) error {
	var next atomic.Int64
	var all errgroup.Group
	for _, c := range senders {
		all.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(mails) {
					return nil
				}
				if err := c.deliver(users[i%len(users)].Address, mails[i]); err != nil {
					return fmt.Errorf("LMTP: %w", err)
				}
			}
		})
	}
	return all.Wait()
}

// arrived looks whether n mails that were spread over users are there, and removes them.
func (b *Bench) arrived(ctx context.Context, users []Login, n int) error {
	if b.target.IMAP == "" {
		return nil
	}
	for i, l := range users {
		if err := b.cleared(ctx, l, (n-i+len(users)-1)/len(users)); err != nil {
			return fmt.Errorf("%s: %w", l.Address, err)
		}
	}
	return nil
}

// cleared empties an INBOX, which must have held n messages.
func (b *Bench) cleared(ctx context.Context, l Login, n int) error {
	c, err := b.imap(ctx, l)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.holds("INBOX", n); err != nil {
		return err
	}
	return c.empty("INBOX")
}

// appending prepares a session, a mailbox and mails, runs f and looks whether they are there.
func (b *Bench) appending(ctx context.Context, f func(*imapConn, [][]byte) error) (float64, error) {
	c, err := b.imap(ctx, b.target.Logins[spreadFrom])
	if err != nil {
		return 0, err
	}
	defer c.close()
	if err := c.remake(workBox); err != nil {
		return 0, err
	}
	mails := b.fresh(b.o.Burst, false)
	spent, err := timed(func() error { return f(c, mails) })
	if err != nil {
		return 0, err
	}
	return float64(len(mails)) / spent.Seconds(), errors.Join(c.holds(workBox, len(mails)), c.drop(workBox))
}

// remake makes a mailbox anew.
func (c *imapConn) remake(name string) error {
	if err := c.drop(name); err != nil {
		return err
	}
	return c.do("CREATE "+name, nil)
}

func appendSingle(ctx context.Context, b *Bench) (float64, error) {
	return b.appending(ctx, func(c *imapConn, mails [][]byte) error {
		for _, mail := range mails {
			if err := c.appendTo(workBox, mail); err != nil {
				return err
			}
		}
		return nil
	})
}

func appendMulti(ctx context.Context, b *Bench) (float64, error) {
	return b.appending(ctx, func(c *imapConn, mails [][]byte) error {
		if err := c.can("MULTIAPPEND"); err != nil {
			return err
		}
		for len(mails) > 0 {
			n := min(batch, len(mails))
			c.begin()
			c.write("APPEND ", workBox)
			for _, mail := range mails[:n] {
				c.write(" ")
				c.literal(mail)
			}
			if _, err := c.await(c.end(), nil); err != nil {
				return err
			}
			mails = mails[n:]
		}
		return nil
	})
}
