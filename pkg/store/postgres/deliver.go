package postgres

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/pkg/store"
)

// storeBatch stores deliveries: with a pool in one pipeline that is one transaction, with a transaction as part of it.
// Bodies go first, so that the mailbox rows are locked only for the last statement and the commit. A mailbox that is not
// there, or a message that was delivered before, fails all.
func (s *Store) storeBatch(ctx context.Context, q querier, batch []*delivery) error {
	var b pgx.Batch
	if d := batch[0]; len(batch) == 1 && len(d.live()) == 1 {
		queueOne(&b, d, d.live()[0])
	} else {
		queueMany(&b, batch)
	}
	if b.Len() == 0 {
		return nil
	}
	pool, ok := q.(*pgxpool.Pool)
	if !ok {
		return q.SendBatch(ctx, &b).Close()
	}
	return pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		makeRoom(c.Conn(), sentOctets(batch))
		return c.SendBatch(ctx, &b).Close()
	})
}

// sentOctets is about how many are to be sent for a batch.
func sentOctets(batch []*delivery) int {
	n := frameOctets
	for _, d := range batch {
		n += d.octets() + messageOctets*len(d.arrivals)
	}
	return n
}

const (
	sqlDelivery = `
insert into deliveries (account_id, key)
values ($1, $2)`

	// A body without its intent has been swept: the message must not become visible (rule 9). The division refuses.
	sqlIntentDone = `
with d as (
  delete from blob_gc
  where account_id = $1 and gc_id = $2
  returning gc_id
)
select 1 / count(*)
from d`

	// Without its mailbox the UID is null, which the table refuses.
	sqlArrive = `
with s as (
  update mailbox_state
  set uidnext = uidnext + 1, modseq = modseq + 1, n_msgs = n_msgs + 1, n_unseen = n_unseen + 1 - ($7::int & 1),
      n_deleted = n_deleted + ($7::int & 8) / 8, bytes = bytes + $5::int
  where account_id = $1 and mailbox_id = $2
  returning uidnext - 1 as uid, modseq
)
insert into messages (account_id, mailbox_id, uid, modseq, blob_id, idate, size, hsize, flags, kw, savedate, thread_id)
values ($1, $2, (select uid from s), (select modseq from s), $3, $4, $5, $6, $7, $8, $9, $10)
returning uid`
)

// singleBody is from how many octets on a body has a statement of its own, in which PostgreSQL copies it less often: of 16
// bodies of 100 KB that is 40 % faster. Of small ones, many in one statement are.
const singleBody = 64 << 10

func queueOne(b *pgx.Batch, d *delivery, m *arrival) {
	if m.stored {
		b.Queue(sqlIntentDone, d.a.id, m.blob)
	} else {
		b.Queue(sqlBody, d.a.id, m.blob, 0, m.rawlen, m.header, m.tree, m.data)
	}
	if m.key != nil {
		b.Queue(sqlDelivery, d.a.id, m.key)
	}
	b.Queue(sqlArrive, d.a.id, d.box, m.blob, m.received, m.size, m.hsize, m.flags, m.kw, time.Now().UnixMilli(), m.thread).
		QueryRow(func(row pgx.Row) error { return row.Scan(&m.uid) })
}

const (
	sqlBodies = `
insert into bodies (account_id, blob_id, rawlen, hdr, tree, data)
select *
from unnest($1::bigint[], $2::bigint[], $3::int[], $4::bytea[], $5::bytea[], $6::bytea[])`

	sqlDeliveries = `
insert into deliveries (account_id, key)
select *
from unnest($1::bigint[], $2::bytea[])`

	sqlIntentsDone = `
with d as (
  delete from blob_gc g
  using unnest($1::bigint[], $2::bigint[]) t(account_id, blob_id)
  where g.account_id = t.account_id and g.gc_id = t.blob_id
  returning gc_id
)
select 1 / (count(*) = cardinality($2))::int
from d`

	// The rows are locked in the order in which everyone locks them; then each is updated as it was found locked.
	sqlArriveMany = `
with b as materialized (
  select b.*
  from unnest($1::bigint[], $2::bigint[], $3::int[], $4::int[], $5::int[], $6::bigint[])
    b(account_id, mailbox_id, n, unseen, deleted, bytes)
  join mailbox_state l using (account_id, mailbox_id)
  order by account_id, mailbox_id
  for update of l
), s as (
  update mailbox_state s
  set uidnext = s.uidnext + b.n, modseq = s.modseq + 1, n_msgs = s.n_msgs + b.n, n_unseen = s.n_unseen + b.unseen,
      n_deleted = s.n_deleted + b.deleted, bytes = s.bytes + b.bytes
  from b
  where s.account_id = b.account_id and s.mailbox_id = b.mailbox_id
  returning s.account_id, s.mailbox_id, s.uidnext - b.n as first, s.modseq
)
insert into messages (account_id, mailbox_id, uid, modseq, blob_id, idate, size, hsize, flags, kw, savedate, thread_id)
select t.account_id, t.mailbox_id, s.first + t.nth, s.modseq, t.blob_id, t.idate, t.size, t.hsize, t.flags, t.kw, $16, t.thread_id
from unnest($7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::int[], $13::int[], $14::int[], $15::bigint[],
  $17::bigint[])
  t(account_id, mailbox_id, nth, blob_id, idate, size, hsize, flags, kw, thread_id)
left join s using (account_id, mailbox_id)
returning account_id, blob_id, uid`
)

// rows are the columns of a batch's messages.
type rows struct {
	accounts, boxes, nths, blobs, threads, idates, kws []int64
	sizes, hsizes, flags                               []int32
}

