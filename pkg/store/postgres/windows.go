package postgres

import (
	"context"
	"sync"

	"postern/pkg/store"
)

const (
	// windowsCached is how many windows of large messages the process keeps, 16 MiB, so that a client that reads one in
	// small pieces over many commands has each part decoded once. Who reads on needs none but the last.
	windowsCached = 64
	// windowsComing is how many of them are read ahead at a time.
	windowsComing = 4
	// windowsSpare is how many are kept as memory for others: what is read window by window would else be garbage as often.
	windowsSpare = 8
)

// windowKey names a decoded part of a large message.
type windowKey struct {
	account store.AccountID
	blob    store.MessageID
	part    int
}

// windowCache keeps decoded parts of large messages, and has others on their way. It is safe for concurrent use.
type windowCache struct {
	kept *lru[windowKey, []byte]
	life context.Context // ends when the store closes; set before the first use

	mu     sync.Mutex
	coming map[windowKey]chan struct{} // closed when it has come, or has not; guarded by mu
	spares [][]byte                    // memory that nobody uses; guarded by mu
}

func newWindowCache() *windowCache {
	return &windowCache{kept: newLRU[windowKey, []byte](windowsCached), coming: make(map[windowKey]chan struct{})}
}

// put keeps a window, which is the cache's from then on.
func (c *windowCache) put(key windowKey, data []byte) {
	c.spare(c.kept.put(key, data)...)
}

// spare takes memory that nobody uses any more.
func (c *windowCache) spare(windows ...[]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range windows {
		if cap(w) >= window && len(c.spares) < windowsSpare {
			c.spares = append(c.spares, w)
		}
	}
}

// memory returns memory for a window.
func (c *windowCache) memory() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.spares) - 1
	if n < 0 {
		return make([]byte, window)
	}
	spare := c.spares[n]
	c.spares[n], c.spares = nil, c.spares[:n]
	return spare[:window]
}

// take returns a window, which is the caller's from then on. It waits for one that is on its way.
func (c *windowCache) take(ctx context.Context, key windowKey) ([]byte, bool) {
	c.mu.Lock()
	arrived := c.coming[key]
	c.mu.Unlock()
	if arrived != nil {
		select {
		case <-arrived:
		case <-ctx.Done():
		}
	}
	return c.kept.take(key)
}

// ahead reads part in the background, if there is one and few are on their way. When it fails, whoever needs it reads it
// again and is told why.
func (b *body) ahead(part int) {
	c, key := b.a.s.windows, windowKey{b.a.id, b.row.ID, part}
	if int64(part)*window >= b.row.Size-b.head || b.keptWindow(part) != nil || !c.expect(key) {
		return
	}
	next := &body{a: b.a, row: b.row, head: b.head}
	go func() {
		defer c.arrived(key)
		memory := c.memory()
		data, err := next.window(c.life, memory, part)
		if err != nil {
			c.spare(memory)
			return
		}
		c.put(key, data)
	}()
}

// expect notes that a window is on its way, unless it is needless or too many are.
func (c *windowCache) expect(key windowKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.coming[key]; ok || len(c.coming) >= windowsComing || c.life.Err() != nil || c.kept.has(key) {
		return false
	}
	c.coming[key] = make(chan struct{})
	return true
}

func (c *windowCache) arrived(key windowKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.coming[key])
	delete(c.coming, key)
}
