package pop3

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// aheadMessages bounds in messages what is asked for before the client does. In octets the store bounds it: it brings what
// is asked for a page at a time, each in the memory of one that has been sent.
const aheadMessages = 256

// ahead reads messages. A client that takes them one after the other, as nearly all do, gets the following ones from the
// same query: their number doubles while the client keeps to the order, and starts again at one when it does not.
type ahead struct {
	drop    *maildrop
	timeout time.Duration

	want  store.Fields // of the run
	next  uint32       // the number that would continue the run
	batch int          // how many messages the run's last query brings
	run   *run         // nil: none
}

// run is messages on their way from the store, in order.
type run struct {
	uids   imap.UIDSet
	taken  imap.UID // the last one
	pull   func() (*store.Message, error, bool)
	stop   func()
	cancel context.CancelFunc // of the query that brings them
}

// holds reports whether a message is still to come.
func (r *run) holds(uid imap.UID) bool { return r != nil && uid > r.taken && r.uids.Contains(uid) }

// fetch returns message n, at place i of the snapshot; it is valid until the next. Reading its Body ends with StoreTimeout,
// not with ctx.
func (a *ahead) fetch(ctx context.Context, n uint32, i int, want store.Fields) (*store.Message, error) {
	continues := n == a.next && want == a.want
	if want != a.want {
		a.close()
	}
	a.next, a.want = n+1, want
	uid := a.drop.snap.UID(i)
	if a.run.holds(uid) {
		if m, err := a.take(uid); m != nil {
			return m, err
		}
		continues = false // the store may have failed when it read ahead, a long time ago
	}
	a.batch = min(2*a.batch, aheadMessages)
	if !continues {
		a.batch = 1
	}
	a.begin(ctx, a.choose(n))
	return a.take(uid)
}

// choose picks message n and those that follow it, as far as the batch allows.
func (a *ahead) choose(n uint32) imap.UIDSet {
	var uids imap.UIDSet
	for chosen := 0; chosen < a.batch && n <= a.drop.view.Len(); n++ {
		i, err := a.drop.find(n)
		if err != nil {
			continue // marked
		}
		uids.AddNum(a.drop.snap.UID(i))
		chosen++
	}
	return uids
}

// begin starts a query. Its context must outlive the command, because the bodies are read under it.
func (a *ahead) begin(ctx context.Context, uids imap.UIDSet) {
	a.close()
	ctx, cancel := context.WithCancel(ctx)
	a.run = &run{uids: uids, cancel: cancel}
	a.run.pull, a.run.stop = iter.Pull2(a.drop.account.Messages(ctx, a.drop.snap, uids, a.want|store.Passing))
}

// take waits for a message of the run, and passes over those before it. A timer stands in for the deadline (see timed).
func (a *ahead) take(uid imap.UID) (*store.Message, error) {
	defer time.AfterFunc(a.timeout, a.run.cancel).Stop()
	for {
		m, err, ok := a.run.pull()
		switch {
		case !ok:
			a.close()
			return nil, store.ErrNotFound
		case m == nil:
			a.close()
			return nil, err
		case m.UID == uid:
			a.run.taken = uid
			if m.Body != nil {
				m.Body = timed{m.Body, a.timeout, a.run.cancel}
			}
			return m, err
		}
	}
}

func (a *ahead) close() {
	if a.run != nil {
		a.run.cancel()
		a.run.stop()
	}
	a.run = nil
}

// timed gives each read of a body a deadline of its own: sending the message may take hours, reading it must not.
type timed struct {
	body    io.ReaderAt
	timeout time.Duration
	cancel  context.CancelFunc
}

func (t timed) ReadAt(p []byte, off int64) (int, error) {
	defer time.AfterFunc(t.timeout, t.cancel).Stop()
	return t.body.ReadAt(p, off)
}
