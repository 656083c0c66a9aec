package bench

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// pushes are how many deliveries one run waits for.
const pushes = 10

func pushSteps() []Step {
	return []Step{{
		Name: "idle-push", Title: "From a delivery's beginning to EXISTS in IDLE", Group: "Waiting", Unit: "ms",
		needs: needLMTP, run: idlePush,
	}}
}

func idlePush(ctx context.Context, b *Bench) (float64, error) {
	user := b.target.Logins[idleUser]
	sender, err := b.lmtp(ctx)
	if err != nil {
		return 0, err
	}
	defer sender.close()
	c, err := b.imap(ctx, user)
	if err != nil {
		return 0, err
	}
	defer c.close()
	if err := c.can("IDLE"); err != nil {
		return 0, err
	}
	have, err := c.selectBox("INBOX", nil)
	if err != nil {
		return 0, err
	}
	mails := b.fresh(pushes, true)
	tag := c.send("IDLE")
	if err := c.goAhead(); err != nil {
		return 0, err
	}
	heard := make(chan error, 1)
	spent, err := latency(pushes, func() (time.Duration, error) {
		have++
		go func() { heard <- c.exists(have) }()
		return timed(func() error {
			if err := sender.deliver(user.Address, mails[0]); err != nil {
				return fmt.Errorf("LMTP: %w", err)
			}
			mails = mails[1:]
			return <-heard
		})
	})
	if err != nil {
		return 0, err
	}
	c.write("DONE\r\n")
	if _, err := c.await(tag, nil); err != nil {
		return 0, err
	}
	return spent, c.empty("INBOX")
}

// exists waits until the server says that there are n messages.
func (c *imapConn) exists(n int) error {
	want := fmt.Sprintf("* %d EXISTS", n)
	for {
		line, err := c.line()
		if err != nil || string(line) == want {
			return err
		}
		if !strings.HasPrefix(string(line), "* ") || strings.HasPrefix(string(line), "* BYE") {
			return fmt.Errorf("waiting for mail: %q", line)
		}
	}
}
