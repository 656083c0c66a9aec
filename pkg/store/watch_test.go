package store

import (
	"slices"
	"sync"
	"testing"
)

func woken(w *Watch) bool {
	select {
	case <-w.C:
		return true
	default:
		return false
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	var h Hub
	mine, other := h.Watch(1), h.Watch(2)
	h.Wake(1, 5)
	h.Wake(1, 6, 5)
	if !woken(mine) || woken(mine) {
		t.Error("two wake-ups should be one")
	}
	if got := mine.Take(); !slices.Equal(got, []MailboxID{5, 6}) {
		t.Errorf("Take() = %v", got)
	}
	if got := mine.Take(); len(got) != 0 {
		t.Errorf("second Take() = %v", got)
	}
	if woken(other) || len(other.Take()) != 0 {
		t.Error("another account's watch was woken")
	}
	h.WakeAll()
	if !woken(mine) || !woken(other) || !slices.Equal(other.Take(), []MailboxID{0}) {
		t.Error("WakeAll did not reach all")
	}
	mine.Close()
	mine.Close()
	h.Wake(1, 5)
	if woken(mine) {
		t.Error("woken after Close")
	}
	if got := h.Accounts(); !slices.Equal(got, []AccountID{2}) {
		t.Errorf("Accounts() = %v", got)
	}
}

func TestWatchIsBounded(t *testing.T) {
	t.Parallel()
	var h Hub
	w := h.Watch(1)
	for box := range MailboxID(1000) {
		h.Wake(1, box+1)
	}
	got := w.Take()
	if len(got) > maxPending || !slices.Contains(got, 0) {
		t.Errorf("Take() = %v", got)
	}
}

// TestWatchLosesNothing counts in one goroutine and watches in another: after the last wake-up the watcher must have seen
// the last count.
func TestWatchLosesNothing(t *testing.T) {
	t.Parallel()
	const last = 20_000
	var (
		h  Hub
		mu sync.Mutex
		n  int
	)
	w := h.Watch(1)
	go func() {
		for range last {
			mu.Lock()
			n++
			mu.Unlock()
			h.Wake(1, 3)
		}
	}()
	for seen := 0; seen < last; {
		<-w.C
		w.Take()
		mu.Lock()
		seen = n
		mu.Unlock()
	}
}

// TestWatchAlso has one Watch woken for several accounts.
func TestWatchAlso(t *testing.T) {
	t.Parallel()
	var h Hub
	w := h.Watch(1)
	w.Also(2, 3)
	w.Also(3, 1)
	h.Wake(2, 7)
	if woken(w) {
		t.Error("woken for an account that is no longer asked for")
	}
	h.Wake(3, 8)
	h.Wake(1, 9)
	if !woken(w) || !slices.Equal(w.Take(), []MailboxID{8, 9}) {
		t.Error("not woken for both")
	}
	w.Also()
	h.Wake(3, 8)
	if woken(w) {
		t.Error("woken for an account that is no longer asked for")
	}
	h.Wake(1)
	if !woken(w) {
		t.Error("no longer woken for its own account")
	}
	w.Also(2)
	w.Close()
	w.Also(4)
	if got := h.Accounts(); len(got) != 0 {
		t.Errorf("accounts %v are still watched", got)
	}
}
