package postgres

import (
	"context"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/order"
	"postern/pkg/store"
)

const (
	// keysBehind is by how many messages the stored keys of a mailbox may be behind those that sessions have made. A smaller
	// mailbox has none: to read its messages is as fast.
	keysBehind = 1024
	// keysQueue is how many mailboxes may wait for their keys to be written. More are skipped: they are only a cache.
	keysQueue = 16
	// keysShare is what part of the memory for snapshots there is for keys, on top of it.
	keysShare = 2
)

// Keys implements store.Account. Keys that were made once are in memory, shared by all sessions, or stored in segments; what
// is missing is made of the messages' headers and trees, by one session for all that wait for it. Of a large mailbox the
// indexer has made most of them before anybody asks (indexing.collect).
func (a *account) Keys(ctx context.Context, have *store.Snapshot, uids []imap.UID) ([]order.Key, error) {
	e := a.s.sortKeys.entry(boxKey{a.id, have.Mailbox()})
	keys := make([]order.Key, len(uids))
	missing := e.fill(keys, have, uids)
	if len(missing) == 0 {
		return keys, nil
	}
	if err := e.acquire(ctx); err != nil {
		return nil, failed("read sort keys", err)
	}
	defer e.release()
	k := &keyMaker{a: a, e: e, have: have}
	if missing = e.fill(keys, have, uids); len(missing) > 0 { // somebody else may have been at it
		if err := k.load(ctx, missing); err != nil {
			return nil, failed("read sort keys", err)
		}
		missing = e.fill(keys, have, uids)
	}
	if len(missing) > 0 {
		if err := k.make(ctx, missing); err != nil {
			return nil, failed("make sort keys", err)
		}
		e.fill(keys, have, uids)
	}
	return keys, nil
}

// keyMaker brings the keys of a mailbox up to date. It has acquired its entry.
type keyMaker struct {
	a    *account
	e    *boxKeys
	have *store.Snapshot
}

// load reads what is stored: at first all of it, later what may have been stored since of so many messages as the indexer
// takes at a time. Fewer are made as fast as they are looked for.
func (k *keyMaker) load(ctx context.Context, missing []imap.UID) error {
	span := uidSpan{missing[0], missing[len(missing)-1]}
	if !k.e.loaded {
		span = uidSpan{1, maxUID}
	} else if len(missing) < k.a.s.tailDocs() {
		return nil
	}
	segments, err := k.a.s.loadKeys(ctx, k.e.key, span)
	if err != nil {
		return err
	}
	k.a.s.sortKeys.set(k.e, addSegments(k.e.held(), segments))
	k.e.loaded = true
	return nil
}

// make makes the keys of messages, and keeps what it has when it is interrupted. One that cannot be read is left out.
func (k *keyMaker) make(ctx context.Context, uids []imap.UID) error {
	rows := make([]keyRow, 0, min(len(uids), segmentRows))
	defer func() {
		k.add(rows)
		k.save()
	}()
	done := 0
	for m, err := range k.a.Messages(ctx, k.have, store.UIDSetOf(uids), store.KeysNeed|store.Passing) {
		store.Progress(ctx, done, len(uids))
		done++
		var f order.Fields
		if err == nil {
			f, err = store.KeyFields(m)
		}
		if err != nil && !unreadable(err) {
			return err
		}
		if err != nil {
			continue
		}
		k.a.s.metrics.keysMade.Inc()
		rows = append(rows, keyRow{m.UID, m.ID, f})
		if len(rows) == segmentRows {
			k.add(rows)
			rows = rows[:0]
		}
	}
	return nil
}

// add adds keys to those in memory.
func (k *keyMaker) add(rows []keyRow) {
	if len(rows) == 0 {
		return
	}
	segments := mergeKeys(k.e.held(), rows)
	if countKeys(segments) > 2*k.have.Len()+segmentRows { // most are of messages that are gone
		segments = pruneKeys(segments, k.have)
	}
	for i := range rows {
		k.e.unsaved = append(k.e.unsaved, rows[i].uid)
	}
	k.a.s.sortKeys.set(k.e, segments)
}

// save has the keys stored if there are many that are not.
func (k *keyMaker) save() {
	if len(k.e.unsaved) < keysBehind {
		return
	}
	select {
	case k.a.s.keyJobs <- keyJob{k.e.key, k.e.held(), k.e.unsaved}:
		k.e.unsaved = nil
	default:
	}
}
