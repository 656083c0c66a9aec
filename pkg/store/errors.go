package store

import "errors"

// The errors a caller may act on. They come wrapped with the operation; use errors.Is.
var (
	ErrNotFound           = errors.New("not found")
	ErrExists             = errors.New("already exists")
	ErrName               = errors.New("name not allowed")
	ErrUse                = errors.New("special use already taken")
	ErrHasChildren        = errors.New("mailbox has children")
	ErrNoPermission       = errors.New("no permission")
	ErrRights             = errors.New("unknown right")
	ErrReadOnly           = errors.New("read-only")
	ErrOverQuota          = errors.New("over quota")
	ErrTooBig             = errors.New("message too big")
	ErrTooManyKeywords    = errors.New("too many keywords in mailbox") // 63 fit
	ErrTooManyMailboxes   = errors.New("too many mailboxes")
	ErrTooManyAnnotations = errors.New("too many annotations")
	ErrTooManySubscribed  = errors.New("too many subscriptions")
	ErrExpunged           = errors.New("message expunged")
	ErrInUse              = errors.New("maildrop in use")
	ErrUnavailable        = errors.New("store unavailable") // database away, deadline; try again
)
