package postgres

import (
	"testing"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// BenchmarkOne changes a flag of one message and reads the mailbox again, as STORE does, beside a bare update with a commit:
// what the ratio leaves is the lock, the journal and the counters, and nothing waits for more than one answer.
func BenchmarkOne(b *testing.B) {
	s := durable(b)
	a, box := addAccount(b, s, "ann@example.org", 0)
	fillRows(b, a, box, 2000)
	_, snap, err := a.Open(b.Context(), store.Inbox)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("store", func(b *testing.B) {
		for i := range b.N {
			op := []imap.StoreFlagsOp{imap.StoreFlagsAdd, imap.StoreFlagsDel}[i/2000%2]
			uid := imap.UID(i*7%2000 + 1)
			res, err := a.SetFlags(b.Context(), box, imap.UIDSetNum(uid), store.FlagChange{Op: op, Flags: []imap.Flag{imap.FlagDraft}})
			if err != nil {
				b.Fatal(err)
			}
			if snap, _, err = a.RefreshTo(b.Context(), snap, res.ModSeq); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bare", func(b *testing.B) {
		for i := range b.N {
			if _, err := s.pool.Exec(b.Context(), `update messages set flags = flags # 16 where account_id = $1 and mailbox_id = $2 and uid = $3`,
				a.id, box, i*7%2000+1); err != nil {
				b.Fatal(err)
			}
		}
	})
}
