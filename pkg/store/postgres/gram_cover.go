package postgres

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/emersion/go-imap/v2"
)

// cover is the messages that a segment of the substring index speaks of: runs of UIDs, ascending. In the segment a message
// is a place: the how-manieth of the cover it is. A message that is in no cover is read by searches, so that it does not
// matter why it is in none.
type cover struct {
	runs []coverRun
	n    int
	old  bool // of usableVersion: some grams that prove are not there
}

type coverRun struct {
	uid imap.UID // of the first
	at  int      // its place
	n   int
}

// last is the last UID of a run.
func (r coverRun) last() imap.UID { return r.uid + imap.UID(r.n) - 1 }

// add appends a UID greater than all others.
func (c *cover) add(uid imap.UID) {
	if last := len(c.runs) - 1; last >= 0 && uid == c.runs[last].last()+1 {
		c.runs[last].n++
	} else {
		c.runs = append(c.runs, coverRun{uid, c.n, 1})
	}
	c.n++
}

// place finds a UID.
func (c *cover) place(uid imap.UID) (int, bool) {
	i, ok := slices.BinarySearchFunc(c.runs, uid, func(r coverRun, uid imap.UID) int {
		switch {
		case uid < r.uid:
			return 1
		case uid > r.last():
			return -1
		}
		return 0
	})
	if !ok {
		return 0, false
	}
	return c.runs[i].at + int(uid-c.runs[i].uid), true
}

// gramVersion says by which rules texts were folded and cut into grams. It is raised with every change of them: what was made
// by other rules is then made anew, as if it were damaged. Segments of usableVersion lack but proofs, so that searches read
// more: they are used until they are made anew, one after the other.
const (
	gramVersion   = 3 // katakana and three ideographs prove
	usableVersion = 2
)

// encode writes the version, and the runs as the distances between them and their lengths.
func (c *cover) encode() []byte {
	b := []byte{gramVersion}
	if c.old {
		b[0] = usableVersion
	}
	b = binary.AppendUvarint(b, uint64(c.n))
	next := imap.UID(0)
	for _, r := range c.runs {
		b = binary.AppendUvarint(b, uint64(r.uid-next))
		b = binary.AppendUvarint(b, uint64(r.n))
		next = r.last() + 1
	}
	return b
}

func decodeCover(b []byte) (*cover, error) {
	if len(b) == 0 || b[0] != gramVersion && b[0] != usableVersion {
		return nil, fmt.Errorf("cover of a segment made by other rules: %w", errDamaged)
	}
	c := &cover{old: b[0] == usableVersion}
	total, b, ok := takeUvarint(b[1:])
	var uid uint64
	for ok && len(b) > 0 {
		var gap, n uint64
		if gap, b, ok = takeUvarint(b); !ok {
			break
		}
		if n, b, ok = takeUvarint(b); !ok || n == 0 || gap > 1<<32 || n > 1<<32 || uid+gap+n > 1<<32 {
			ok = false
			break
		}
		c.runs = append(c.runs, coverRun{imap.UID(uid + gap), c.n, int(n)})
		c.n += int(n)
		uid += gap + n
	}
	if !ok || uint64(c.n) != total {
		return nil, fmt.Errorf("cover of a segment: %w", errDamaged)
	}
	return c, nil
}

func takeUvarint(b []byte) (uint64, []byte, bool) {
	u, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, false
	}
	return u, b[n:], true
}
