package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/message"
	"postern/pkg/store"
)

// How many messages Messages reads with one query: by number, and by octets that will be in memory; and how many pages are
// on their way while one is yielded, so that reading, decoding and sending keep all processors busy. A caller that takes
// its time pins all of these pages.
const (
	pageHeaders = 256
	pageBodies  = 128
	pageOctets  = 768 << 10
	pagesAhead  = 2
	treeOctets  = 1 << 10 // what a MIME tree takes, for that sum
	pageTrees   = 8 << 20 // what the trees of a page may take in truth: a mail of 100 KB can have one of 3 MB
)

// Messages implements store.Account. What the snapshot knows comes from it. Headers, trees and bodies come in pages by
// body, the next pages already on their way while one is yielded; the connection is back in the pool before the first
// message of a page is.
func (a *account) Messages(ctx context.Context, have *store.Snapshot, uids imap.UIDSet, want store.Fields) iter.Seq2[*store.Message, error] {
	return func(yield func(*store.Message, error) bool) {
		// Pages on their way end with the sequence; bodies may be read for as long as the caller's context lives.
		ahead, cancel := context.WithCancel(ctx)
		defer cancel()
		p := &pager{a: a, have: have, want: want, places: have.Indices(uids)}
		p.read = p.load
		if want&(store.WithPart|store.WithHeader|store.WithBody) == 0 {
			p.bare(ctx, yield)
			return
		}
		if !a.behind && len(p.places) == 1 && p.places[0][1] == p.places[0][0]+1 {
			p.single(ctx, p.places[0][0], yield)
			return
		}
		var keeps bool
		if keeps, p.keepsWhole = p.mayKeep(); keeps {
			p.read = p.loadKeeping
		}
		for coming := p.start(ahead, nil); len(coming) > 0; {
			page := <-coming[0]
			if page.err != nil {
				yield(nil, failed("read messages", page.err))
				return
			}
			coming = p.start(ahead, coming[1:])
			again := page.yield(ctx, p, yield)
			page.memory.release()
			if !again {
				return
			}
		}
	}
}

// pager walks the places of a Snapshot that are asked for, a page at a time.
type pager struct {
	a      *account
	have   *store.Snapshot
	want   store.Fields
	places [][2]int // those still to come

	read       func(context.Context, *page) error // a page
	keepsWhole bool                               // messages that are large, too
}

// bare yields messages of which nothing need be read. Whoever does read a body pays for it then.
func (p *pager) bare(ctx context.Context, yield func(*store.Message, error) bool) {
	for _, r := range p.places {
		for i := r[0]; i < r[1]; i++ {
			m := p.have.Message(i)
			body := newBody(ctx, p.a, p.have.Row(i), nil)
			m.Body = body
			again := yield(m, nil)
			p.done(body)
			if !again {
				return
			}
		}
	}
}

// page is some messages and what was read of them.
type page struct {
	places []int
	key    *dataKey // of what is sealed; nil: nothing is
	memory *arena   // of the octets; nil: each has its own
	read   map[store.MessageID]*loaded
	err    error // of the query: ends everything
}

// start begins to read pages until there are enough coming, or no more.
func (p *pager) start(ctx context.Context, coming []<-chan *page) []<-chan *page {
	for len(coming) < pagesAhead {
		pg := &page{places: p.next()}
		if len(pg.places) == 0 {
			break
		}
		done := make(chan *page, 1) // nobody need receive
		read := func() {
			pg.err = p.read(ctx, pg)
			done <- pg
		}
		if len(coming)+len(p.places) > 0 {
			go read()
		} else {
			read() // it is the only one
		}
		coming = append(coming, done)
	}
	return coming
}

// next takes as many places as make a page.
func (p *pager) next() []int {
	limit := pageHeaders
	if p.want&store.WithBody != 0 {
		limit = pageBodies
	}
	var places []int
	octets := 0
	for len(p.places) > 0 && len(places) < limit && octets < pageOctets {
		r := &p.places[0]
		octets += p.octets(r[0])
		places = append(places, r[0])
		if r[0]++; r[0] == r[1] {
			p.places = p.places[1:]
		}
	}
	return places
}

