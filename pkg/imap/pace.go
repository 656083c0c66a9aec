package imap

import (
	"context"
	"time"

	"postern/pkg/serve"

	"go.uber.org/zap"
)

// await has a session that gives commands too fast wait for its turn. It holds no buffer then, what has been answered goes out,
// and a server that stops need not wait for it.
func (c *conn) await(ctx context.Context) error {
	turn := c.pace.Wait(time.Now())
	if turn <= 0 {
		return nil
	}
	if !c.slowed {
		c.slowed = true
		c.srv.Metrics.limited(serve.LimitRate)
		c.log.Warn("session slowed down", zap.String("reason", "commands come too fast"), zap.Int("commands", c.commands))
	}
	if err := c.release(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.stream.onStop(cancel)
	defer c.stream.onStop(nil)
	serve.Await(ctx, turn)
	return nil
}
