// Package slack has the kernel wake a process that serves less often. See Coalesce.
package slack

import "time"

// Timers is how much later than asked the kernel may wake a thread, so that it wakes for several timers at once. Linux has 50 µs,
// for those who play music; nothing here is meant more exactly than to a millisecond. Longer than this, it could be felt where a
// goroutine waits for another to make room (0041), and gains little.
const Timers = 300 * time.Microsecond
