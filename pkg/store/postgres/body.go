package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// errNoBody is returned when the octets of a message are not in the database: it was expunged and swept, or the database
// is damaged.
var errNoBody = fmt.Errorf("the message's octets are not there: %w", store.ErrNotFound)

// body reads the octets of a message: from what came with its page, or one part at a time. It is safe for concurrent
// use, as an io.ReaderAt must be, and holds no connection between reads.
type body struct {
	ctx  context.Context
	a    *account
	row  store.Row
	head int64 // octets in hdr

	keeps bool // windows of a large message

	mu   sync.Mutex
	hdr  []byte // nil: not read; guarded by mu
	part int    // guarded by mu
	data []byte // of part; nil: not read; guarded by mu
	big  bool   // data is a window of a large message, and memory for others; guarded by mu
	lent bool   // somebody holds octets of data, a window of a large message; guarded by mu
	read int64  // where the last read ended; guarded by mu

	parted int      // how many windows have been lent, and are done with otherwise; guarded by mu
	spent  [][]byte // those of them that are memory for others; guarded by mu
}

// newBody makes the body of a message; l is what has been read of it, or nil.
func newBody(ctx context.Context, a *account, row store.Row, l *loaded) *body {
	b := &body{ctx: ctx, a: a, row: row, head: headerColumn(int64(row.Header))}
	if l != nil && l.err == nil {
		b.hdr, b.data = l.hdr, l.data
	}
	return b
}

// ReadAt implements io.ReaderAt.
func (b *body) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for n < len(p) && off < b.row.Size {
		piece, err := b.from(off)
		if err != nil {
			return n, failed(fmt.Sprintf("read body of UID %d", b.row.UID), err)
		}
		k := copy(p[n:], piece)
		n += k
		off += int64(k)
	}
	b.read = off
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Octets implements store.InMemory.
func (b *body) Octets(off, n int64) [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if off < 0 || n < 0 || off+n > b.row.Size {
		return nil
	}
	if large(&b.row) {
		return b.octetsOfWindows(off, n)
	}
	if b.hdr == nil || b.data == nil {
		return nil
	}
	from, to := min(off, b.head), min(off+n, b.head)
	return [][]byte{b.hdr[from:to], b.data[off-from : off+n-to]}
}

// octetsOfWindows is Octets for a large message: of what is at hand, as much as two windows hold in any case. A command that has many
// pieces of it in hand at once, and a client that does not read the answer, would else hold all of the message in memory. The caller
// holds mu.
func (b *body) octetsOfWindows(off, n int64) [][]byte {
	var pieces [][]byte
	if off < b.head && b.hdr != nil {
		pieces = append(pieces, b.hdr[off:min(off+n, b.head)])
	}
	at, end := max(off-b.head, 0), off+n-b.head
	if off < b.head && b.hdr == nil || end-at > window || b.parted >= windowsSpare {
		return nil
	}
	for at < end {
		part := int(at / window)
		if (b.data == nil || b.part != part) && !b.takeWindow(part) {
			return nil
		}
		to := min(end, int64(part+1)*window)
		pieces = append(pieces, b.data[at%window:to-int64(part)*window])
		b.lent, at = true, to
	}
	b.read = off + n
	return pieces
}

// forget lets go of the octets, whose memory is used again. Another read reads them anew. The window of a large message at
// which reading stopped is left to whoever reads on from there, and so is the next one once most of this has been read.
func (b *body) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.big {
		b.leave(b.read - b.head - int64(b.part)*window)
	}
	b.lent = false
	b.drop()
	b.a.s.windows.spare(b.spent...)
	b.hdr, b.spent, b.parted = nil, nil, 0
}

// leave is forget for a window of a large message, of which at octets have been read. The caller holds mu.
func (b *body) leave(at int64) {
	if at > window/2 && at <= window {
		b.ahead(b.part + 1)
	}
	if at >= 0 && at < window && b.read < b.row.Size {
		b.a.s.windows.put(windowKey{b.a.id, b.row.ID, b.part}, b.data)
		b.data, b.big = nil, false
	}
}

// drop parts with data. The caller holds mu.
func (b *body) drop() {
	switch {
	case b.lent && b.big:
		b.spent = append(b.spent, b.data)
	case b.big:
		b.a.s.windows.spare(b.data)
	}
	if b.lent {
		b.parted++
	}
	b.data, b.big, b.lent = nil, false, false
}

