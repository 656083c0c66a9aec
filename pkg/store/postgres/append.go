package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"postern/pkg/message"
	"postern/pkg/store"
)

const (
	// A body whose encoded form is larger than this is stored by its caller, before the lane: the lanes' transactions stay
	// short.
	inlineBody = 64 << 10
	// inlineTotal bounds what one Append may hold in memory while it waits for its lane.
	inlineTotal = 1 << 20
	// windowsAtOnce is how many parts of a large body are in memory at a time.
	windowsAtOnce = 4

	// deliveryTimeout bounds an Append. What it stores before its message row is named in blob_gc until then, due in
	// orphanGrace, which must be far longer.
	deliveryTimeout = time.Hour
	orphanGrace     = 24 * time.Hour
)

// arrival is one message on its way into a mailbox: its row and its sealed body.
type arrival struct {
	blob               store.MessageID
	key                []byte // in deliveries; nil for none
	received           int64
	size, hsize        int64
	flags              int32
	kw                 int64
	flagNames          []imap.Flag
	rawlen             int
	header, tree, data []byte
	stored             bool // the body is in the database already
	duplicate          bool // delivered before: not to be stored
	uid                imap.UID
}

// Append implements store.Account.
func (a *account) Append(ctx context.Context, box store.MailboxID, drafts ...*store.Draft) ([]imap.UID, error) {
	if len(drafts) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, deliveryTimeout)
	defer cancel()
	d := &delivery{ctx: ctx, a: a, box: box, done: make(chan error, 1)}
	err := a.prepare(ctx, d, drafts)
	if err == nil {
		err = a.deliver(ctx, d)
	}
	err = failed("append", err)
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
	seen := make(map[string]bool)
	inline := 0
	for _, draft := range drafts {
		m, err := a.describe(draft)
		if err != nil {
			return err
		}
		d.arrivals = append(d.arrivals, m)
		m.duplicate = m.key != nil && seen[string(m.key)]
		seen[string(m.key)] = true
		if m.duplicate {
			continue
		}
		d.size += m.size
		_, named, err := store.FlagBits(m.flagNames, nil)
		if err != nil {
			return err
		}
		d.keywords = d.keywords || len(named) > 0
		if err := a.encode(ctx, key, m, draft, inlineTotal-inline); err != nil {
			return err
		}
		inline += len(m.header) + len(m.tree) + len(m.data)
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

// read returns the octets [from, to).
func (o octets) read(from, to int64) ([]byte, error) {
	b := make([]byte, to-from)
	n, err := o.ReadAt(b, from)
	if n == len(b) {
		return b, nil
	}
	if err == nil || err == io.EOF { //nolint:errorlint // io.ReaderAt says io.EOF itself
		err = io.ErrUnexpectedEOF
	}
	return nil, fmt.Errorf("read spooled message: %w", err)
}

// encode fills in the sealed body, and stores it when it is larger than what may wait in memory.
func (a *account) encode(ctx context.Context, key *dataKey, m *arrival, d *store.Draft, room int) error {
	k, err := key.forBlob(m.blob)
	if err != nil {
		return err
	}
	src := octets{prefix: d.Prefix, Spooled: d.Spooled}
	start := headerColumn(m.hsize)
	end := min(start+window, m.size)
	header, err := src.read(0, start)
	if err != nil {
		return err
	}
	data, err := src.read(start, end)
	if err != nil {
		return err
	}
	tree, err := d.Part().Shift(int64(len(d.Prefix))).AppendBinary(nil)
	if err != nil {
		return fmt.Errorf("encode MIME tree: %w", err)
	}
	m.rawlen = len(data)
	m.header = encodePart(k, 0, columnHeader, header)
	m.tree = encodePart(k, 0, columnTree, tree)
	m.data = encodePart(k, 0, columnData, data)
	if encoded := len(m.header) + len(m.tree) + len(m.data); end == m.size && encoded <= min(inlineBody, room) {
		return nil
	}
	if err := a.s.mayGrow(ctx, a.s.pool, a.id, m.size); err != nil {
		return err
	}
	return a.storeBody(ctx, k, m, src)
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
		from := headerColumn(m.hsize) + int64(m.rawlen)
		for part := 1; from < m.size; part++ {
			data, err := src.read(from, min(from+window, m.size))
			if err != nil {
				return err
			}
			b.Queue(sqlBody, a.id, m.blob, part, len(data), nil, nil, encodePart(k, part, columnData, data))
			from += int64(len(data))
			if part%windowsAtOnce == 0 {
				if err := tx.SendBatch(ctx, &b).Close(); err != nil {
					return err
				}
				b = pgx.Batch{}
			}
		}
		return tx.SendBatch(ctx, &b).Close()
	})
	m.stored = err == nil
	m.header, m.tree, m.data = nil, nil, nil
	return err
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
