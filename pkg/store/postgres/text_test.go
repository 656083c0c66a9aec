package postgres

import (
	"errors"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5/pgconn"

	"postern/pkg/store"
)

// notText cannot be in a text column (SQLSTATE 22021), or only just.
var notText = []string{
	"\x00", "a\x00b", "\xff", "a\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\x80", "e\xcc", "a/\x00/b", "+\xff", "\ufffd", "\u0000\u0301",
}

// TestNotText offers octets that are not text wherever the store takes a string: the answer is one of its own, never
// PostgreSQL's (REQUIREMENTS 37).
func TestNotText(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	f.mail("X: \x00\xff\r\n\r\n\x00\xfe")
	for _, s := range notText {
		for name, ask := range map[string]func() error{
			"Mailbox":   func() error { _, err := f.a.Mailbox(ctx, s); return err },
			"Open":      func() error { _, _, err := f.a.Open(ctx, s); return err },
			"Create":    func() error { _, err := f.a.Create(ctx, s); return err },
			"Delete":    func() error { return f.a.Delete(ctx, s) },
			"Rename":    func() error { return f.a.Rename(ctx, s, "new") },
			"Rename to": func() error { return f.a.Rename(ctx, "Archive", s) },
			"Subscribe": func() error { return f.a.Subscribe(ctx, s, true) },
			"SetFlags": func() error {
				_, err := f.a.SetFlags(ctx, f.inbox, allUIDs, store.FlagChange{Flags: []imap.Flag{imap.Flag(s)}})
				return err
			},
			"Append":      func() error { _, err := f.a.Append(ctx, f.inbox, draftOf(t, s, imap.Flag(s))); return err },
			"Append text": func() error { _, err := f.a.Append(ctx, f.inbox, draftOf(t, s)); return err },
			"Search":      func() error { return f.search(&store.Criteria{SearchCriteria: imap.SearchCriteria{Body: []string{s}}}) },
			"Search by keyword": func() error {
				return f.search(&store.Criteria{SearchCriteria: imap.SearchCriteria{Flag: []imap.Flag{imap.Flag(s)}}})
			},
			"Expunge": func() error {
				_, err := f.a.Expunge(ctx, f.inbox, uidRange(1, 1), store.Actor{Session: s, Protocol: s})
				return err
			},
			"Route":           func() error { _, err := f.s.Route(ctx, s+"@example.org"); return err },
			"Route to detail": func() error { _, err := f.s.Route(ctx, "user+"+s+"@example.org"); return err },
			"Credential":      func() error { _, err := f.s.Credential(ctx, s+"@example.org"); return err },
			"CreateAccount":   func() error { _, err := f.s.CreateAccount(ctx, "u@"+s, "", 0); return err },
			"AddAlias":        func() error { return f.s.AddAlias(ctx, "u@"+s, "user@example.org") },
			"AddAlias target": func() error { return f.s.AddAlias(ctx, "a@example.org", s+"@example.org") },
		} {
			var pe *pgconn.PgError
			if err := ask(); errors.As(err, &pe) {
				t.Errorf("%s of %q: %v", name, s, err)
			}
		}
	}
}

func (f *fixture) search(c *store.Criteria) error {
	_, err := f.a.Search(f.Context(), f.openInbox(f.a), c)
	return err
}
