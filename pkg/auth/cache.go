package auth

import (
	"container/list"
	"slices"
	"sync"
	"time"
)

// cacheKey stands for a login that has been verified. It is bound to the stored secret: a changed password, or one that
// was taken away, is another key, so that nothing has to be told to forget. The password itself is nowhere kept.
func (a *Auth) cacheKey(t *attempt) digest {
	return a.digest("verified", t.cred.User, t.cred.Secret, t.password)
}

// isCached reports whether this very password need not be checked: it is an app password, or has been verified for this user of
// late. One that needs a code never is: who knows the password alone is to be held to the failures like anybody.
func (a *Auth) isCached(t *attempt) bool {
	if t.app != nil {
		return true
	}
	if !t.known || t.cred.Disabled || t.cred.AppOnly || t.cred.TOTP != "" {
		return false
	}
	return slices.ContainsFunc(t.ways, func(w way) bool {
		_, ok := w.verified.get(w.key(t))
		return ok
	})
}

// recent is a map that forgets: each entry when its time is over, and the least recently used when there are too many.
// A time that is not positive means that nothing is remembered. It is safe for concurrent use.
type recent[K comparable, V any] struct {
	max int
	ttl time.Duration
	now func() time.Time

	mu    sync.Mutex
	byKey map[K]*list.Element // guarded by mu; of entry
	order *list.List          // guarded by mu; most recently used first
}

type entry[K comparable, V any] struct {
	key   K
	value V
	until time.Time
}

func newRecent[K comparable, V any](most int, ttl time.Duration, now func() time.Time) *recent[K, V] {
	return &recent[K, V]{max: most, ttl: ttl, now: now, byKey: make(map[K]*list.Element), order: list.New()}
}

// get returns what was put and is not over, and marks it as used. Its time is not prolonged.
func (r *recent[K, V]) get(key K) (value V, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	el, ok := r.byKey[key]
	if !ok {
		return value, false
	}
	e := el.Value.(*entry[K, V])
	if !r.now().Before(e.until) {
		r.remove(el)
		return value, false
	}
	r.order.MoveToFront(el)
	return e.value, true
}

// put remembers a value from now on.
func (r *recent[K, V]) put(key K, value V) {
	if r.ttl <= 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := &entry[K, V]{key, value, r.now().Add(r.ttl)}
	if el, ok := r.byKey[key]; ok {
		el.Value = e
		r.order.MoveToFront(el)
		return
	}
	r.byKey[key] = r.order.PushFront(e)
	if len(r.byKey) > r.max {
		r.remove(r.order.Back())
	}
}

func (r *recent[K, V]) forget(key K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if el, ok := r.byKey[key]; ok {
		r.remove(el)
	}
}

// remove needs mu.
func (r *recent[K, V]) remove(el *list.Element) {
	delete(r.byKey, el.Value.(*entry[K, V]).key)
	r.order.Remove(el)
}

func (r *recent[K, V]) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.byKey)
}
