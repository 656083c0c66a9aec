package postgres

import (
	"container/list"
	"context"
	"sync"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/order"
	"postern/pkg/store"
)

// keyCache holds the sort keys of the mailboxes that were sorted or threaded of late, up to a budget of memory; the one used
// longest ago goes first. One that exceeds the budget alone is not kept: senders have a say in how much that is. Nothing in it is ever out of date. It is safe for concurrent use.
type keyCache struct {
	limit   int64
	metrics *Metrics

	mu    sync.Mutex
	boxes map[boxKey]*boxKeys // guarded by mu
	order list.List           // of *boxKeys, last used first; guarded by mu
	bytes int64               // guarded by mu
}

// boxKeys is the keys of a mailbox.
type boxKeys struct {
	key   boxKey
	cache *keyCache
	turn  chan struct{} // holds a token while somebody reads or makes keys

	// These belong to whoever has acquired it.
	loaded  bool       // what is stored has been read
	unsaved []imap.UID // whose keys were made here and not stored

	segments []*keySegment // ascending; guarded by cache.mu, what it points to is immutable
	place    *list.Element // guarded by cache.mu, as is the rest
	bytes    int64
}

func newKeyCache(limit int64, m *Metrics) *keyCache {
	return &keyCache{limit: limit, metrics: m, boxes: make(map[boxKey]*boxKeys)}
}

// entry returns the place of a mailbox, made if need be, and marks it used.
func (c *keyCache) entry(key boxKey) *boxKeys {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.boxes[key]
	if !ok {
		e = &boxKeys{key: key, cache: c, turn: make(chan struct{}, 1)}
		e.place = c.order.PushFront(e)
		c.boxes[key] = e
		c.trim() // of empty ones, there would never be an end
		return e
	}
	c.order.MoveToFront(e.place)
	return e
}

// entryBytes is what a mailbox takes beside its keys.
const entryBytes = 512

// set replaces the keys of a mailbox, which the caller has acquired. Should it have been dropped meanwhile, they serve those who wait for it and no others.
func (c *keyCache) set(e *boxKeys, segments []*keySegment) {
	bytes := int64(entryBytes + 4*len(e.unsaved))
	for _, g := range segments {
		bytes += g.bytes()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e.segments = segments
	if c.boxes[e.key] != e {
		return
	}
	c.bytes += bytes - e.bytes
	e.bytes = bytes
	c.trim()
}

// trim drops what was used longest ago until the rest fits. The caller holds mu.
func (c *keyCache) trim() {
	for c.bytes > c.limit || int64(len(c.boxes))*entryBytes > c.limit && c.order.Len() > 1 {
		e := c.order.Remove(c.order.Back()).(*boxKeys)
		delete(c.boxes, e.key)
		c.bytes -= e.bytes
	}
	c.metrics.keyBytes.Set(float64(c.bytes))
}

func (e *boxKeys) acquire(ctx context.Context) error {
	select {
	case e.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *boxKeys) release() { <-e.turn }

func (e *boxKeys) held() []*keySegment {
	e.cache.mu.Lock()
	defer e.cache.mu.Unlock()
	return e.segments
}

// fill looks up the keys of messages, ascending by UID, and returns those of have for which there are none.
func (e *boxKeys) fill(keys []order.Key, have *store.Snapshot, uids []imap.UID) (missing []imap.UID) {
	segments := e.held()
	at, j := 0, 0 // in have, and in the first segment
	for i, uid := range uids {
		for at < have.Len() && have.UID(at) < uid {
			at++
		}
		if at == have.Len() || have.UID(at) != uid {
			continue
		}
		for len(segments) > 0 && segments[0].hi() < uid {
			segments, j = segments[1:], 0
		}
		found := false
		if len(segments) > 0 {
			g := segments[0]
			for g.uids[j] < uid {
				j++
			}
			if found = g.uids[j] == uid && g.blobs[j] == have.ID(at); found {
				keys[i] = g.block.Key(j)
			}
		}
		if !found {
			missing = append(missing, uid)
		}
	}
	return missing
}