// from returns octets from off on: at least one, at most to the end of the column they are in. The caller holds mu.
func (b *body) from(off int64) ([]byte, error) {
	if off < b.head {
		if b.hdr == nil {
			if err := b.readFirst(); err != nil {
				return nil, err
			}
		}
		return b.hdr[off:], nil
	}
	off -= b.head
	part := int(off / window)
	if b.data == nil || b.part != part {
		if err := b.readPart(part); err != nil {
			return nil, err
		}
	}
	return b.data[off%window:], nil
}

// readFirst reads the header, and with a small message the rest. The caller holds mu.
func (b *body) readFirst() error {
	l, err := b.first(!large(&b.row))
	if err != nil {
		return err
	}
	b.hdr = l.hdr
	if l.data != nil {
		b.data, b.part = l.data, 0
	}
	return nil
}

const sqlFirst = `
select hdr, case when $3 then data end
from bodies
where account_id = $1 and blob_id = $2 and part = 0`

func (b *body) first(whole bool) (*loaded, error) {
	key, err := b.a.s.key(b.ctx, b.a.id)
	if err != nil {
		return nil, err
	}
	var sealed sealedPart
	err = b.a.s.pool.QueryRow(b.ctx, key.in(sqlFirst), b.a.id, b.row.ID, whole).Scan(&sealed.hdr, &sealed.data)
	if err != nil {
		return nil, b.failed(err)
	}
	l := decodeFirst(key, &b.row, sealed, nil)
	return l, b.failed(l.err)
}

// readPart makes part the one in data. The caller holds mu.
func (b *body) readPart(part int) error {
	if part == 0 && !large(&b.row) {
		return b.readFirst()
	}
	if b.data != nil && part == b.part+1 { // it is read from window to window: the next one comes while this one is sent
		b.ahead(part + 1)
	}
	if b.takeWindow(part) {
		return nil
	}
	b.drop() // a message is read from its beginning to its end: the next window takes the place of this
	memory := b.a.s.windows.memory()
	data, err := b.window(b.ctx, memory, part)
	if err != nil {
		b.a.s.windows.spare(memory)
		return b.failed(err)
	}
	b.hold(part, data)
	return nil
}

// takeWindow makes part the one in data if it is in memory. The caller holds mu.
func (b *body) takeWindow(part int) bool {
	if data := b.keptWindow(part); data != nil {
		b.drop()
		b.data, b.part = data, part
		return true
	}
	data, ok := b.a.s.windows.take(b.ctx, windowKey{b.a.id, b.row.ID, part})
	if ok {
		b.hold(part, data)
	}
	return ok
}

// hold makes a window of a large message the one in data. The caller holds mu.
func (b *body) hold(part int, data []byte) {
	b.drop()
	b.data, b.part, b.big = data, part, true
	if b.keeps {
		b.keepWindow()
	}
}

const sqlWindow = `
select data
from bodies
where account_id = $1 and blob_id = $2 and part = $3`

// window reads a part into memory. It is decoded where the driver has it: a large message is many parts.
func (b *body) window(ctx context.Context, memory []byte, part int) ([]byte, error) {
	key, err := b.a.s.key(ctx, b.a.id)
	if err != nil {
		return nil, err
	}
	k, err := key.forBlob(b.row.ID)
	if err != nil {
		return nil, err
	}
	found, err := b.a.s.pool.Query(ctx, key.in(sqlWindow), b.a.id, b.row.ID, part)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	if !found.Next() {
		return nil, cmp.Or(found.Err(), pgx.ErrNoRows)
	}
	memory = memory[:min(b.row.Size-b.head-int64(part)*window, window)]
	data, err := openColumn(memory, k, part, columnData, found.RawValues()[0])
	if err != nil {
		return nil, err
	}
	found.Close()
	return data, found.Err()
}

// failed counts an error that says the message cannot be read, now or later.
func (b *body) failed(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("body %d: %w", b.row.ID, errNoBody)
	}
	if unreadable(err) {
		b.a.s.metrics.bodyErrors.Inc()
	}
	return err
}

// unreadable says that an error concerns one message's octets, not the database.
func unreadable(err error) bool { return errors.Is(err, errDamaged) || errors.Is(err, errNoBody) }
