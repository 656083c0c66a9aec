package postgres

import (
	"container/list"
	"sync"
)

// lru is a map whose values together weigh no more than limit: those used longest ago make room. It is safe for concurrent use.
type lru[K comparable, V any] struct {
	limit  int
	weight func(V) int

	mu    sync.Mutex
	order *list.List // of lruEntry, last used first; guarded by mu
	items map[K]*list.Element
	total int // what all weigh
}

type lruEntry[K comparable, V any] struct {
	key   K
	value V
}

// newLRU makes one with at most limit entries.
func newLRU[K comparable, V any](limit int) *lru[K, V] {
	return newWeighedLRU[K](limit, func(V) int { return 1 })
}

// newWeighedLRU makes one that is bounded by what its values weigh, which must not change.
func newWeighedLRU[K comparable, V any](limit int, weight func(V) int) *lru[K, V] {
	return &lru[K, V]{limit: limit, weight: weight, order: list.New(), items: make(map[K]*list.Element)}
}

func (c *lru[K, V]) get(key K) (v V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.items[key]
	if !ok {
		return v, false
	}
	c.order.MoveToFront(e)
	return e.Value.(lruEntry[K, V]).value, true
}

// has reports whether there is an entry, without using it.
func (c *lru[K, V]) has(key K) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.items[key]
	return ok
}

// take is get for one who wants the value to himself: nobody else gets it.
func (c *lru[K, V]) take(key K) (v V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.items[key]
	if !ok {
		return v, false
	}
	return c.remove(e), true
}

// put keeps a value, and returns those that had to go for it.
func (c *lru[K, V]) put(key K, value V) (gone []V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.items[key]; ok {
		gone = append(gone, c.remove(e))
	}
	c.items[key] = c.order.PushFront(lruEntry[K, V]{key, value})
	for c.total += c.weight(value); c.total > c.limit; {
		gone = append(gone, c.remove(c.order.Back()))
	}
	return gone
}

// remove is called with mu held.
func (c *lru[K, V]) remove(e *list.Element) V {
	entry := c.order.Remove(e).(lruEntry[K, V])
	delete(c.items, entry.key)
	c.total -= c.weight(entry.value)
	return entry.value
}

func (c *lru[K, V]) drop(key K) { c.take(key) }

// clear drops everything.
func (c *lru[K, V]) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order.Init()
	clear(c.items)
	c.total = 0
}
