// IDLE (RFC 2177).

package imap

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.uber.org/zap"
)

// idlePause is how long the news waits for more after news that has been told. What comes alone is told at once; in a storm
// of deliveries the client hears of many with one look at the store.
const idlePause = 10 * time.Millisecond

// idle tells the client the news as it comes, until it says otherwise. At intervals it asks the store even if the watch is
// silent, because a notification may be lost (rule 7 of the store), and says that it is still there.
func (c *conn) idle(ctx context.Context, _ nothing) error {
	if err := c.continuation(); err != nil {
		return &lost{err}
	}
	var wake <-chan struct{}
	if c.sel != nil {
		wake = c.sel.watch.C
		if err := c.idleNews(ctx, 0); err != nil {
			return err
		}
	}
	// A little earlier than asked for, so as not to be late.
	tick := time.NewTicker(or(c.srv.IdleKeepalive, DefaultIdleKeepalive) / 24 * 23)
	defer tick.Stop()
	heard := c.listen()
	var rested <-chan time.Time
	for {
		if err := c.release(); err != nil {
			return c.hush(heard, &lost{err})
		}
		var err error
		select {
		case <-wake:
			c.acquire()
			if c.sel.hears(); c.sel.news { // else it was about another mailbox
				err = c.idleNews(ctx, 0)
				wake, rested = nil, time.After(idlePause)
			}
		case <-c.metadataWake():
			c.acquire()
			c.tellMetadata(ctx)
		case <-rested:
			wake, rested = c.sel.watch.C, nil
		case <-tick.C:
			c.acquire()
			err = c.idleNews(ctx, alwaysSync)
			c.untagged("OK", "", "Still here.")
		case err := <-heard:
			c.stream.shared = false
			c.acquire()
			if err != nil {
				return &lost{err}
			}
			if done, err := c.endIdle(); done || err != nil {
				return err
			}
			heard = c.listen()
		}
		if err != nil {
			return c.hush(heard, err)
		}
	}
}

// listen has a reader wait for input beside us; until it reports, the decoder and its buffer are its own.
func (c *conn) listen() <-chan error {
	c.stream.wait(true, 0)
	c.stream.shared = true
	heard := make(chan error, 1)
	go func() {
		_, err := c.in.Peek(1)
		heard <- err
	}()
	return heard
}

// hush ends the reader and returns err.
func (c *conn) hush(heard <-chan error, err error) error {
	c.stream.stop()
	<-heard //nolint:errcheck // what it says we know
	c.stream.shared = false
	return err
}

// idleNews is sync for IDLE: a store that does not answer is asked again another time.
func (c *conn) idleNews(ctx context.Context, fl flags) error {
	if c.sel == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, or(c.srv.CommandTimeout, DefaultCommandTimeout))
	defer cancel()
	err := c.recheck(ctx)
	if err == nil {
		err = c.syncAfter(ctx, mayExpunge|fl)
	}
	var bye *farewell
	switch {
	case err == nil, errors.As(err, &bye):
		return err
	case c.enc.Err() != nil:
		return &lost{c.enc.Err()}
	}
	c.log.Warn("no news of the mailbox", zap.Error(err))
	return nil
}

// endIdle reads a line and reports whether it ends IDLE. Empty lines are ignored, and a command without DONE before it, as
// iOS sends, ends IDLE too and runs next.
func (c *conn) endIdle() (bool, error) {
	c.stream.wait(false, c.stream.stall)
	c.dec.Begin(c.limits())
	if c.dec.AtEnd() && c.dec.Err() == nil {
		return false, c.dec.End()
	}
	word := c.dec.Tag()
	switch {
	case strings.EqualFold(word, "DONE"):
		for c.dec.TrySP() { // some clients leave a space behind it
		}
	case word != "" && c.dec.Peek() == ' ':
		c.tag = word
		return true, nil
	default:
		c.dec.Fail("DONE")
	}
	err := c.dec.End()
	if c.dec.Lost() != nil {
		return true, &lost{err}
	}
	return true, err
}
