package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"postern/pkg/message"
	"postern/pkg/store"
)

const (
	// A body whose encoded form is larger than this, or that has several windows, is stored by its caller, before the lane: the
	// lanes' transactions stay short. What it costs is a transaction more, and the intent that is written and removed again:
	// with mail of 210 KB a third of the time of the processors, so that a window is not too much.
	inlineBody = window
	// inlineTotal bounds what one Append may hold in memory while it waits for its lane.
	inlineTotal = 1 << 20
	// windowsAtOnce is how many parts of a large body are in memory at a time: as many as a connection keeps memory for.
	windowsAtOnce = scratchOctets / window

	// deliveryTimeout bounds an Append. What it stores before its message row is named in blob_gc until then, due in
	// orphanGrace, which must be far longer.
	deliveryTimeout = time.Hour
	orphanGrace     = 24 * time.Hour
)

// arrival is one message on its way into a mailbox: its row and its sealed body.
type arrival struct {
	blob               store.MessageID
	key                []byte // in deliveries; nil for none
	thread             int64
	received           int64
	size, hsize        int64
	flags              int32
	kw                 int64
	flagNames          []imap.Flag
	rawlen             int
	header, tree, data []byte
	sealed             *buffer // holds these three
	stored             bool    // the body is in the database already
	duplicate          bool    // delivered before: not to be stored
	uid                imap.UID
}

// octets is how much of it is to be sent to the database.
func (m *arrival) octets() int { return len(m.header) + len(m.tree) + len(m.data) }

// Append implements store.Account.
func (a *account) Append(ctx context.Context, box store.MailboxID, drafts ...*store.Draft) ([]imap.UID, error) {
	if len(drafts) == 0 {
		return nil, nil
	}
	if until, ok := ctx.Deadline(); !ok || time.Until(until) > deliveryTimeout {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, deliveryTimeout)
		defer cancel()
	}
	d := &delivery{ctx: ctx, a: a, box: box, done: make(chan error, 1)}
	err := a.prepare(ctx, d, drafts)
	if err == nil {
		err = a.deliver(ctx, d)
	}
	err = failed("append", err)
	if d.answered {
		a.s.release(d)
	}
	a.abandon(ctx, d, err)
	if err != nil {
		return nil, err
	}
	uids := make([]imap.UID, len(d.arrivals))
	for i, m := range d.arrivals {
		uids[i] = m.uid
	}
	return uids, nil
}

// prepare encodes the drafts and stores the large ones.
func (a *account) prepare(ctx context.Context, d *delivery, drafts []*store.Draft) error {
	key, err := a.s.key(ctx, a.id)
	if err != nil {
		return err
	}
	inline := 0
	for _, draft := range drafts {
		m, err := a.describe(draft)
		if err != nil {
			return err
		}
		m.duplicate = m.key != nil && slices.ContainsFunc(d.arrivals, func(other *arrival) bool { return bytes.Equal(other.key, m.key) })
		d.arrivals = append(d.arrivals, m)
		if m.duplicate {
			continue
		}
		d.size += m.size
		_, named, err := store.FlagBits(m.flagNames, nil)
		if err != nil {
			return err
		}
		d.keywords = d.keywords || len(named) > 0
		if err := a.encode(ctx, key, m, draft, budget{room: inlineTotal - inline, frees: d.frees}); err != nil {
			return err
		}
		inline += m.octets()
	}
	return nil
}

// describe takes down what the message's row says.
func (a *account) describe(d *store.Draft) (*arrival, error) {
	m := &arrival{
		blob:      a.s.ids.next(),
		received:  d.Received.UnixMilli(),
		size:      int64(len(d.Prefix)) + d.Size(),
		hsize:     int64(len(d.Prefix)) + d.Part().Body,
		flags:     int32(d.Padding()) << paddingShift & paddingMask,
		flagNames: d.Flags,
	}
	m.thread = store.ThreadOf(d, m.blob)
	if d.Received.IsZero() {
		m.received = time.Now().UnixMilli()
	}
	if m.size > math.MaxInt32 {
		return nil, fmt.Errorf("message of %d octets: %w", m.size, store.ErrTooBig)
	}
	for _, flag := range d.Flags {
		if bit, ok := store.ParseSystem(flag); ok {
			m.flags |= int32(bit)
		}
	}
	if len(d.DeliveryKey) > 0 {
		sum := sha256.Sum256(d.DeliveryKey)
		m.key = sum[:16]
	}
	return m, nil
}

// octets reads a draft as the message it becomes.
type octets struct {
	prefix []byte
	*message.Spooled
}

// ReadAt implements io.ReaderAt.
func (o octets) ReadAt(p []byte, off int64) (n int, err error) {
	if off < int64(len(o.prefix)) {
		n = copy(p, o.prefix[off:])
	}
	if n == len(p) {
		return n, nil
	}
	k, err := o.Spooled.ReadAt(p[n:], off+int64(n)-int64(len(o.prefix)))
	return n + k, err
}

