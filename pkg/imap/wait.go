package imap

import (
	"cmp"
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

// idlePause is how long the news waits for more after news that has been told. What comes alone is told at once; in a storm
// of deliveries the client hears of many with one look at the store.
const idlePause = 5 * time.Millisecond

// waiting says how a session waits for its client: in IDLE, or between commands once NOTIFY has been given.
type waiting struct {
	idle     bool
	patience time.Duration // how long; 0 means for ever
	tick     <-chan time.Time
}

// awaitCommand waits for a command. A client that has not said that it wants to hear news meanwhile is left alone, and costs
// nothing but its connection.
func (c *conn) awaitCommand(ctx context.Context) error {
	if c.notified == nil || c.notified.all() == 0 && c.notified.selected.events == 0 {
		return c.release()
	}
	tick := time.NewTicker(cmp.Or(c.srv.IdleKeepalive, DefaultIdleKeepalive) / 24 * 23)
	defer tick.Stop()
	return c.attend(ctx, waiting{patience: cmp.Or(c.srv.IdleTimeout, DefaultIdleTimeout), tick: tick.C})
}

// attend tells the client the news as it comes until there is input, which is left to be read. After an error the session is
// over.
func (c *conn) attend(ctx context.Context, w waiting) error {
	start := time.Now()
	a := &attention{waiting: w, c: c, heard: c.listen(w.patience)}
	a.postpone()
	for {
		if err := c.release(); err != nil {
			return c.hush(a.heard, &lost{err})
		}
		came, err := a.next(ctx)
		switch {
		case came:
			c.stream.shared = false
			c.stream.slack.Rested(time.Since(start))
			c.acquire()
			if err != nil {
				return &lost{err}
			}
			return nil
		case err != nil:
			return c.hush(a.heard, err)
		}
	}
}

// attention is a wait under way.
type attention struct {
	waiting
	c      *conn
	heard  <-chan error
	rested <-chan time.Time // when the selected mailbox is looked at again; nil if at any time
	due    <-chan time.Time // when all others are, because something has happened in them; nil if nothing has
}

// next waits for one thing to happen. came says that it was input, or the end of it.
func (a *attention) next(ctx context.Context) (came bool, err error) {
	c := a.c
	select {
	case err := <-a.heard:
		return true, err
	case <-a.selectedWake():
		c.acquire()
		if c.sel.hears(); c.sel.news { // else it was about another mailbox
			a.rested = time.After(idlePause)
			return false, c.idleNews(ctx, a.flags())
		}
	case <-a.rested:
		a.rested = nil
	case <-a.otherWake():
		c.acquire()
		c.notified.hears(c.sel)
		err = c.tellNotified(ctx, false)
		a.postpone()
	case <-a.due:
		c.acquire()
		err = c.tellNotified(ctx, false)
		a.postpone()
	case <-c.metadataWake():
		c.acquire()
		c.tellMetadata(ctx)
	case <-a.tick:
		err = a.ticks(ctx)
	}
	return false, err
}

// ticks asks the store even if the watches are silent, because a notification may be lost (rule 7 of the store), and tells an
// idling client that the server is still there.
func (a *attention) ticks(ctx context.Context) error {
	c := a.c
	c.acquire()
	err := c.idleNews(ctx, alwaysSync|a.flags())
	if err == nil {
		err = c.tellNotified(ctx, true)
	}
	if a.idle {
		c.untagged("OK", "", "Still here.")
	}
	return err
}

func (a *attention) selectedWake() <-chan struct{} {
	if a.rested != nil || a.c.sel == nil || a.c.heeds() == 0 {
		return nil
	}
	return a.c.sel.watch.C
}

func (a *attention) otherWake() <-chan struct{} {
	if a.due != nil {
		return nil
	}
	return a.c.notified.wake()
}

// postpone has the mailboxes looked at when it is time again, if there has been no time for it.
func (a *attention) postpone() {
	a.due = nil
	if n := a.c.notified; n != nil && n.news {
		a.due = time.After(time.Until(n.rest))
	}
}

// flags are those of IDLE, or of the client's choice when it hears of expunges (RFC 5465 §6.1).
func (a *attention) flags() flags {
	if a.idle || a.c.notified.selected.kind == filterSelected {
		return mayExpunge
	}
	return 0
}

// listen has a reader wait for input beside us; until it reports, the decoder and its buffer are its own.
func (c *conn) listen(patience time.Duration) <-chan error {
	c.stream.wait(true, patience)
	return c.reader()
}

// reader looks for input beside us, and leaves it to be read.
func (c *conn) reader() <-chan error {
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
	c.stream.stop(errStopping)
	<-heard //nolint:errcheck // what it says we know
	c.stream.shared = false
	return err
}

// idleNews is sync for a session that waits: a store that does not answer is asked again another time.
func (c *conn) idleNews(ctx context.Context, fl flags) error {
	if c.sel == nil || c.heeds() == 0 {
		return nil
	}
	err := c.recheck(ctx)
	if err == nil {
		err = c.syncAfter(ctx, fl)
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
