//go:build !linux

package listen

import (
	"syscall"
	"time"
)

// limitSilence cannot be had here: the system's own patience decides.
func limitSilence(syscall.RawConn, time.Duration) error { return nil }