// read returns the octets [from, to), in b if there is room.
func (o octets) read(b []byte, from, to int64) ([]byte, error) {
	b = slices.Grow(b[:0], int(to-from))[:to-from]
	n, err := o.ReadAt(b, from)
	if n == len(b) {
		return b, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return nil, fmt.Errorf("read spooled message: %w", err)
}

// buffer is memory that deliveries use one after another: at some thousand a second, garbage would be what takes longest.
type buffer struct{ b []byte }

func (s *Store) buffer() *buffer {
	if b, ok := s.buffers.Get().(*buffer); ok {
		return b
	}
	return new(buffer)
}

// release gives back the buffers of a delivery that nobody uses any more.
func (s *Store) release(d *delivery) {
	for _, m := range d.arrivals {
		if m.sealed != nil {
			s.buffers.Put(m.sealed)
		}
		m.sealed, m.header, m.tree, m.data = nil, nil, nil, nil
	}
}

// budget is what a message may take: octets that wait in memory, and beyond what others leave in the account.
type budget struct {
	room  int
	frees int64
}

// encode fills in the sealed body, and stores it when it is larger than what may wait in memory.
func (a *account) encode(ctx context.Context, key *dataKey, m *arrival, d *store.Draft, b budget) error {
	k, err := key.forBlob(m.blob)
	if err != nil {
		return err
	}
	src := octets{prefix: d.Prefix, Spooled: d.Spooled}
	if err := a.encodeFirst(k, m, d, src); err != nil {
		return err
	}
	last := headerColumn(m.hsize)+int64(m.rawlen) == m.size
	if last && m.octets() <= min(inlineBody, b.room) {
		return nil
	}
	more := 1
	if b.frees > 0 {
		more = 0
	}
	if err := a.s.mayGrow(ctx, a.s.pool, a.id, m.size-b.frees, more); err != nil {
		return err
	}
	return a.storeBody(ctx, k, m, src)
}

// encodeFirst seals header, tree and the first window.
func (a *account) encodeFirst(k *blobKey, m *arrival, d *store.Draft, src octets) error {
	start := headerColumn(m.hsize)
	end := min(start+window, m.size)
	raw := a.s.buffer()
	defer a.s.buffers.Put(raw)
	octets, err := src.read(raw.b, 0, end)
	if err != nil {
		return err
	}
	raw.b = d.Part().AppendShifted(octets, int64(len(d.Prefix))) // one buffer for both
	m.rawlen = int(end - start)
	m.sealed = a.s.buffer()
	b := encodePart(m.sealed.b[:0], k, 0, columnHeader, raw.b[:start])
	n := len(b)
	b = encodePart(b, k, 0, columnTree, raw.b[end:])
	t := len(b)
	b = encodePart(b, k, 0, columnData, raw.b[start:end])
	m.sealed.b, m.header, m.tree, m.data = b, b[:n:n], b[n:t:t], b[t:]
	return nil
}

const (
	sqlIntent = `
insert into blob_gc (account_id, gc_id, due, blobs)
values ($1, $2, now() + $3::interval, array[$2::bigint])`

	sqlBody = `
insert into bodies (account_id, blob_id, part, rawlen, hdr, tree, data)
values ($1, $2, $3, $4, $5, $6, $7)`
)

// storeBody stores a large body in a transaction of its own, together with the intent row by which the sweeper would find
// it should its message never come.
func (a *account) storeBody(ctx context.Context, k *blobKey, m *arrival, src octets) error {
	err := pgx.BeginFunc(ctx, a.s.pool, func(tx pgx.Tx) error {
		var b pgx.Batch
		b.Queue(sqlIntent, a.id, m.blob, orphanGrace)
		b.Queue(sqlBody, a.id, m.blob, 0, m.rawlen, m.header, m.tree, m.data)
		return a.storeWindows(ctx, tx, &b, k, m, src)
	})
	m.stored = err == nil
	a.s.release(&delivery{arrivals: []*arrival{m}})
	return err
}

// storeWindows stores the windows after the first, a few at a time, behind what b holds already.
func (a *account) storeWindows(ctx context.Context, tx pgx.Tx, b *pgx.Batch, k *blobKey, m *arrival, src octets) (err error) {
	raw, sealed := a.s.buffer(), a.s.buffer()
	defer a.s.buffers.Put(raw)
	defer a.s.buffers.Put(sealed)
	sealed.b = sealed.b[:0]
	waiting := m.octets()
	from := headerColumn(m.hsize) + int64(m.rawlen)
	for part := 1; from < m.size; part++ {
		if part%windowsAtOnce == 0 {
			if err := send(ctx, tx, b, waiting); err != nil {
				return err
			}
			*b, sealed.b, waiting = pgx.Batch{}, sealed.b[:0], 0
		}
		if raw.b, err = src.read(raw.b, from, min(from+window, m.size)); err != nil {
			return err
		}
		n := len(sealed.b)
		sealed.b = encodePart(sealed.b, k, part, columnData, raw.b)
		b.Queue(sqlBody, a.id, m.blob, part, len(raw.b), nil, nil, sealed.b[n:])
		waiting += len(sealed.b) - n
		from += int64(len(raw.b))
	}
	return send(ctx, tx, b, waiting)
}

// send runs statements that hold so many octets of bodies.
func send(ctx context.Context, tx pgx.Tx, b *pgx.Batch, octets int) error {
	makeRoom(tx.Conn(), octets+frameOctets*b.Len())
	return tx.SendBatch(ctx, b).Close()
}

const sqlAbandon = `
update blob_gc
set due = now()
where account_id = $1 and gc_id = any($2)`

// abandon lets the sweeper have the bodies that were stored for messages that then were not. What it cannot reach now
// is swept a day later.
func (a *account) abandon(ctx context.Context, d *delivery, failure error) {
	if errors.Is(failure, store.ErrUnavailable) || ctx.Err() != nil {
		return // nobody knows whether it was committed, and the lane may still be at it
	}
	var blobs []int64
	for _, m := range d.arrivals {
		if m.stored && (failure != nil || m.duplicate) {
			blobs = append(blobs, int64(m.blob))
		}
	}
	if len(blobs) == 0 {
		return
	}
	if _, err := a.s.pool.Exec(ctx, sqlAbandon, a.id, blobs); err != nil {
		a.s.log.Debug("bodies left to the sweeper", zap.Error(err))
	}
}
