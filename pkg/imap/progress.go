// INPROGRESS (RFC 9585), and the end of commands whose client has gone.

package imap

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

const (
	// vigilAfter is how old a command is when somebody begins to watch over it; most end long before.
	vigilAfter = time.Second
	// slowTimeout bounds the commands whose client is told of their progress.
	slowTimeout = 30 * time.Minute
)

// vigil watches over a command that takes long: it tells the client that it is still at work, and cancels it when the client
// has gone. It writes only when it is its turn, and reads nothing from the connection but that there is something to read.
type vigil struct {
	c      *conn
	cancel context.CancelFunc
	timer  *time.Timer
	stop   chan struct{}
	ended  chan struct{}

	turn        sync.Mutex  // to write to the client: the session's, save while it asks the store
	due         atomic.Bool // the client is to hear from the session, as it is the session's turn
	done, total atomic.Int64
	gone        error // why there is no client any more; to be read after ended
}

// watchOver begins a vigil over the running command, which reads nothing from its client. end must be called when the command
// has ended; it returns an error if the client has gone.
func (c *conn) watchOver(ctx context.Context, fl flags) (_ context.Context, end func() error) {
	var cancel context.CancelFunc
	if fl.has(streams) {
		ctx, cancel = context.WithCancel(ctx)
	} else {
		ctx, cancel = context.WithTimeout(ctx, max(slowTimeout, cmp.Or(c.srv.CommandTimeout, DefaultCommandTimeout)))
	}
	v := &vigil{c: c, cancel: cancel, stop: make(chan struct{}), ended: make(chan struct{})}
	v.turn.Lock()
	v.timer = time.AfterFunc(min(vigilAfter, c.progressInterval()), v.keep)
	c.vigil = v
	return store.WithProgress(ctx, v.reached), v.end
}

func (c *conn) progressInterval() time.Duration {
	return cmp.Or(c.srv.ProgressInterval, DefaultProgressInterval)
}

func (v *vigil) reached(done, total int) {
	v.done.Store(int64(done))
	v.total.Store(int64(total))
}

// end ends the vigil and waits for it.
func (v *vigil) end() error {
	defer v.cancel()
	v.c.vigil = nil
	if v.timer.Stop() {
		return nil
	}
	close(v.stop)
	v.c.stream.interrupt()
	<-v.ended
	v.c.stream.resume()
	if v.gone != nil {
		return &lost{v.gone}
	}
	return nil
}

// keep is the vigil.
func (v *vigil) keep() {
	defer close(v.ended)
	heard := v.c.overhear()
	tick := time.NewTicker(v.c.progressInterval())
	defer tick.Stop()
	for {
		select {
		case <-v.stop:
			if heard != nil {
				<-heard //nolint:errcheck // it was interrupted
			}
			return
		case err := <-heard:
			heard = nil
			if err != nil && !errors.Is(err, errInterrupted) {
				v.lose(err)
			}
		case <-tick.C:
			v.speak()
		}
	}
}

// lose cancels the command: there is nobody to answer.
func (v *vigil) lose(err error) {
	v.gone = err
	v.cancel()
}

// speak tells the client how far the command is, or leaves that to the session.
func (v *vigil) speak() {
	if !v.turn.TryLock() {
		v.due.Store(true)
		return
	}
	defer v.turn.Unlock()
	if err := v.tell(); err != nil && v.gone == nil {
		v.lose(err)
	}
}

// tell writes INPROGRESS (RFC 9585 §4). How far it is goes without saying when that is not known.
func (v *vigil) tell() error {
	v.due.Store(false)
	c, done, total := v.c, v.done.Load(), v.total.Load()
	if !c.offers(imap.CapInProgress) {
		return nil
	}
	state := "NIL NIL"
	switch {
	case total > 0:
		state = strconv.FormatInt(min(done, total), 10) + " " + strconv.FormatInt(total, 10)
	case done > 0:
		state = strconv.FormatInt(done, 10) + " NIL"
	}
	c.untagged("OK", `INPROGRESS ("`+c.running+`" `+state+`)`, "Still at work.")
	if err := c.enc.Err(); err != nil {
		return err
	}
	return c.stream.flush()
}

// progress says how far the running command has come: done of total. A command that writes responses in a loop calls it
// between them; it costs next to nothing. What only asks the store is told by store.Progress.
func (c *conn) progress(done, total int) {
	v := c.vigil
	if v == nil || !v.due.Load() {
		return
	}
	v.reached(done, total)
	_ = v.tell() // the encoder keeps the error; whoever writes next sees it
}

// asking runs f, which asks the store, may take long, and writes nothing to the client. Meanwhile the client is told that the
// command is at work.
func (c *conn) asking(f func() error) error {
	if v := c.vigil; v != nil {
		v.turn.Unlock()
		defer v.turn.Lock()
	}
	return f()
}

// overhear has a reader wait until there is input, or no client any more. What comes is left to be read.
func (c *conn) overhear() <-chan error {
	c.stream.wait(false, 0)
	return c.reader()
}