// octets is how much of the message at place i will be read.
func (p *pager) octets(i int) int {
	row := p.have.Row(i)
	n := 0
	if p.want&store.WithPart != 0 {
		n += treeOctets
	}
	if p.want&(store.WithHeader|store.WithBody) != 0 {
		n += int(headerColumn(int64(row.Header)))
	}
	if p.want&store.WithBody != 0 && !large(&row) {
		n += int(row.Size) - int(headerColumn(int64(row.Header)))
	}
	return n
}

// large says that what follows the header is in more than one part. Its parts are read one at a time, when they are
// needed: a client that reads a large message in pieces must not pay for all of it with each.
func large(r *store.Row) bool { return r.Size-headerColumn(int64(r.Header)) > window }

// Each body is looked up by its whole key. Asked for "any of" them, the planner may walk all of the account's bodies: it
// knows nothing of accounts that are new, and guesses that they have few.
const sqlParts = `
select b.*
from unnest($2::bigint[], $5::boolean[]) w(blob_id, whole)
cross join lateral (
  select blob_id, case when $3 then hdr end, case when $4 then tree end, case when w.whole then data end
  from bodies
  where account_id = $1 and blob_id = w.blob_id and part = 0
  limit 1
) b`

// A single body is what most clients ask for most of the time; this is planned once.
const sqlSingle = `
select blob_id, case when $3 then hdr end, case when $4 then tree end, case when $5 then data end
from bodies
where account_id = $1 and blob_id = $2 and part = 0`

// load reads a page. Errors of single messages are in what it has read.
func (p *pager) load(ctx context.Context, pg *page) error {
	if !p.a.behind {
		p.a.s.works()
	}
	key, err := p.a.s.key(ctx, p.a.id)
	if err != nil {
		return err
	}
	pg.key = key
	rows := make(map[store.MessageID]store.Row, len(pg.places))
	all, whole := make([]int64, 0, len(pg.places)), make([]bool, 0, len(pg.places))
	octets := 0
	for _, i := range pg.places {
		octets += p.octets(i)
		row := p.have.Row(i)
		if _, ok := rows[row.ID]; ok {
			continue // a copy
		}
		rows[row.ID] = row
		all = append(all, int64(row.ID))
		whole = append(whole, p.want&store.WithBody != 0 && !large(&row))
	}
	if p.want&store.Passing != 0 {
		pg.memory = p.a.s.arena(octets)
	}
	header, tree := p.want&(store.WithHeader|store.WithBody) != 0, p.want&store.WithPart != 0
	if len(all) == 1 {
		return p.query(ctx, pg, rows, sqlSingle, p.a.id, all[0], header, tree, whole[0])
	}
	return p.query(ctx, pg, rows, sqlParts, p.a.id, all, header, tree, whole)
}

// query decodes rows where the driver has them: a copy of each would cost as much as opening its seal. Only trees that are too large
// together are opened one by one, when they are wanted.
func (p *pager) query(ctx context.Context, pg *page, rows map[store.MessageID]store.Row, sql string, args ...any) error {
	found, err := p.a.s.pool.Query(ctx, pg.key.in(sql), args...)
	if err != nil {
		return err
	}
	defer found.Close()
	pg.read = make(map[store.MessageID]*loaded, len(rows))
	trees := 0
	for found.Next() {
		raw := found.RawValues()
		if len(raw) != 4 || len(raw[0]) != 8 {
			return errColumns
		}
		id := store.MessageID(binary.BigEndian.Uint64(raw[0]))
		row := rows[id]
		sealed := sealedPart{raw[1], raw[2], raw[3]}
		var later []byte
		if trees > pageTrees {
			later, sealed.tree = bytes.Clone(sealed.tree), nil
		}
		l := decodeFirst(pg.key, &row, sealed, pg.memory)
		l.later = later
		trees += l.treeSize
		pg.read[id] = l
	}
	return found.Err()
}

