package store

import (
	"slices"
	"sync"
)

// Watch is woken when something in its account may have changed. It says which mailboxes, not what: ask Refresh.
// Wake-ups coalesce and may be spurious. Close it when done.
type Watch struct {
	C <-chan struct{} // one buffered wake-up

	wake    chan struct{}
	hub     *Hub
	account AccountID
	also    []AccountID // guarded by hub.mu

	mu      sync.Mutex
	pending []MailboxID
}

// maxPending is how many mailboxes a Watch remembers; beyond, it says "any".
const maxPending = 16

// Take returns the mailboxes that may have changed since the last Take, 0 standing for "the tree itself, or any".
func (w *Watch) Take() []MailboxID {
	w.mu.Lock()
	defer w.mu.Unlock()
	boxes := w.pending
	w.pending = nil
	return boxes
}

// Also has the Watch woken for other accounts too, these and no others.
func (w *Watch) Also(ids ...AccountID) { w.hub.also(w, ids) }

// Close ends the Watch. It may be called more than once.
func (w *Watch) Close() { w.hub.remove(w) }

// add remembers boxes before it wakes, so that whoever is woken finds them.
func (w *Watch) add(boxes []MailboxID) {
	w.mu.Lock()
	for _, box := range boxes {
		w.remember(box)
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default: // a wake-up is waiting; it will find these boxes too
	}
}

func (w *Watch) remember(box MailboxID) {
	switch {
	case slices.Contains(w.pending, box):
	case len(w.pending) < maxPending:
		w.pending = append(w.pending, box)
	default:
		w.pending = []MailboxID{0}
	}
}

// Hub hands out Watches and wakes them. The zero Hub is ready. It is safe for concurrent use, does no I/O and never
// blocks on a watcher.
type Hub struct {
	mu      sync.Mutex
	watches map[AccountID]map[*Watch]struct{}
}

// Watch returns a new Watch on an account.
func (h *Hub) Watch(id AccountID) *Watch {
	c := make(chan struct{}, 1)
	w := &Watch{C: c, wake: c, hub: h, account: id}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.add(w, id)
	return w
}

// add has a Watch woken for an account. The caller holds mu.
func (h *Hub) add(w *Watch, id AccountID) {
	if h.watches == nil {
		h.watches = make(map[AccountID]map[*Watch]struct{})
	}
	if h.watches[id] == nil {
		h.watches[id] = make(map[*Watch]struct{})
	}
	h.watches[id][w] = struct{}{}
}

func (h *Hub) also(w *Watch, ids []AccountID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, open := h.watches[w.account][w]; !open {
		return
	}
	for _, id := range w.also {
		h.drop(w, id)
	}
	w.also = slices.Clone(ids)
	for _, id := range ids {
		h.add(w, id)
	}
	h.add(w, w.account) // which may have been among the former
}

// Wake wakes every Watch on an account; no boxes means the tree, or any.
func (h *Hub) Wake(id AccountID, boxes ...MailboxID) {
	if len(boxes) == 0 {
		boxes = []MailboxID{0}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watches[id] {
		w.add(boxes)
	}
}

// WakeAll wakes every Watch there is: news may have been missed.
func (h *Hub) WakeAll() {
	for _, id := range h.Accounts() {
		h.Wake(id)
	}
}

// Accounts returns the accounts that are being watched, in no order.
func (h *Hub) Accounts() []AccountID {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := make([]AccountID, 0, len(h.watches))
	for id := range h.watches {
		ids = append(ids, id)
	}
	return ids
}

func (h *Hub) remove(w *Watch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(w, w.account)
	for _, id := range w.also {
		h.drop(w, id)
	}
}

// drop has a Watch no longer woken for an account. The caller holds mu.
func (h *Hub) drop(w *Watch, id AccountID) {
	delete(h.watches[id], w)
	if len(h.watches[id]) == 0 {
		delete(h.watches, id)
	}
}
