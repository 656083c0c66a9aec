package lmtp

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"postern/pkg/message"
	"postern/pkg/store"
)

// parallel is how many recipients of one message are stored at a time.
const parallel = 8

// outcome is what became of a message for one recipient.
type outcome struct {
	err   error // nil: stored for all accounts of the address
	again bool  // all of them had it: the reply to an earlier transaction was lost
	took  time.Duration
}

// deliver stores the message for all recipients, several at a time, and replies in the order of RCPT (RFC 2033 §4.2).
func (c *conn) deliver(ctx context.Context, env *envelope, m *message.Spooled) {
	d := delivery{server: c.server, log: c.log, env: env, message: m, trace: c.newTrace(env), arrived: time.Now()}
	if len(env.recipients) == 1 { // the stack of this goroutine has grown as far as it must
		c.out.Flush() //nolint:errcheck // sticky: the next read returns it
		c.report(env, &env.recipients[0], m.Size(), d.one(ctx, &env.recipients[0]))
		return
	}
	outcomes := make([]chan outcome, len(env.recipients))
	for i := range outcomes {
		outcomes[i] = make(chan outcome, 1)
	}
	var next atomic.Int64
	for range min(parallel, len(env.recipients)) {
		go func() {
			for i := next.Add(1) - 1; i < int64(len(outcomes)); i = next.Add(1) - 1 {
				outcomes[i] <- d.one(ctx, &env.recipients[i])
			}
		}()
	}
	for i := range outcomes {
		var o outcome
		select {
		case o = <-outcomes[i]:
		default:
			c.out.Flush() //nolint:errcheck // sticky: the next read returns it
			o = <-outcomes[i]
		}
		c.report(env, &env.recipients[i], m.Size(), o)
	}
}

// report is a recipient's reply and its line in the log.
func (c *conn) report(env *envelope, to *recipient, size int64, o outcome) {
	r, log, event := &reply{250, "2.0.0", "<" + to.text + "> Delivered, id " + env.id + "."}, c.log.Info, "delivered"
	if o.err != nil {
		v, foreseen := c.server.verdict(o.err)
		r, event = &reply{v.code, v.enhanced, "<" + to.text + "> " + v.text}, "not delivered"
		if !foreseen {
			log = c.log.Error
		}
	} else {
		c.tally.delivered++
	}
	c.server.Metrics.delivered(r.code, o.again, size, o.took)
	log(event, zap.String("id", env.id), zap.String("from", env.from), zap.String("to", to.text),
		zap.Int64("size", size), zap.Int("code", r.code), zap.Bool("again", o.again), zap.Duration("took", o.took), zap.Error(o.err))
	c.say(r)
}

// refuseAll replies to each recipient of a message that could not be received.
func (c *conn) refuseAll(env *envelope, err error) {
	for i := range env.recipients {
		c.report(env, &env.recipients[i], 0, outcome{err: err})
	}
}

// refuseMessage is the one reply to a chunk that is not the last.
func (c *conn) refuseMessage(env *envelope, err error) error {
	r, foreseen := c.server.verdict(err)
	log := c.log.Info
	if !foreseen {
		log = c.log.Error
	}
	log("message refused", zap.String("id", env.id), zap.String("from", env.from), zap.Int("code", r.code), zap.Error(err))
	return r
}

// delivery is one message on its way to its recipients. It is used by several goroutines at once and not changed.
type delivery struct {
	server  *Server
	log     *zap.Logger
	env     *envelope
	message *message.Spooled
	trace   trace
	arrived time.Time
}

