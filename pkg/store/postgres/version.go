package postgres

import (
	"cmp"
	"slices"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// How much of what happened lately a version remembers, so that a session that is a few changes behind need not compare
// whole mailboxes.
const (
	logChanges = 64
	logEntries = 4096
)

// version is a Snapshot, the mailbox's counters when it was last looked at, and what led up to it. It is immutable.
type version struct {
	snap *store.Snapshot
	box  store.Mailbox
	log  []store.Changes // one after another, the last one up to snap; none when too much happened at once
}

// next returns the version that follows v by ch.
func (v *version) next(snap *store.Snapshot, box store.Mailbox, ch store.Changes) *version {
	n := &version{snap: snap, box: box}
	size := changeCount(ch)
	if size > logEntries {
		return n
	}
	from := len(v.log)
	for from > 0 && len(v.log)-from < logChanges-1 && size+changeCount(v.log[from-1]) <= logEntries {
		from--
		size += changeCount(v.log[from])
	}
	n.log = append(slices.Clone(v.log[from:]), ch)
	return n
}

func changeCount(ch store.Changes) int { return len(ch.Added) + len(ch.Flagged) + len(ch.Removed) }

// since returns what happened between have, an older Snapshot of the same mailbox, and v.
func (v *version) since(have *store.Snapshot) store.Changes {
	at := have.ModSeq()
	if at == v.snap.ModSeq() {
		return store.Changes{Since: at, Until: at, Complete: true}
	}
	from := slices.IndexFunc(v.log, func(ch store.Changes) bool { return ch.Until > at })
	if from < 0 || v.log[from].Since > at {
		return v.snap.ChangesFrom(have)
	}
	if from == len(v.log)-1 && v.log[from].Since == at {
		return cloneChanges(v.log[from])
	}
	return compareSome(have, v.snap, v.log[from:])
}

func cloneChanges(ch store.Changes) store.Changes {
	ch.Added, ch.Flagged, ch.Removed = slices.Clone(ch.Added), slices.Clone(ch.Flagged), slices.Clone(ch.Removed)
	return ch
}

// compareSome is Snapshot.ChangesFrom where only messages that a log mentions can differ.
func compareSome(old, now *store.Snapshot, log []store.Changes) store.Changes {
	ch := store.Changes{Since: old.ModSeq(), Until: now.ModSeq(), Complete: true}
	var uids []imap.UID
	removed := make(map[imap.UID]store.ModSeq)
	for _, l := range log {
		for _, es := range [][]store.Entry{l.Added, l.Flagged, l.Removed} {
			for _, e := range es {
				uids = append(uids, e.UID)
			}
		}
		for _, e := range l.Removed {
			removed[e.UID] = e.ModSeq
		}
	}
	slices.SortFunc(uids, cmp.Compare[imap.UID])
	for _, uid := range slices.Compact(uids) {
		i, was := old.Find(uid)
		j, is := now.Find(uid)
		switch {
		case was && is:
			if e := now.Entry(j); e != old.Entry(i) {
				ch.Flagged = append(ch.Flagged, e)
			}
		case was:
			ch.Removed = append(ch.Removed, store.Entry{UID: uid, ModSeq: removed[uid]})
		case is:
			ch.Added = append(ch.Added, now.Entry(j))
		}
	}
	return ch
}

// bytes is about how much memory v takes.
func (v *version) bytes() int64 {
	n := v.snap.Bytes() + 512
	for _, ch := range v.log {
		n += 128 + 32*int64(changeCount(ch))
	}
	return n
}
