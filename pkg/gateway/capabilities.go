package gateway

import "postern/pkg/imap"

// CheckCapabilities returns the names of capabilities of IMAP as they are spelled, or an error that says which of them cannot be
// disabled.
func CheckCapabilities(names []string) ([]string, error) { return imap.CheckDisable(names) }
