package bench

import (
	"context"
	"errors"
	"strconv"
	"time"
)

func writeSteps() []Step {
	write := func(name, title string, run func(context.Context, *Bench) (float64, error)) Step {
		return Step{Name: name, Title: title, Group: "Writing", Unit: "msg/s", HigherIsBetter: true, needs: needArchive, run: run}
	}
	return []Step{
		write("store-bulk", "STORE of a flag of all", storeBulk),
		write("store-single", "STORE of a flag, a command each", storeSingle),
		write("copy", "COPY of all", copyAll),
		write("move", "MOVE of all", moveAll),
		write("expunge", "EXPUNGE of all", expungeAll),
	}
}

// storeBulk sets a flag of all messages and takes it off.
func storeBulk(ctx context.Context, b *Bench) (float64, error) {
	c, err := b.archive(ctx)
	if err != nil {
		return 0, err
	}
	defer c.close()
	return b.rate(func() (float64, time.Duration, error) {
		on, err := c.expect(`STORE 1:* +FLAGS (\Draft)`, "FETCH", b.o.Messages)
		if err != nil {
			return 0, 0, err
		}
		off, err := c.expect(`STORE 1:* -FLAGS (\Draft)`, "FETCH", b.o.Messages)
		return 2 * float64(b.o.Messages), on + off, err
	})
}

func storeSingle(ctx context.Context, b *Bench) (float64, error) {
	c, err := b.archive(ctx)
	if err != nil {
		return 0, err
	}
	defer c.close()
	places := everySo(b.o.Sample, b.o.Messages)
	return b.rate(func() (float64, time.Duration, error) {
		spent, err := timed(func() error {
			for _, at := range places {
				if _, err := c.expect("STORE "+strconv.Itoa(at)+` +FLAGS (\Draft)`, "FETCH", 1); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return 0, 0, err
		}
		return float64(len(places)), spent, c.do(`STORE 1:* -FLAGS.SILENT (\Draft)`, nil)
	})
}

// holds demands that a mailbox has n messages.
func (c *imapConn) holds(name string, n int) error {
	got, err := c.count(name)
	if err == nil && got != n {
		err = wrong("messages are in "+name, got, n)
	}
	return err
}

func copyAll(ctx context.Context, b *Bench) (float64, error) {
	c, err := b.archive(ctx)
	if err != nil {
		return 0, err
	}
	defer c.close()
	return b.rate(func() (float64, time.Duration, error) {
		if err := c.remake(workBox); err != nil {
			return 0, 0, err
		}
		spent, err := timed(func() error { return c.do("COPY 1:* "+workBox, nil) })
		if err != nil {
			return 0, 0, err
		}
		return float64(b.o.Messages), spent, errors.Join(c.holds(workBox, b.o.Messages), c.drop(workBox))
	})
}

// onCopy repeats work on a copy of the archive, which is selected.
func (b *Bench) onCopy(ctx context.Context, work func(*imapConn) (time.Duration, error)) (float64, error) {
	c, err := b.imap(ctx, b.archivist())
	if err != nil {
		return 0, err
	}
	defer c.close()
	return b.rate(func() (float64, time.Duration, error) {
		if err := b.copyArchive(c, workBox); err != nil {
			return 0, 0, err
		}
		if _, err := b.timedSelect(c, workBox, b.o.Messages); err != nil {
			return 0, 0, err
		}
		spent, err := work(c)
		if err != nil {
			return 0, 0, err
		}
		return float64(b.o.Messages), spent, errors.Join(c.holds(workBox, 0), c.drop(workBox))
	})
}

func moveAll(ctx context.Context, b *Bench) (float64, error) {
	return b.onCopy(ctx, func(c *imapConn) (time.Duration, error) {
		if err := c.can("MOVE"); err != nil {
			return 0, err
		}
		if err := c.remake(otherBox); err != nil {
			return 0, err
		}
		spent, err := c.expect("MOVE 1:* "+otherBox, "EXPUNGE", b.o.Messages)
		if err != nil {
			return 0, err
		}
		return spent, errors.Join(c.holds(otherBox, b.o.Messages), c.drop(otherBox))
	})
}

func expungeAll(ctx context.Context, b *Bench) (float64, error) {
	return b.onCopy(ctx, func(c *imapConn) (time.Duration, error) {
		if err := c.do(`STORE 1:* +FLAGS.SILENT (\Deleted)`, nil); err != nil {
			return 0, err
		}
		return c.expect("EXPUNGE", "EXPUNGE", b.o.Messages)
	})
}
