package postgres

import (
	"container/list"
	"context"
	"sync"

	"postern/pkg/store"
)

const (
	// aheadOctets is what the process keeps of messages that nobody has asked for yet.
	aheadOctets = 16 << 20
	// aheadRun bounds how many messages are read with the one that was asked for, and aheadRunOctets their octets.
	aheadRun       = 32
	aheadRunOctets = 1 << 20
	// aheadRow is what an entry takes beside octets.
	aheadRow = 512
)

// readAhead serves clients that take one message after the other, upwards or downwards: nearly all that download. Each
// message would cost them a query. Once somebody has asked for a message next to the one before, the following ones come
// with it, twice as many with every query. It is safe for concurrent use; the zero value is empty.
type readAhead struct {
	mu     sync.Mutex
	items  map[aheadKey]*list.Element // guarded by mu
	order  list.List                  // of aheadItem, oldest last; guarded by mu
	octets int                        // of all; guarded by mu
}

// aheadKey names a message and what will be read of it.
type aheadKey struct {
	account store.AccountID
	blob    store.MessageID
	want    store.Fields
}

// aheadItem is a message that may be asked for next.
type aheadItem struct {
	key  aheadKey
	read *loaded // nil: a query must read it
	step int     // the way the client goes, 1 or -1
	run  int     // how many messages the last query read
}

func (i *aheadItem) octets() int {
	if i.read == nil {
		return aheadRow
	}
	return aheadRow + i.read.treeSize + len(i.read.hdr) + len(i.read.data)
}

// take returns what is known of a message, which is the caller's from then on; the zero aheadItem if nobody expected it.
func (r *readAhead) take(key aheadKey) aheadItem {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.items[key]
	if !ok {
		return aheadItem{}
	}
	return r.remove(e)
}

// remove is called with mu held.
func (r *readAhead) remove(e *list.Element) aheadItem {
	item := r.order.Remove(e).(aheadItem)
	delete(r.items, item.key)
	r.octets -= item.octets()
	return item
}

// put keeps a message for whoever asks for it next. What has been read already stays so.
func (r *readAhead) put(item aheadItem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.items[item.key]; ok {
		if item.read == nil {
			return
		}
		r.remove(e)
	}
	if r.items == nil {
		r.items = make(map[aheadKey]*list.Element)
	}
	r.items[item.key] = r.order.PushFront(item)
	r.octets += item.octets()
	for r.octets > aheadOctets {
		r.remove(r.order.Back())
	}
}

// single yields the one message at place i.
func (p *pager) single(ctx context.Context, i int, yield func(*store.Message, error) bool) {
	item := p.a.s.ahead.take(p.aheadKey(i))
	pg := &page{places: []int{i}}
	if item.read != nil {
		pg.read = map[store.MessageID]*loaded{item.key.blob: item.read}
	} else {
		var others []int
		if item.step != 0 {
			item.run = min(2*max(item.run, 1), aheadRun)
			others = p.run(i, item.step, item.run)
		}
		if err := p.readRun(ctx, pg, others, item); err != nil {
			yield(nil, failed("read messages", err))
			return
		}
	}
	p.expect(i, item)
	pg.yield(ctx, p, yield)
	pg.memory.release()
}

func (p *pager) aheadKey(i int) aheadKey {
	return aheadKey{p.a.id, p.have.Row(i).ID, p.want &^ store.Passing}
}

// run is the places after i that are read with it.
func (p *pager) run(i, step, n int) []int {
	var places []int
	for octets := 0; len(places) < n; {
		i += step
		if i < 0 || i >= p.have.Len() {
			break
		}
		if octets += p.octets(i); octets > aheadRunOctets {
			break
		}
		places = append(places, i)
	}
	return places
}

// readRun reads a page, and others to keep with one query.
func (p *pager) readRun(ctx context.Context, pg *page, others []int, item aheadItem) error {
	if len(others) == 0 {
		return p.load(ctx, pg)
	}
	// What is kept must not share memory that is used again.
	all := page{places: append(others, pg.places...)}
	keeping := *p
	keeping.want &^= store.Passing
	if err := keeping.load(ctx, &all); err != nil {
		return err
	}
	pg.read = all.read
	for _, i := range others {
		key := p.aheadKey(i)
		if l := all.read[key.blob]; l != nil && l.err == nil {
			p.a.s.ahead.put(aheadItem{key: key, read: l, step: item.step, run: item.run})
		}
	}
	return nil
}

// expect notes what a client may ask for after the message at place i.
func (p *pager) expect(i int, item aheadItem) {
	for _, step := range [...]int{-1, 1} {
		if next := i + step; next >= 0 && next < p.have.Len() && (item.step == 0 || item.step == step) {
			p.a.s.ahead.put(aheadItem{key: p.aheadKey(next), step: step, run: item.run})
		}
	}
}
