package postgres

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// BenchmarkOpen is SELECT of a mailbox that is in memory, and beside it the least a statement can cost.
func BenchmarkOpen(b *testing.B) {
	f := newFixture(b)
	f.fill(100_000)
	f.openInbox(f.a)
	b.Run("cached-100k", func(b *testing.B) {
		for b.Loop() {
			f.openInbox(f.a)
		}
	})
	b.Run("bare-select", func(b *testing.B) {
		for b.Loop() {
			var n int64
			if err := f.s.pool.QueryRow(f.Context(), `select modseq from mailbox_state where account_id = $1 and mailbox_id = $2`,
				f.a.id, f.inbox).Scan(&n); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkLoad is the first SELECT of a mailbox in a process, by rows and by the packed index.
func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{2000, 10_000, 100_000, 1_000_000} {
		f := newFixture(b)
		f.fill(n)
		f.exec(`vacuum analyze messages`)
		load := func(b *testing.B) {
			for b.Loop() {
				if _, err := f.s.loadVersion(f.Context(), &cached{key: boxKey{f.a.id, f.inbox}}); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.Run(fmt.Sprintf("rows-%d", n), load)
		if n < packFrom {
			continue
		}
		v, err := f.s.loadVersion(f.Context(), &cached{key: boxKey{f.a.id, f.inbox}})
		if err != nil {
			b.Fatal(err)
		}
		if err := f.s.writePacked(f.Context(), packJob{boxKey{f.a.id, f.inbox}, v.snap}); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("packed-%d", n), load)
	}
}

// BenchmarkResync is a session that catches up on a hundred changes, in mailboxes of two sizes.
func BenchmarkResync(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		f := newFixture(b)
		f.fill(n)
		old := f.openInbox(f.a)
		for uid := imap.UID(1); uid <= 100; uid++ {
			f.flag(uidRange(uid*7, uid*7), imap.StoreFlagsSet, imap.FlagFlagged, "$Changed")
		}
		now := f.openInbox(f.a)
		b.Run(fmt.Sprintf("refresh-%d", n), func(b *testing.B) {
			for b.Loop() {
				d, err := f.s.readDelta(f.Context(), boxKey{f.a.id, f.inbox}, old)
				if err != nil {
					b.Fatal(err)
				}
				if _, ch, ok := d.apply(old, 0); !ok || len(ch.Flagged) != 100 {
					b.Fatal("wrong changes")
				}
			}
		})
		b.Run(fmt.Sprintf("since-%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := f.a.Since(f.Context(), now, old.ModSeq()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMessages reads bodies in bulk, and beside it the same octets with one bare query.
func BenchmarkMessages(b *testing.B) {
	f := newFixture(b)
	const count, size = 1000, 20_000
	text := "Subject: bench\r\n\r\n" + lots(size)
	for range count / 50 {
		texts := make([]string, 50)
		for i := range texts {
			texts[i] = text
		}
		f.mail(texts...)
	}
	snap := f.openInbox(f.a)
	read := func(want store.Fields) func(b *testing.B) {
		return func(b *testing.B) {
			b.SetBytes(count * int64(len(text)))
			for b.Loop() {
				f.drain(snap, want)
			}
		}
	}
	b.Run("bodies", read(store.WithBody))
	b.Run("one-by-one", read(0))
	b.Run("bare-select", func(b *testing.B) {
		b.SetBytes(count * int64(len(text)))
		for b.Loop() {
			if err := drainRows(f.Context(), f); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkBigMessage reads one message of 50 MB from end to end.
func BenchmarkBigMessage(b *testing.B) {
	f := newFixture(b)
	f.mail("Subject: big\r\n\r\n" + strings.Repeat(lots(1_000_000), 50))
	snap := f.openInbox(f.a)
	b.SetBytes(snap.Size(0))
	for b.Loop() {
		f.drain(snap, store.WithBody)
	}
}

func (f *fixture) drain(snap *store.Snapshot, want store.Fields) {
	buf := make([]byte, 32<<10)
	for m, err := range f.a.Messages(f.Context(), snap, allUIDs, want) {
		if err != nil {
			f.Fatal(err)
		}
		if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{io.NewSectionReader(m.Body, 0, m.Size)}, buf); err != nil {
			f.Fatal(err)
		}
	}
}

func drainRows(ctx context.Context, f *fixture) error {
	rows, err := f.s.pool.Query(ctx, `select hdr, data from bodies where account_id = $1`, f.a.id)
	if err != nil {
		return err
	}
	var hdr, data []byte
	_, err = pgx.ForEachRow(rows, []any{&hdr, &data}, func() error { return nil })
	return err
}