// groups are the columns of a batch's mailboxes: how their counters grow.
type groups struct {
	accounts, boxes, octets   []int64
	counts, unseens, deleteds []int32
}

func queueMany(b *pgx.Batch, batch []*delivery) {
	batch = slices.Clone(batch)
	slices.SortStableFunc(batch, func(x, y *delivery) int {
		return cmp.Or(cmp.Compare(x.a.id, y.a.id), cmp.Compare(x.box, y.box))
	})
	queueBodies(b, batch)
	r, g := columns(batch)
	if len(g.boxes) == 0 {
		return
	}
	b.Queue(sqlArriveMany, g.accounts, g.boxes, g.counts, g.unseens, g.deleteds, g.octets,
		r.accounts, r.boxes, r.nths, r.blobs, r.idates, r.sizes, r.hsizes, r.flags, r.kws, time.Now().UnixMilli(), r.threads).
		Query(func(found pgx.Rows) error { return assignUIDs(batch, found) })
}

func queueBodies(b *pgx.Batch, batch []*delivery) {
	n := len(batch)
	var done, doneAccounts []int64
	accounts, blobs, keyed, rawlens := make([]int64, 0, n), make([]int64, 0, n), make([]int64, 0, n), make([]int32, 0, n)
	headers, trees, datas, keys := make(octetList, 0, n), make(octetList, 0, n), make(octetList, 0, n), make(octetList, 0, n)
	for _, d := range batch {
		for _, m := range d.live() {
			if m.key != nil {
				keyed, keys = append(keyed, int64(d.a.id)), append(keys, m.key)
			}
			if m.stored {
				doneAccounts, done = append(doneAccounts, int64(d.a.id)), append(done, int64(m.blob))
				continue
			}
			if m.octets() >= singleBody {
				b.Queue(sqlBody, d.a.id, m.blob, 0, m.rawlen, m.header, m.tree, m.data)
				continue
			}
			accounts, blobs = append(accounts, int64(d.a.id)), append(blobs, int64(m.blob))
			rawlens = append(rawlens, int32(m.rawlen))
			headers, trees, datas = append(headers, m.header), append(trees, m.tree), append(datas, m.data)
		}
	}
	if len(blobs) > 0 {
		b.Queue(sqlBodies, accounts, blobs, rawlens, headers, trees, datas)
	}
	if len(keys) > 0 {
		b.Queue(sqlDeliveries, keyed, keys)
	}
	if len(done) > 0 {
		b.Queue(sqlIntentsDone, doneAccounts, done)
	}
}

// columns lays a sorted batch out in columns.
func columns(batch []*delivery) (r rows, g groups) {
	r.grow(len(batch))
	for _, d := range batch {
		for _, m := range d.live() {
			last := len(g.boxes) - 1
			if last < 0 || g.accounts[last] != int64(d.a.id) || g.boxes[last] != int64(d.box) {
				g.accounts, g.boxes = append(g.accounts, int64(d.a.id)), append(g.boxes, int64(d.box))
				g.counts, g.unseens, g.deleteds = append(g.counts, 0), append(g.unseens, 0), append(g.deleteds, 0)
				g.octets = append(g.octets, 0)
				last++
			}
			r.add(d, m, g.counts[last])
			g.add(last, m)
		}
	}
	return r, g
}

// grow makes room for n messages.
func (r *rows) grow(n int) {
	for _, col := range []*[]int64{&r.accounts, &r.boxes, &r.nths, &r.blobs, &r.threads, &r.idates, &r.kws} {
		*col = make([]int64, 0, n)
	}
	for _, col := range []*[]int32{&r.sizes, &r.hsizes, &r.flags} {
		*col = make([]int32, 0, n)
	}
}

func (r *rows) add(d *delivery, m *arrival, nth int32) {
	r.accounts, r.boxes, r.nths = append(r.accounts, int64(d.a.id)), append(r.boxes, int64(d.box)), append(r.nths, int64(nth))
	r.blobs, r.idates, r.kws = append(r.blobs, int64(m.blob)), append(r.idates, m.received), append(r.kws, m.kw)
	r.threads = append(r.threads, m.thread)
	r.sizes, r.hsizes, r.flags = append(r.sizes, int32(m.size)), append(r.hsizes, int32(m.hsize)), append(r.flags, m.flags)
}

func (g *groups) add(i int, m *arrival) {
	g.counts[i]++
	g.octets[i] += m.size
	if store.SystemFlags(m.flags)&store.FlagSeen == 0 {
		g.unseens[i]++
	}
	if store.SystemFlags(m.flags)&store.FlagDeleted != 0 {
		g.deleteds[i]++
	}
}

// assignUIDs takes down what sqlArriveMany returns: read in binary format, which takes a fraction of the time of Scan.
func assignUIDs(batch []*delivery, found pgx.Rows) error {
	type key struct {
		account store.AccountID
		blob    store.MessageID
	}
	arrivals := make(map[key]*arrival, len(batch))
	for _, d := range batch {
		for _, m := range d.live() {
			arrivals[key{d.a.id, m.blob}] = m
		}
	}
	defer found.Close()
	for found.Next() {
		raw := found.RawValues()
		if len(raw) != 3 || len(raw[0]) != 8 || len(raw[1]) != 8 || len(raw[2]) != 8 {
			return errColumns
		}
		k := key{store.AccountID(binary.BigEndian.Uint64(raw[0])), store.MessageID(binary.BigEndian.Uint64(raw[1]))}
		if m := arrivals[k]; m != nil {
			m.uid = imap.UID(binary.BigEndian.Uint64(raw[2]))
		}
	}
	return found.Err()
}
