//go:build !linux

package slack

// Coalesce does nothing: the slack of timers is Linux's.
func Coalesce() error { return nil }
