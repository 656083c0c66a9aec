package store

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
		ch.Removed = missing(old.uids(), s.uids(), kept, s.modSeq)
	}
	end := s.gone.place(kept)
	for k := 0; k*chunkLen < end; k++ {
		if k < len(old.chunks) && sameArray(s.chunks[k].modSeq, old.chunks[k].modSeq) { // the same messages
			continue
		}
		ch.Flagged = s.changed(ch.Flagged, k, old.modSeq, end)
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
		ch.Flagged = s.changed(ch.Flagged, k, at, len(s.col.uid))
	}
	return ch
}

// changed appends the messages of chunk k, up to place end, whose mod-sequence is above at.
func (s *Snapshot) changed(entries []Entry, k int, at ModSeq, end int) []Entry {
	for j, m := range s.chunks[k].modSeq {
		place := k*chunkLen + j
		if m <= at || place >= end {
			continue
		}
		if i, ok := s.gone.number(place); ok {
			entries = append(entries, s.Entry(i))
		}
	}
	return entries
}

// missing returns what had holds and the first n of has do not; both ascending.
func missing(had, has uidList, n int, at ModSeq) []Entry {
	var gone []Entry
	j := 0
	for i := range had.len() {
		uid := had.at(i)
		for j < n && has.at(j) < uid {
			j++
		}
		if j == n || has.at(j) != uid {
			gone = append(gone, Entry{UID: uid, ModSeq: at})
		}
	}
	return gone
}

func sameArray[T any](a, b []T) bool { return len(a) > 0 && len(b) > 0 && &a[0] == &b[0] }