// sealedPart is what part 0 of a body holds, as stored; nil is what was not asked for. Decoding overwrites it.
type sealedPart struct{ hdr, tree, data []byte }

// loaded is what part 0 of a body holds.
type loaded struct {
	hdr, data []byte // nil if not read
	tree      *message.Part
	treeSize  int    // octets of memory that tree takes, about
	later     []byte // the tree as it is stored, instead of tree
	err       error
}

// treeGrowth is by how much a tree is larger in memory than as it is stored: about that much when it is many small parts.
const treeGrowth = 16

// decodeFirst puts the octets into memory.
func decodeFirst(key *dataKey, row *store.Row, sealed sealedPart, memory *arena) *loaded {
	k, err := key.forBlob(row.ID)
	if err != nil {
		return &loaded{err: err}
	}
	l := new(loaded)
	h := headerColumn(int64(row.Header))
	if sealed.hdr != nil {
		l.hdr, l.err = openColumn(memory.take(h), k, 0, columnHeader, sealed.hdr)
	}
	if sealed.data != nil && l.err == nil {
		l.data, l.err = openColumn(memory.take(min(row.Size-h, window)), k, 0, columnData, sealed.data)
	}
	if sealed.tree != nil && l.err == nil {
		l.tree, l.treeSize, l.err = openTree(k, sealed.tree)
	}
	return l
}

// openColumn decodes a column, which must have as many octets as dst.
func openColumn(dst []byte, k *blobKey, part int, col column, sealed []byte) ([]byte, error) {
	raw, err := decodePart(dst[:0], k, part, col, sealed)
	if err == nil && len(raw) != len(dst) {
		err = k.damaged(part, col, fmt.Errorf("%w: %d octets instead of %d", errDamaged, len(raw), len(dst)))
	}
	return raw, err
}

// openTree returns a tree, and about how many octets of memory it takes.
func openTree(k *blobKey, sealed []byte) (*message.Part, int, error) {
	raw, err := decodePart(nil, k, 0, columnTree, bytes.Clone(sealed)) // the tree may keep what it is made of
	if err != nil {
		return nil, 0, err
	}
	tree := new(message.Part)
	if err := tree.UnmarshalBinary(raw); err != nil {
		return nil, 0, k.damaged(0, columnTree, fmt.Errorf("%w: %w", errDamaged, err))
	}
	return tree, treeGrowth * len(raw), nil
}

// yield hands out the messages of a page. It returns false when the caller has had enough.
func (pg *page) yield(ctx context.Context, p *pager, yield func(*store.Message, error) bool) bool {
	for _, i := range pg.places {
		row := p.have.Row(i)
		m := p.have.Message(i)
		l := pg.read[row.ID]
		err := pg.check(l, row.ID)
		if err == nil && p.want&store.WithPart != 0 {
			m.Part, err = pg.tree(l, row.ID)
		}
		if err != nil {
			p.a.s.metrics.bodyErrors.Inc()
			err = failed(fmt.Sprintf("read UID %d", row.UID), err)
		}
		body := newBody(ctx, p.a, row, l)
		body.keeps = p.keepsWhole
		m.Body = body
		again := yield(m, err)
		p.done(body)
		if !again {
			return false
		}
	}
	return true
}

// done says that the caller has read a message, if it is one that reads each but once.
func (p *pager) done(b *body) {
	if p.want&store.Passing != 0 {
		b.forget()
	}
}

// tree returns a message's, opened if need be.
func (pg *page) tree(l *loaded, id store.MessageID) (*message.Part, error) {
	if l.later == nil {
		return l.tree, nil
	}
	k, err := pg.key.forBlob(id)
	if err != nil {
		return nil, err
	}
	tree, _, err := openTree(k, l.later)
	return tree, err
}

func (pg *page) check(l *loaded, id store.MessageID) error {
	if l == nil {
		return fmt.Errorf("body %d: %w", id, errNoBody)
	}
	return l.err
}
