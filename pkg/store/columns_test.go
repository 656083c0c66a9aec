package store

import (
	"math/rand/v2"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// columnsOf puts rows into columns, so many at a time.
func columnsOf(rows []Row, at int) *Columns {
	c := NewColumns(len(rows))
	for len(rows) > 0 {
		n := min(at, len(rows))
		part := c.Extend(n)
		for i, r := range rows[:n] {
			part.UID[i], part.ModSeq[i], part.ID[i], part.Thread[i] = r.UID, r.ModSeq, r.ID, r.Thread
			part.Received[i], part.Saved[i], part.System[i], part.Keywords[i] = r.Received, r.Saved, r.Flags.System, r.Flags.Keywords
			part.Size[i], part.Header[i], part.Padding[i] = uint32(r.Size), r.Header, r.Padding
		}
		rows = rows[n:]
	}
	return c
}

// TestSnapshotOfColumns: a Snapshot of columns is that of their rows, takes no more memory, and so are the versions that follow.
func TestSnapshotOfColumns(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 0))
	for _, n := range []int{0, 1, chunkLen - 1, chunkLen, chunkLen + 1, 3*chunkLen + 5} {
		for _, rare := range []bool{false, true} { // what most mailboxes have none of
			rows := rowsOf(n, 2)
			for i := range rows {
				if rare && r.IntN(n) < 5 {
					rows[i].Thread, rows[i].Flags.Keywords = 7, 1
				}
			}
			want := snapshotOf(rows)
			box := Mailbox{ID: 7, UIDValidity: 9, UIDNext: imap.UID(1), ModSeq: 10}
			s := NewSnapshotOf(box, nil, columnsOf(rows, 1000))
			if s.UIDNext() != want.UIDNext() || s.ModSeq() != want.ModSeq() || s.UIDValidity() != want.UIDValidity() {
				t.Fatalf("%d rows: UIDNEXT %d, not %d", n, s.UIDNext(), want.UIDNext())
			}
			for range 5 {
				checkRows(t, s, rowsIn(want))
				d := randomDelta(r, want)
				s, want = s.Next(d), want.Next(d)
			}
		}
	}
	rows := rowsOf(3*chunkLen+5, 1)
	if got, most := NewSnapshotOf(Mailbox{}, nil, columnsOf(rows, len(rows))).Bytes(), snapshotOf(rows).Bytes(); got > most {
		t.Errorf("%d octets instead of %d", got, most)
	}
}
