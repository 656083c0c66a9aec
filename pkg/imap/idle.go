// IDLE (RFC 2177).

package imap

import (
	"cmp"
	"context"
	"strings"
	"time"
)

// idle tells the client the news as it comes, until it says otherwise. At intervals it asks the store even if the watch is
// silent, because a notification may be lost (rule 7 of the store), and says that it is still there.
func (c *conn) idle(ctx context.Context, _ nothing) error {
	if err := c.continuation(); err != nil {
		return &lost{err}
	}
	if err := c.idleNews(ctx, mayExpunge); err != nil {
		return err
	}
	if err := c.tellNotified(ctx, false); err != nil {
		return err
	}
	// A little earlier than asked for, so as not to be late.
	tick := time.NewTicker(cmp.Or(c.srv.IdleKeepalive, DefaultIdleKeepalive) / 24 * 23)
	defer tick.Stop()
	for {
		if err := c.attend(ctx, waiting{tick: tick.C, idle: true}); err != nil {
			return err
		}
		if done, err := c.endIdle(); done || err != nil {
			return err
		}
	}
}

// endIdle reads a line and reports whether it ends IDLE. Empty lines are ignored, and a command without DONE before it, as
// iOS sends, ends IDLE too and runs next.
func (c *conn) endIdle() (bool, error) {
	c.stream.follow(false)
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
