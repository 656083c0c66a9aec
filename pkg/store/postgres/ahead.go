package postgres

import (
	"context"
	"sync"

	"postern/pkg/store"
)

const (
	// keptMost is the largest message that is kept once it has been read by itself: larger ones are read in memory that is used
	// again.
	keptMost = 64 << 10
	// keptRow is what an entry takes beside octets.
	keptRow = 512
	// aheadRun bounds how many messages are read with the one that was asked for, and aheadRunOctets their octets.
	aheadRun       = 32
	aheadRunOctets = 1 << 20
)

// kept is messages of late, decoded. Each would cost a query, and nearly all that are read one by one are read in such a way
// that it need not: programs that download take one after the other (see pace); others ask for the parts of a message with a
// command each; what has just arrived is read by each of its owner's devices, and by all who share a mailbox, one by one or a
// few with a command (see keeps). It is safe for concurrent use.
type kept struct {
	*lru[keptKey, *loaded] // immutable
}

type keptKey struct {
	account store.AccountID
	blob    store.MessageID
	window  int // 0: what part 0 has of a message; n: nothing but the data of part n-1 of a large one
}

func newKept(octets int64) kept {
	return kept{newWeighedLRU[keptKey](int(octets), (*loaded).octets)}
}

func (l *loaded) octets() int { return keptRow + l.treeSize + len(l.hdr) + len(l.data) }

// add keeps what has been read of a message, beside what has been before. The octets must not be memory that is used again.
// Of two who add to a message at the same moment, one may have read in vain.
func (k kept) add(key keptKey, read *loaded) {
	if before, ok := k.get(key); ok {
		read = read.with(before)
	}
	k.put(key, read)
}

// with returns l and those columns of other that l has not.
func (l *loaded) with(other *loaded) *loaded {
	both := *l
	if both.hdr == nil {
		both.hdr = other.hdr
	}
	if both.data == nil {
		both.data = other.data
	}
	if both.tree == nil {
		both.tree, both.treeSize = other.tree, other.treeSize
	}
	return &both
}

// pace is how somebody takes messages one by one. Once that has been one next to the one before, the following ones are read
// with the one that is asked for, twice as many with every query. It is safe for concurrent use; the zero value is ready.
type pace struct {
	mu    sync.Mutex
	box   store.MailboxID
	place int // of the last message
	step  int // the way that leads on: 1, -1, or 0
	run   int // how many messages the last query has read ahead
}

// take notes that the message at a place is asked for.
func (c *pace) take(box store.MailboxID, place int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	step := place - c.place
	if box != c.box || step*step > 1 {
		step = 0
	} else if step == 0 {
		step = c.step // it is asked for again
	}
	if step != c.step {
		c.run = 0
	}
	c.box, c.place, c.step = box, place, step
}

// ahead is the way that leads on, and how many messages to read there now; none if there is no such way.
func (c *pace) ahead() (step, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.step != 0 {
		c.run = min(2*max(c.run, 1), aheadRun)
	}
	return c.step, c.run
}

// single yields the one message at place i.
func (p *pager) single(ctx context.Context, i int, yield func(*store.Message, error) bool) {
	p.a.pace.take(p.have.Mailbox(), i)
	pg := &page{places: []int{i}}
	if key, l := p.known(i); l != nil {
		pg.read = map[store.MessageID]*loaded{key.blob: l}
	} else if err := p.readOn(ctx, pg); err != nil {
		yield(nil, failed("read messages", err))
		return
	}
	pg.yield(ctx, p, yield)
	pg.memory.release()
}

// known returns what is kept of the message at place i if it is all that is wanted, or nil.
func (p *pager) known(i int) (keptKey, *loaded) {
	row := p.have.Row(i)
	key := keptKey{account: p.a.id, blob: row.ID}
	l, _ := p.a.s.kept.get(key)
	switch {
	case l == nil:
	case p.want&(store.WithHeader|store.WithBody) != 0 && l.hdr == nil:
	case p.want&store.WithBody != 0 && !large(&row) && l.data == nil:
	case p.want&store.WithPart != 0 && l.tree == nil:
	default:
		return key, l
	}
	return key, nil
}

// readOn reads the page of a single message, and what is expected after it with the same query.
func (p *pager) readOn(ctx context.Context, pg *page) error {
	i := pg.places[0]
	others := p.others(i)
	if len(others) == 0 && p.octets(i) > keptMost {
		return p.load(ctx, pg)
	}
	pg.read = make(map[store.MessageID]*loaded, len(others)+1)
	return p.readToKeep(ctx, pg, append(others, i))
}

// others is the places that are read with place i.
func (p *pager) others(i int) []int {
	var places []int
	step, n := p.a.pace.ahead()
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
