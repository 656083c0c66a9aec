package postgres

import (
	"container/list"
	"sync"
)

// lru is a map with a bounded number of entries: the one used longest ago makes room. It is safe for concurrent use.
type lru[K comparable, V any] struct {
	limit int

	mu    sync.Mutex
	order *list.List // of lruEntry, last used first; guarded by mu
	items map[K]*list.Element
}

type lruEntry[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](limit int) *lru[K, V] {
	return &lru[K, V]{limit: limit, order: list.New(), items: make(map[K]*list.Element)}
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
	c.order.Remove(e)
	delete(c.items, key)
	return e.Value.(lruEntry[K, V]).value, true
}

// put keeps a value, and returns the one that had to go for it, if one had to.
func (c *lru[K, V]) put(key K, value V) (old V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.items[key]
	c.items[key] = c.order.PushFront(lruEntry[K, V]{key, value})
	if before == nil {
		if c.order.Len() <= c.limit {
			return old, false
		}
		before = c.order.Back()
		delete(c.items, before.Value.(lruEntry[K, V]).key)
	}
	return c.order.Remove(before).(lruEntry[K, V]).value, true
}

func (c *lru[K, V]) drop(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.items[key]; ok {
		c.order.Remove(e)
		delete(c.items, key)
	}
}

// clear drops everything.
func (c *lru[K, V]) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order.Init()
	clear(c.items)
}
