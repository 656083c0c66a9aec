package store

import "github.com/emersion/go-imap/v2"

// ChangesFrom returns what happened between old, an earlier version of the same mailbox, and s. It needs nothing but the
// two: Removed is what s lacks, each with the mod-sequence of s.
func (s *Snapshot) ChangesFrom(old *Snapshot) Changes {
	ch := Changes{Since: old.modSeq, Until: s.modSeq, Complete: true}
	if s.modSeq <= old.modSeq {
		ch.Until = old.modSeq
		return ch
	}
	kept, _ := s.Find(old.uidNext) // messages of s that old may have held
	if kept != old.Len() {
		ch.Removed = missing(old.col.uid, s.col.uid[:kept], s.modSeq)
	}
	for k := 0; k*chunkLen < kept; k++ {
		if sameArray(s.chunks[k].modSeq, old.chunks[k].modSeq) { // the same messages, for none before them has gone
			continue
		}
		ch.Flagged = s.changed(ch.Flagged, k, old.modSeq, kept)
	}
	for i := kept; i < s.Len(); i++ {
		ch.Added = append(ch.Added, s.Entry(i))
	}
	return ch
}

// Since returns the messages of s that came or changed after at, all of them as Flagged: the columns do not tell the one
// from the other. What has been removed is not known here; Removed is nil and Complete false.
func (s *Snapshot) Since(at ModSeq) Changes {
	ch := Changes{Since: at, Until: max(at, s.modSeq)}
	if at >= s.modSeq {
		return ch
	}
	for k := range s.chunks {
		ch.Flagged = s.changed(ch.Flagged, k, at, s.Len())
	}
	return ch
}

// changed appends the messages of chunk k, up to place end, whose mod-sequence is above at.
func (s *Snapshot) changed(entries []Entry, k int, at ModSeq, end int) []Entry {
	for j, m := range s.chunks[k].modSeq {
		if i := k*chunkLen + j; m > at && i < end {
			entries = append(entries, s.Entry(i))
		}
	}
	return entries
}

// missing returns what had holds and has does not; both ascending.
func missing(had, has []imap.UID, at ModSeq) []Entry {
	var gone []Entry
	j := 0
	for _, uid := range had {
		for j < len(has) && has[j] < uid {
			j++
		}
		if j == len(has) || has[j] != uid {
			gone = append(gone, Entry{UID: uid, ModSeq: at})
		}
	}
	return gone
}

func sameArray[T any](a, b []T) bool { return len(a) > 0 && len(b) > 0 && &a[0] == &b[0] }