// one stores the message for one recipient, within a time of its own.
func (d *delivery) one(ctx context.Context, to *recipient) (o outcome) {
	start := time.Now()
	defer func() {
		if p := recover(); p != nil {
			d.log.Error("panic", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			o.err = errors.New("panic")
		}
		o.took = time.Since(start)
	}()
	ctx, cancel := context.WithTimeout(ctx, d.server.deliverTimeout())
	defer cancel()
	o.again, o.err = d.all(ctx, to)
	return o
}

// all stores the message in every account that the address stands for. When one of them fails, so does the recipient; the
// mail server will send the message again, and those who have it already are recognised. An account that has gone since
// RCPT is no failure as long as there is another.
func (d *delivery) all(ctx context.Context, to *recipient) (again bool, err error) {
	var gone error
	stored, repeated := 0, 0
	for _, target := range to.route.Targets {
		again, err := d.store(ctx, to, target)
		switch {
		case errors.Is(err, store.ErrNotFound):
			gone = fmt.Errorf("deliver to account %d: %w", target.Account, err)
			continue
		case err != nil:
			return false, fmt.Errorf("deliver to account %d: %w", target.Account, err)
		case again:
			repeated++
		}
		stored++
	}
	if stored == 0 {
		return false, gone
	}
	return repeated == stored, nil
}

// store puts the message into one account. What RCPT was told may have changed since: a mailbox that has gone means INBOX,
// as a fresh route has it.
func (d *delivery) store(ctx context.Context, to *recipient, target store.Target) (again bool, err error) {
	box, err := d.mailbox(ctx, target)
	if err == nil {
		again, err = d.put(ctx, to, target, box)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return again, err
	}
	fresh, err := d.server.Accounts.Route(ctx, to.address)
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(fresh.Targets, func(t store.Target) bool { return t.Address == target.Address })
	if i < 0 {
		return false, store.ErrNotFound
	}
	return d.put(ctx, to, fresh.Targets[i], fresh.Targets[i].Inbox)
}

func (d *delivery) put(ctx context.Context, to *recipient, target store.Target, box store.MailboxID) (again bool, err error) {
	account, err := d.server.Accounts.Account(ctx, target.Account)
	if err != nil {
		return false, err
	}
	uids, err := account.Append(ctx, box, &store.Draft{
		Spooled:     d.message,
		Prefix:      d.trace.prefix(target.Address, to.text, d.arrived),
		Received:    d.arrived,
		DeliveryKey: d.key(to),
	})
	return err == nil && uids[0] == 0, err
}

// key tells a repeated delivery from another one: the same octets from the same sender to the same address. Not the
// Message-ID, which two different messages may share.
func (d *delivery) key(to *recipient) []byte {
	address := to.address
	if a, ok := store.ParseAddress(address); ok {
		address = a.String()
	}
	content := d.message.Hash()
	b := make([]byte, 0, 256)
	b = append(append(append(b, content[:]...), 0), d.env.from...)
	sum := sha256.Sum256(append(append(b, 0), address...))
	return sum[:]
}

// mailbox is where in the account the message goes: INBOX, or what the detail of the address names.
func (d *delivery) mailbox(ctx context.Context, target store.Target) (store.MailboxID, error) {
	if target.Detail == "" || d.server.Detail == DetailOff {
		return target.Inbox, nil
	}
	account, err := d.server.Accounts.Account(ctx, target.Account)
	if err != nil {
		return 0, err
	}
	box, err := account.Mailbox(ctx, target.Detail)
	if errors.Is(err, store.ErrNotFound) && d.server.Detail == DetailCreate {
		box, err = create(ctx, account, target.Detail)
	}
	if err == nil {
		err = mayPost(ctx, account, box)
	}
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrName), errors.Is(err, store.ErrTooManyMailboxes),
		errors.Is(err, store.ErrOverQuota), // of mailboxes
		errors.Is(err, store.ErrNoPermission):
		return target.Inbox, nil
	}
	return box.ID, err
}

// create makes a mailbox for a message. It begins with the list of rights of the nearest that is above it, so that one is asked
// before.
func create(ctx context.Context, account store.Account, name string) (store.Mailbox, error) {
	name, err := store.NewName(name)
	if err != nil {
		return store.Mailbox{}, err
	}
	for _, parent := range slices.Backward(store.Parents(name)) {
		above, err := account.Mailbox(ctx, parent)
		if err == nil {
			err = mayPost(ctx, account, above)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrNotFound) {
			return store.Mailbox{}, err
		}
	}
	box, err := account.Create(ctx, name)
	if errors.Is(err, store.ErrExists) { // made meanwhile
		return account.Mailbox(ctx, name)
	}
	return box, err
}

// mayPost is store.ErrNoPermission if mail for "user+name" may not go to a mailbox (RFC 4314 §2.1, "p").
func mayPost(ctx context.Context, account store.Account, box store.Mailbox) error {
	list, err := account.ACL(ctx, box.ID)
	if err == nil && !store.MayPost(list) {
		return store.ErrNoPermission
	}
	return err
}
