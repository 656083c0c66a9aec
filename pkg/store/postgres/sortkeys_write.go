package postgres

import (
	"context"
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// keyWriter adds keys to those of a mailbox that are stored, in a transaction: what sessions have made, and what the indexer
// makes on its way.
type keyWriter struct {
	s   *Store
	tx  pgx.Tx
	key boxKey
	dk  *dataKey
}

// keysLock is the class of the advisory locks of those who write the keys of a mailbox: segments must not come to overlap.
const keysLock = 0x6b657973

const sqlLockKeys = `
select pg_advisory_xact_lock($1, hashint8($2))`

// add stores the keys of messages, ascending by UID, that are not stored yet. It makes anew the segments that are in the way, and
// small ones before them that have become enough for a larger one.
func (w *keyWriter) add(ctx context.Context, rows []keyRow) error {
	if len(rows) == 0 {
		return nil
	}
	if _, err := w.tx.Exec(ctx, sqlLockKeys, int32(keysLock), int64(w.key.box)); err != nil {
		return err
	}
	there, err := w.shed(ctx)
	if err != nil {
		return err
	}
	there = disturbed(there, uidSpan{rows[0].uid, rows[len(rows)-1].uid}, len(rows), w.s.opts.sizes.docs)
	old, err := w.read(ctx, there)
	if err != nil {
		return err
	}
	if rows = unknownKeys(old, rows); len(rows) == 0 {
		return nil
	}
	return w.replace(ctx, there, mergeRows(old, rows))
}

// shed lists the segments, without the keys of messages that are gone if those were most of them.
func (w *keyWriter) shed(ctx context.Context) ([]storedKeys, error) {
	there, prune, err := w.there(ctx)
	if err != nil || !prune {
		return there, err
	}
	if err := w.prune(ctx, there); err != nil {
		return nil, err
	}
	there, _, err = w.there(ctx)
	return there, err
}

// prune leaves out the keys of messages that are gone. It holds few segments at a time: all of a mailbox may be more than there
// is memory for.
func (w *keyWriter) prune(ctx context.Context, there []storedKeys) error {
	uids, err := w.living(ctx)
	if err != nil {
		return err
	}
	var kept []keyRow
	for i := range there {
		this := there[i : i+1]
		old, err := w.read(ctx, this)
		if err != nil {
			return err
		}
		kept = slices.DeleteFunc(mergeRows(old, kept), func(r keyRow) bool {
			_, ok := slices.BinarySearch(uids, r.uid)
			return !ok
		})
		n := len(kept)
		if i < len(there)-1 {
			n -= n % segmentRows
		}
		if err := w.replace(ctx, this, kept[:n]); err != nil {
			return err
		}
		kept = kept[n:]
	}
	return nil
}

// storedKeys is what the database says of a segment.
type storedKeys struct {
	uidSpan
	n int
}

const sqlStoredKeys = `
select k.lo, k.hi, k.n, m.n_msgs
from sort_keys k
join mailbox_state m on m.account_id = k.account_id and m.mailbox_id = k.mailbox_id
where k.account_id = $1 and k.mailbox_id = $2
order by k.lo`

// there lists the segments, and says whether most keys in them are of messages that are gone.
func (w *keyWriter) there(ctx context.Context) (list []storedKeys, prune bool, err error) {
	rows, err := w.tx.Query(ctx, sqlStoredKeys, w.key.account, w.key.box)
	if err != nil {
		return nil, false, err
	}
	var g storedKeys
	count, live := 0, 0
	_, err = pgx.ForEachRow(rows, []any{&g.lo, &g.hi, &g.n, &live}, func() error {
		list = append(list, g)
		count += g.n
		return nil
	})
	return list, count > 2*live+segmentRows, err
}

// disturbed returns those of the segments, ascending, that n more keys make anew: what the span overlaps, and those of less than
// enough keys before it if there are enough of them together.
func disturbed(there []storedKeys, span uidSpan, n, enough int) []storedKeys {
	to := len(there)
	for to > 0 && there[to-1].lo > span.hi {
		to--
	}
	from := to
	for from > 0 && there[from-1].hi >= span.lo {
		from--
	}
	small := from
	for small > 0 && there[small-1].n < enough {
		small--
		n += there[small].n
	}
	if n >= enough {
		from = small
	}
	return there[from:to]
}

// read reads segments that follow each other.
func (w *keyWriter) read(ctx context.Context, these []storedKeys) ([]*keySegment, error) {
	if len(these) == 0 {
		return nil, nil
	}
	sealed, err := readKeys(ctx, w.tx, w.key, uidSpan{these[0].lo, these[len(these)-1].hi})
	if err != nil {
		return nil, err
	}
	return addSegments(nil, w.s.openAllKeys(w.dk, w.key, sealed)), nil
}

// unknownKeys returns the rows that are not in segments.
func unknownKeys(segments []*keySegment, rows []keyRow) []keyRow {
	known := make(map[imap.UID]store.MessageID, countKeys(segments))
	for _, g := range segments {
		for i, uid := range g.uids {
			known[uid] = g.blobs[i]
		}
	}
	var unknown []keyRow
	for _, r := range rows {
		if blob, ok := known[r.uid]; !ok || blob != r.blob {
			unknown = append(unknown, r)
		}
	}
	return unknown
}

const sqlLivingUIDs = `
select uid
from messages
where account_id = $1 and mailbox_id = $2
order by uid`

// living lists the messages that are there, ascending.
func (w *keyWriter) living(ctx context.Context) ([]imap.UID, error) {
	found, err := w.tx.Query(ctx, sqlLivingUIDs, w.key.account, w.key.box)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(found, pgx.RowTo[imap.UID])
}

const sqlDropKeys = `
delete from sort_keys
where account_id = $1 and mailbox_id = $2 and lo = any($3)`

// The mailbox may have been deleted meanwhile.
const sqlPutKeys = `
insert into sort_keys (account_id, mailbox_id, lo, hi, n, data)
select $1, $2, $3, $4, $5, $6
where exists (select from mailbox_state where account_id = $1 and mailbox_id = $2)
on conflict (account_id, mailbox_id, lo) do update
set hi = excluded.hi, n = excluded.n, data = excluded.data`

// replace puts segments of the rows in the place of others.
func (w *keyWriter) replace(ctx context.Context, these []storedKeys, rows []keyRow) error {
	if len(these) > 0 {
		drop := make([]int64, len(these))
		for i, g := range these {
			drop[i] = int64(g.lo)
		}
		if _, err := w.tx.Exec(ctx, sqlDropKeys, w.key.account, w.key.box, drop); err != nil {
			return err
		}
	}
	for _, g := range appendSegments(nil, rows) {
		if err := w.put(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

func (w *keyWriter) put(ctx context.Context, g *keySegment) error {
	raw, err := g.pack()
	if err != nil {
		return err
	}
	lo := int64(g.lo())
	sealed, err := w.dk.sealDerived(keysContext(w.key.box, lo), raw)
	if err != nil {
		return err
	}
	_, err = w.tx.Exec(ctx, sqlPutKeys, w.key.account, w.key.box, lo, int64(g.hi()), len(g.uids), sealed)
	return err
}
