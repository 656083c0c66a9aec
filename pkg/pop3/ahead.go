package pop3

import (
	"context"
	"io"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

const (
	// aheadOctets bounds what is read before it is asked for, the message that was asked for aside.
	aheadOctets = 1 << 20
	// aheadMessages bounds it in messages: about what one query brings.
	aheadMessages = 32
)

// ahead reads messages. A client that takes them one after the other, as nearly all do, gets the following ones from the
// same query: their number doubles while the client keeps to the order, and starts again at one when it does not.
type ahead struct {
	drop    *maildrop
	timeout time.Duration

	want   store.Fields // of the run
	next   uint32       // the number that would continue the run
	batch  int          // how many messages the run's last query brought
	loaded map[imap.UID]loaded
	cancel context.CancelFunc // of the query that brought loaded
}

// loaded is a message as the store gave it, or why it could not.
type loaded struct {
	message *store.Message
	err     error
}

// fetch returns message n, at place i of the snapshot. Reading its Body ends with StoreTimeout, not with ctx.
func (a *ahead) fetch(ctx context.Context, n uint32, i int, want store.Fields) (*store.Message, error) {
	continues := n == a.next && want == a.want
	if want != a.want {
		a.close()
	}
	a.next, a.want = n+1, want
	uid := a.drop.snap.UID(i)
	if _, ok := a.loaded[uid]; !ok {
		a.batch = min(2*a.batch, aheadMessages)
		if !continues {
			a.batch = 1
		}
		if err := a.load(ctx, a.choose(n, want), want); err != nil && a.loaded[uid].message == nil {
			return nil, err
		}
	}
	l, ok := a.loaded[uid]
	delete(a.loaded, uid) // it is not asked for twice; let go of its octets when they are sent
	if !ok {
		return nil, store.ErrNotFound
	}
	return l.message, l.err
}

// choose picks message n and those that follow it, as far as the batch and aheadOctets allow.
func (a *ahead) choose(n uint32, want store.Fields) imap.UIDSet {
	var uids imap.UIDSet
	octets := int64(0)
	for chosen := 0; chosen < a.batch && n <= a.drop.view.Len(); n++ {
		i, err := a.drop.find(n)
		if err != nil {
			continue // marked
		}
		if octets += a.octets(i, want); chosen > 0 && octets > aheadOctets {
			break
		}
		uids.AddNum(a.drop.snap.UID(i))
		chosen++
	}
	return uids
}

func (a *ahead) octets(i int, want store.Fields) int64 {
	if want == store.WithHeader {
		return int64(a.drop.snap.Row(i).Header)
	}
	return a.drop.snap.Size(i)
}

// load runs one query. Its context must outlive this call, because the bodies are read under it; a timer stands in for
// the deadline (see timed).
func (a *ahead) load(ctx context.Context, uids imap.UIDSet, want store.Fields) error {
	a.close()
	ctx, a.cancel = context.WithCancel(ctx)
	defer time.AfterFunc(a.timeout, a.cancel).Stop()
	a.loaded = make(map[imap.UID]loaded)
	for m, err := range a.drop.account.Messages(ctx, a.drop.snap, uids, want) {
		if m == nil {
			return err
		}
		if m.Body != nil {
			m.Body = timed{m.Body, a.timeout, a.cancel}
		}
		a.loaded[m.UID] = loaded{m, err}
	}
	return nil
}

func (a *ahead) close() {
	if a.cancel != nil {
		a.cancel()
	}
	a.loaded = nil
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
