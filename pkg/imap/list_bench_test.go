package imap

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"

	"postern/pkg/imap/wire"
)

// BenchmarkList is what clients ask of an account with 10,000 mailboxes, from the store to the writer; with -pg the store is
// PostgreSQL.
func BenchmarkList(b *testing.B) {
	const n, deep = 10_000, 99
	from := inMemory
	if *overPostgres {
		from = inPostgres(b)
	}
	w := newWorld(b, from)
	for i := range n / (deep + 1) {
		if _, err := w.account.Create(b.Context(), fmt.Sprintf("folder-%02d", i)+strings.Repeat("/below", deep)); err != nil {
			b.Fatal(err)
		}
	}
	c := &conn{srv: w.server, account: w.account, enc: wire.NewEncoder(bufio.NewWriterSize(io.Discard, writeBuffer))}
	for _, bb := range []struct{ name, line string }{
		{"all", ` "" *`},
		{"level", ` "" %`},
		{"one", ` "" INBOX`},
		{"one-deep", ` "" folder-07` + strings.Repeat("/below", 50)},
		{"below", ` "" folder-07` + strings.Repeat("/below", 90) + `/%`},
		{"one-subscribed", ` (SUBSCRIBED) "" INBOX`},
		{"one-status", ` "" INBOX RETURN (STATUS (MESSAGES UNSEEN))`},
		{"status", ` "" * RETURN (STATUS (MESSAGES UNSEEN UIDNEXT HIGHESTMODSEQ))`},
		{"metadata", ` "" * RETURN (METADATA (/private/comment))`},
		{"recursive", ` (SPECIAL-USE RECURSIVEMATCH) "" *`},
		{"hostile", ` "" (` + strings.Repeat("%e%l%b*", 2000) + `)`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := parseList(decoderOf(bb.line), 0)
				if err == nil {
					err = c.list(b.Context(), r)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
