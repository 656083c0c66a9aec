package pop3

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// expungeTimeout is how long QUIT may take to remove what was marked: up to all of a very large maildrop.
const expungeTimeout = 5 * time.Minute

// maildrop is INBOX as it was at login (rule 2), held under the account's POP3 lock, and the marks of DELE.
type maildrop struct {
	account store.Account
	lease   *store.Lease
	box     store.Mailbox
	snap    *store.Snapshot
	view    *store.View // message numbers
	ahead   ahead
	marks   []uint64 // bit n-1 for message n; nil until the first DELE
	marked  int
	octets  int64 // of the messages that are not marked
	all     int64 // of all messages
}

// openMaildrop locks and reads the maildrop. It gives all of it or an error (rule 3).
func openMaildrop(ctx context.Context, s *Server, id store.AccountID) (*maildrop, error) {
	account, err := s.Accounts.Account(ctx, id)
	if err != nil {
		return nil, unreachable("open account", err)
	}
	lease, err := account.LockMaildrop(ctx)
	if err != nil {
		return nil, unreachable("lock maildrop", err)
	}
	box, snap, err := account.Open(ctx, "INBOX")
	if err != nil {
		lease.Release()
		return nil, unreachable("open maildrop", err)
	}
	d := &maildrop{account: account, lease: lease, box: box, snap: snap, view: snap.View()}
	d.ahead = ahead{drop: d, timeout: s.storeTimeout()}
	for i := range snap.Len() {
		d.all += d.wireSize(i)
	}
	d.octets = d.all
	return d, nil
}

// errNoMaildrop is our failure, not a message that is gone, as ErrNotFound would say.
var errNoMaildrop = errors.New("account or INBOX does not exist")

func unreachable(doing string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		err = errNoMaildrop
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func (d *maildrop) close() {
	d.ahead.close()
	d.lease.Release()
}

// wireSize is the number of octets RETR sends of the message at place i of the snapshot, dot-stuffing aside: LIST must
// tell the same (RFC 1939 §11).
func (d *maildrop) wireSize(i int) int64 {
	return d.snap.Size(i) + 2*int64(d.snap.Padding(i))
}

// find returns the place in the snapshot of message n, unless it is marked.
func (d *maildrop) find(n uint32) (int, error) {
	uid, ok := d.view.UID(n)
	if !ok || d.isMarked(n) {
		return 0, errNoSuchMessage
	}
	i, ok := d.snap.Find(uid)
	if !ok {
		return 0, errNoSuchMessage
	}
	return i, nil
}

func (d *maildrop) isMarked(n uint32) bool {
	return d.marks != nil && d.marks[(n-1)/64]&(1<<((n-1)%64)) != 0
}

func (d *maildrop) mark(n uint32, i int) {
	if d.marks == nil {
		d.marks = make([]uint64, (d.view.Len()+63)/64)
	}
	d.marks[(n-1)/64] |= 1 << ((n - 1) % 64)
	d.marked++
	d.octets -= d.wireSize(i)
}

func (d *maildrop) unmarkAll() {
	d.marks, d.marked, d.octets = nil, 0, d.all
}

// count is the number of messages that are not marked.
func (d *maildrop) count() int { return int(d.view.Len()) - d.marked }

func (d *maildrop) summary() string {
	return fmt.Sprintf("%d messages, %d octets", d.count(), d.octets)
}

// STAT (RFC 1939 §5).
func (c *conn) stat(context.Context, nothing) error {
	c.ok(fmt.Sprintf("%d %d", c.drop.count(), c.drop.octets))
	return nil
}

// LIST (RFC 1939 §5).
func (c *conn) list(_ context.Context, n uint32) error {
	return c.listing(n, func(b []byte, i int) []byte { return strconv.AppendInt(b, c.drop.wireSize(i), 10) })
}

// UIDL (RFC 1939 §7): UIDVALIDITY and UID, as IMAP clients see them, so that both can tell which message is which. They
// are never used again, and go with the mailbox wherever it is moved.
func (c *conn) uidl(_ context.Context, n uint32) error {
	return c.listing(n, func(b []byte, i int) []byte {
		b = strconv.AppendUint(b, uint64(c.drop.box.UIDValidity), 10)
		return strconv.AppendUint(append(b, '.'), uint64(c.drop.snap.UID(i)), 10)
	})
}

// listing answers LIST and UIDL: for one message on one line, for all on one line each, written as they are made.
func (c *conn) listing(n uint32, item func(b []byte, i int) []byte) error {
	if n != 0 {
		i, err := c.drop.find(n)
		if err != nil {
			return err
		}
		c.ok(strconv.FormatUint(uint64(n), 10) + " " + string(item(nil, i)))
		return nil
	}
	c.ok(c.drop.summary())
	for n := uint32(1); n <= c.drop.view.Len(); n++ {
		i, err := c.drop.find(n)
		if err != nil {
			continue // marked
		}
		b := strconv.AppendUint(c.out.AvailableBuffer(), uint64(n), 10)
		b = item(append(b, ' '), i)
		if _, err := c.out.Write(append(b, "\r\n"...)); err != nil {
			return fmt.Errorf("%w: %w", errCutShort, err)
		}
	}
	c.line(".")
	return nil
}

// DELE (RFC 1939 §5) only marks.
func (c *conn) dele(_ context.Context, n uint32) error {
	i, err := c.drop.find(n)
	if err != nil {
		return err
	}
	c.drop.mark(n, i)
	c.ok("Marked for deletion.")
	return nil
}

// RSET (RFC 1939 §5).
func (c *conn) rset(context.Context, nothing) error {
	c.drop.unmarkAll()
	c.ok("Nothing is marked: " + c.drop.summary() + ".")
	return nil
}

// QUIT (RFC 1939 §4, §6). After login it enters the UPDATE state: what was marked is removed in one transaction, or none
// of it. The session ends in either case, and the lock is given up before the client can hear of it and come back.
func (c *conn) quit(ctx context.Context, _ nothing) error {
	if c.drop != nil {
		err := c.update(ctx)
		c.drop.close()
		if err != nil {
			c.refuse(c.refusal(err))
			return errQuit
		}
	}
	c.ok("Bye.")
	return errQuit
}

func (c *conn) update(ctx context.Context) error {
	d := c.drop
	if d.marked == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, expungeTimeout)
	defer cancel()
	defer d.cancelWhenLost(ctx, cancel)()
	if d.lost() {
		return fmt.Errorf("remove messages: lease lost: %w", store.ErrUnavailable)
	}
	gone, err := d.account.Expunge(ctx, d.box.ID, d.markedUIDs(), store.Actor{Session: c.id, Protocol: "pop3"})
	if err != nil {
		return fmt.Errorf("remove messages: %w", err)
	}
	c.tally.removed = len(gone)
	return nil
}

func (d *maildrop) lost() bool {
	select {
	case <-d.lease.Lost:
		return true
	default:
		return false
	}
}

// cancelWhenLost gives up a transaction whose lease runs out while it waits. The function it returns ends the watch.
func (d *maildrop) cancelWhenLost(ctx context.Context, cancel context.CancelFunc) (stop func()) {
	done := make(chan struct{})
	go func() {
		select {
		case <-d.lease.Lost:
			cancel()
		case <-ctx.Done():
		case <-done:
		}
	}()
	return func() { close(done) }
}

func (d *maildrop) markedUIDs() imap.UIDSet {
	var uids imap.UIDSet
	for n := uint32(1); n <= d.view.Len(); n++ {
		if uid, ok := d.view.UID(n); ok && d.isMarked(n) {
			uids.AddNum(uid)
		}
	}
	return uids
}
