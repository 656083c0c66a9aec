package postgres

import (
	"context"

	"postern/pkg/store"
)

// reading is what the reading half of a Store keeps: snapshots, watches, the notifier.
type reading struct{}

// startReaders starts the background work of the reading half; it ends with background.
func (s *Store) startReaders(background context.Context) error { return nil }

// published is called after each commit: it wakes those who watch and tells other processes (rule 6).
func (s *Store) published(id store.AccountID, boxes ...store.MailboxID) {}
