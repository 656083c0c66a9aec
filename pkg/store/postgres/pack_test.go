package postgres

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/klauspost/compress/s2"

	"postern/pkg/store"
)

// randomRows makes n rows as a mailbox would have them, ascending from a UID on.
func randomRows(r *rand.Rand, n int, from imap.UID) []store.Row {
	rows := make([]store.Row, n)
	for i := range rows {
		from += imap.UID(r.IntN(3))
		rows[i] = store.Row{
			UID: from, ModSeq: store.ModSeq(r.IntN(1e6) + 1), ID: store.MessageID(r.Int64()), Thread: int64(r.IntN(2)),
			Flags:    store.FlagSet{System: store.SystemFlags(r.IntN(32)), Keywords: r.Uint64() >> r.IntN(64)},
			Received: 1.7e12 + r.Int64N(1e9), Saved: 1.7e12 + r.Int64N(1e9), Size: r.Int64N(1e7), Header: r.Uint32N(1e4),
			Padding: uint8(r.IntN(3)),
		}
		from++
	}
	return rows
}

// rowsOf makes rows of columns.
func rowsOf(c *store.Columns) []store.Row {
	snap := store.NewSnapshotOf(store.Mailbox{}, nil, c)
	rows := make([]store.Row, snap.Len())
	for i := range rows {
		rows[i] = snap.Row(i)
	}
	return rows
}

func TestPackRoundTrip(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 0))
	for _, n := range []int{0, 1, 2, 100, segmentRows} {
		rows := randomRows(r, n, 1)
		got, err := unpackInto(store.NewColumns(0), packRows(rows))
		if err != nil || !slices.Equal(rowsOf(got), rows) {
			t.Fatalf("%d rows: %v, or not what was packed", n, err)
		}
	}
	rows, all := randomRows(r, 10, 1), store.NewColumns(0)
	for _, part := range [][]store.Row{rows[:3], rows[3:]} {
		if _, err := unpackInto(all, packRows(part)); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(rowsOf(all), rows) {
		t.Error("appended to others: not what was packed")
	}
}

func TestPackRefusesDamage(t *testing.T) {
	t.Parallel()
	good := packRows(randomRows(rand.New(rand.NewPCG(2, 0)), 50, 1))
	raw, err := s2.Decode(nil, good[1:])
	if err != nil {
		t.Fatal(err)
	}
	for name, segment := range map[string][]byte{
		"empty":         {},
		"other version": append([]byte{packVersion + 1}, good[1:]...),
		"not s2":        append([]byte{packVersion}, 0xff, 0xff, 0xff),
		"cut":           good[:len(good)/2],
		"few columns":   append([]byte{packVersion}, s2.Encode(nil, raw[:len(raw)/2])...),
		"many rows":     append([]byte{packVersion}, s2.Encode(nil, []byte{0xff, 0xff, 0xff, 0x7f})...),
	} {
		if rows, err := unpackInto(store.NewColumns(0), segment); !errors.Is(err, errPacked) || rows != nil {
			t.Errorf("%s: %v, %v", name, rows, err)
		}
	}
}

func FuzzUnpackRows(f *testing.F) {
	f.Add(packRows(randomRows(rand.New(rand.NewPCG(3, 0)), 5, 1)))
	f.Fuzz(func(t *testing.T, segment []byte) {
		rows, err := unpackInto(store.NewColumns(0), segment)
		if err != nil {
			return
		}
		again, err := unpackInto(store.NewColumns(0), packRows(rowsOf(rows)))
		if err != nil || again.Len() != rows.Len() {
			t.Errorf("%d rows become %d, %v", rows.Len(), again.Len(), err)
		}
	})
}

// BenchmarkUnpack makes a mailbox of 10 packed segments, whose messages came a second apart.
func BenchmarkUnpack(b *testing.B) {
	rows := randomRows(rand.New(rand.NewPCG(4, 0)), segmentRows, 1)
	for i := range rows {
		r := &rows[i]
		r.ModSeq, r.ID, r.Thread = store.ModSeq(i+1), store.MessageID(1.7e12+i*1000)<<22, 0
		r.Received, r.Saved, r.Flags.Keywords = 1.7e12+int64(i)*1000, 1.7e12+int64(i)*1000+5, 0
	}
	segment := packRows(rows)
	b.ReportMetric(float64(len(segment))/segmentRows, "octets/message")
	for b.Loop() {
		all := store.NewColumns(10 * segmentRows)
		for range 10 {
			if _, err := unpackInto(all, segment); err != nil {
				b.Fatal(err)
			}
		}
		store.NewSnapshotOf(store.Mailbox{}, nil, all)
	}
}
