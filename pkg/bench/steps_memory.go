package bench

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	settleEvery = 10 // memory is asked for whenever so many times Options.Least have passed
	settleAtEnd = 15 // so many times at most
)

func memorySteps() []Step {
	return []Step{{
		Name: "idle-memory", Title: "Memory of a session in IDLE", Group: "Waiting", Unit: "KB", needs: needMemory, run: idleMemory,
	}}
}

// idleMemory is what a session costs beyond the first ones. What a server keeps of earlier work, and uses again, would hide
// it: where the server can be restarted, it is; and before it is measured there are sessions enough to use up such memory.
func idleMemory(ctx context.Context, b *Bench) (float64, error) {
	if b.target.Restart != nil {
		if err := b.target.Restart(ctx); err != nil {
			return 0, fmt.Errorf("restart: %w", err)
		}
	}
	users := b.target.Logins
	first, err := b.idlers(ctx, users, max(len(users), b.o.Idlers/4))
	defer closeAll(first)
	if err != nil {
		return 0, err
	}
	before, err := b.settled(ctx)
	if err != nil {
		return 0, err
	}
	rest, err := b.idlers(ctx, users, b.o.Idlers)
	defer closeAll(rest)
	if err != nil {
		return 0, err
	}
	after, err := b.settled(ctx)
	return float64(after-before) / 1024 / float64(b.o.Idlers), err
}

// idlers opens n sessions that wait in IDLE.
func (b *Bench) idlers(ctx context.Context, users []Login, n int) ([]*imapConn, error) {
	all := make([]*imapConn, n)
	var opening errgroup.Group
	opening.SetLimit(loginsAtOnce)
	for i := range all {
		opening.Go(func() error {
			c, err := b.imap(ctx, users[i%len(users)])
			if err != nil {
				return err
			}
			all[i] = c
			if err := c.can("IDLE"); err != nil {
				return err
			}
			if _, err := c.selectBox("INBOX", nil); err != nil {
				return err
			}
			c.send("IDLE")
			return c.goAhead()
		})
	}
	return all, opening.Wait()
}

func closeAll(conns []*imapConn) {
	for _, c := range conns {
		if c != nil {
			c.close()
		}
	}
}

// settled is the server's memory once it no longer shrinks: what logins took is given back after a while, by servers that
// collect garbage only when they work. So there is a little work meanwhile.
func (b *Bench) settled(ctx context.Context) (int64, error) {
	c, err := b.imap(ctx, b.archivist())
	if err != nil {
		return 0, err
	}
	defer c.close()
	least, err := b.target.Memory()
	for range settleAtEnd {
		if err != nil {
			return 0, err
		}
		for until := time.Now().Add(settleEvery * b.o.Least); time.Now().Before(until); {
			if err := c.do("LIST \"\" *", nil); err != nil {
				return 0, err
			}
		}
		var now int64
		if now, err = b.target.Memory(); now > least-least/100 {
			return min(now, least), err
		}
		least = now
	}
	return least, err
}
