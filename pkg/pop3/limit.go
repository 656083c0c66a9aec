package pop3

import (
	"context"
	"time"

	"go.uber.org/zap"

	"postern/pkg/serve"
)

// limit is a refusal after which the session ends.
type limit struct {
	*refusal
	name   string // for the metrics
	reason string // for the log
}

// Unwrap makes the refusal known to errors.As.
func (l *limit) Unwrap() error { return l.refusal }

var (
	errTooMuch = &limit{&refusal{text: "Too much without a login."}, serve.LimitEarlyOctets, "too many octets without a login"}
	errTooMany = &limit{&refusal{text: "Too many commands without a login."}, serve.LimitEarlyCommands, "too many commands without a login"}
	errTooBad  = &limit{&refusal{text: "Too many bad commands."}, serve.LimitBad, "too many bad commands"}
	// errTooSlow cannot be told to the client: it takes nothing.
	errTooSlow = &limit{&refusal{text: "Too slow."}, serve.LimitSlowReader, "client takes answers too slowly"}
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
		c.server.Metrics.limited(serve.LimitRate)
		c.log.Warn("session slowed down", zap.String("reason", "commands come too fast"), zap.Int("commands", c.tally.commands))
	}
	if err := c.release(); err != nil {
		return err
	}
	defer c.acquire()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.onStop(cancel)
	defer c.onStop(nil)
	serve.Await(ctx, turn)
	return nil
}
