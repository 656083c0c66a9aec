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

func TestPackRoundTrip(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 0))
	for _, n := range []int{0, 1, 2, 100, segmentRows} {
		rows := randomRows(r, n, 1)
		got, err := unpackRows(nil, packRows(rows))
		if err != nil || !slices.Equal(got, rows) {
			t.Fatalf("%d rows: %v, or not what was packed", n, err)
		}
	}
	rows := randomRows(r, 10, 1)
	got, err := unpackRows(slices.Clone(rows[:3]), packRows(rows[3:]))
	if err != nil || !slices.Equal(got, rows) {
		t.Errorf("appended to others: %v, or not what was packed", err)
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
		if rows, err := unpackRows(nil, segment); !errors.Is(err, errPacked) || len(rows) != 0 {
			t.Errorf("%s: %d rows, %v", name, len(rows), err)
		}
	}
}

func FuzzUnpackRows(f *testing.F) {
	f.Add(packRows(randomRows(rand.New(rand.NewPCG(3, 0)), 5, 1)))
	f.Fuzz(func(t *testing.T, segment []byte) {
		rows, err := unpackRows(nil, segment)
		if err != nil {
			return
		}
		again, err := unpackRows(nil, packRows(rows))
		if err != nil || len(again) != len(rows) {
			t.Errorf("%d rows become %d, %v", len(rows), len(again), err)
		}
	})
}

func BenchmarkUnpackRows(b *testing.B) {
	segment := packRows(randomRows(rand.New(rand.NewPCG(4, 0)), segmentRows, 1))
	rows := make([]store.Row, 0, segmentRows)
	b.ReportMetric(float64(len(segment))/segmentRows, "octets/message")
	for b.Loop() {
		if _, err := unpackRows(rows, segment); err != nil {
			b.Fatal(err)
		}
	}
}
