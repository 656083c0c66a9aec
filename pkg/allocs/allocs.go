// Package allocs is test support: it holds what a hot path allocates to a figure that stands in its test.
//
// The race detector makes allocations of its own and lets pools forget, so tests of budgets are built without it only; `make
// budgets` runs them. Such a test is not parallel: what others allocate would count.
package allocs

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// rounds is over how many runs a figure is the mean.
const rounds = 100

// Most is what one run may allocate: objects, and octets of them all.
type Most struct{ Objects, Octets uint64 }

// Check runs f some hundred times and fails the test if it allocates more than it may on average. Whatever f does only the
// first time, as filling a pool, does not count.
func Check(t testing.TB, name string, most Most, f func()) {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection would empty the pools
	var before, after runtime.MemStats
	runs := 0
	objects := testing.AllocsPerRun(rounds, func() {
		f()
		if runs++; runs == 1 { // the one that does not count
			runtime.ReadMemStats(&before)
		}
	})
	runtime.ReadMemStats(&after)
	octets := (after.TotalAlloc - before.TotalAlloc) / rounds
	t.Logf("%s: %.0f objects, %d octets", name, objects, octets)
	if objects > float64(most.Objects) || octets > most.Octets {
		t.Errorf("%s allocates %.0f objects and %d octets, and may %d and %d", name, objects, octets, most.Objects, most.Octets)
	}
}
