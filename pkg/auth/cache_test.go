package auth

import (
	"testing"
	"time"
)

// TestCache has a verified login remembered, and forgotten when it must be.
func TestCache(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	compared := func(want int32, why string) {
		t.Helper()
		if got := s.checked.Load(); got != want {
			t.Fatalf("%s: %d passwords compared so far, want %d", why, got, want)
		}
	}
	s.want(nil, home, alice, right)
	s.want(nil, home, "ALICE@example.org", right)
	compared(1, "remembered, in any spelling")
	s.want(ErrDenied, home, alice, "wrong")
	compared(2, "another password")
	s.pass(time.Hour)
	s.want(nil, home, alice, right)
	compared(3, "after an hour")
	s.dir.set(1, alice, "new", false)
	s.want(ErrDenied, home, alice, right)
	compared(4, "password changed")
	s.dir.set(1, alice, right, true)
	s.want(ErrDenied, home, alice, right)
	compared(5, "disabled")
	s.dir.set(1, alice, "", false)
	s.want(ErrDenied, home, alice, right)
	compared(6, "password taken away")

	s = newStage(t, func(o *Options) { o.CacheTTL = -1 })
	s.want(nil, home, alice, right)
	s.want(nil, home, alice, right)
	compared(2, "with no cache")
}

func TestRecent(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	r := newRecent[string, int](2, time.Minute, func() time.Time { return now })
	r.put("a", 1)
	r.put("b", 2)
	if v, ok := r.get("a"); v != 1 || !ok {
		t.Errorf("a = %d, %v", v, ok)
	}
	r.put("c", 3) // b has been used least recently
	if _, ok := r.get("b"); ok || r.len() != 2 {
		t.Errorf("b is there, among %d", r.len())
	}
	now = now.Add(30 * time.Second)
	r.put("a", 4)
	now = now.Add(30 * time.Second)
	if _, ok := r.get("c"); ok {
		t.Error("c outlives its time")
	}
	if v, ok := r.get("a"); v != 4 || !ok {
		t.Errorf("a = %d, %v; want the new value, for its own time", v, ok)
	}
	r.forget("a")
	r.forget("a")
	if r.len() != 0 {
		t.Errorf("%d left", r.len())
	}
}

// TestDigest has parts that run together the same way, and another process.
func TestDigest(t *testing.T) {
	t.Parallel()
	a, b := newStage(t), newStage(t)
	if a.digest("ab", "c") == a.digest("a", "bc") {
		t.Error("the division into parts does not count")
	}
	if x := a.digest("x"); x != a.digest("x") || x == b.digest("x") {
		t.Error("a digest must be the same in one process and in no other")
	}
}
