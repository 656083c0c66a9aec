package postgres

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// TestDumpAndRestore puts a database with mail of every kind through pg_dump and pg_restore: what clients have in their
// memories, UIDVALIDITY, UIDs, mod-sequences and ids, must be as it was, and work must go on from there (REQUIREMENTS 40).
func TestDumpAndRestore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mail(plain("one", 10), plain("large", 700<<10), plain("three", 10), plain("four", 10))
	appendTo(t, f.a, f.inbox, keyed(draftOf(t, letter("delivered", 10), "$Label"), "key"))
	known := f.openInbox(f.a)
	f.copy(boxOf(t, f.a, "Archive").ID, uidRange(2, 3))
	f.flag(uidRange(1, 2), imap.StoreFlagsAdd, imap.FlagSeen, "$Other")
	f.expunge(uidRange(4, 4))
	if err := f.a.Subscribe(t.Context(), "nowhere", true); err != nil {
		t.Fatal(err)
	}

	again := f.on(reopen(t, f.dumpAndRestore()))
	if was, is := f.memory(f.a, known), f.memory(again, known); was != is {
		t.Errorf("was\n%s\nis\n%s", was, is)
	}
	if err := sameOctets(t, f.a, again); err != nil {
		t.Error(err)
	}
	box := boxOf(t, again, store.Inbox)
	if uids := appendTo(t, again, box.ID, draftOf(t, letter("next", 1))); uids[0] != box.UIDNext {
		t.Errorf("the next message has UID %d, want %d", uids[0], box.UIDNext)
	}
	if uids := appendTo(t, again, box.ID, keyed(draftOf(t, letter("delivered", 10)), "key")); uids[0] != 0 {
		t.Error("a delivery from before the dump was stored again")
	}
	if other, _ := addAccount(t, again.s, "new@example.org", 0); other.id <= f.a.id {
		t.Errorf("the next account has id %d", other.id)
	}
}

// dumpAndRestore copies the fixture's database to another with PostgreSQL's own programs.
func (f *fixture) dumpAndRestore() (url string) {
	f.Helper()
	var bin string
	const sql = `select setting from pg_config where name = 'BINDIR'`
	if err := f.s.pool.QueryRow(f.Context(), sql).Scan(&bin); err != nil {
		f.Fatal(err)
	}
	url, _ = emptied(f.TB)
	dump := filepath.Join(f.TempDir(), "dump")
	for _, args := range [][]string{
		{"pg_dump", "--format=custom", "--file=" + dump, f.url},
		{"pg_restore", "--exit-on-error", "--clean", "--if-exists", "--dbname=" + url, dump},
	} {
		out, err := exec.CommandContext(f.Context(), filepath.Join(bin, args[0]), args[1:]...).CombinedOutput()
		if err != nil {
			f.Fatalf("%s: %v\n%s", args[0], err, out)
		}
	}
	return url
}

// memory writes down what clients remember of an account, and what one of them is told that has known INBOX as it was.
func (f *fixture) memory(a *account, known *store.Snapshot) string {
	f.Helper()
	var b strings.Builder
	boxes, err := a.Mailboxes(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	for _, box := range boxes {
		_, snap, err := a.Open(f.Context(), box.Name)
		if err != nil {
			f.Fatal(err)
		}
		fmt.Fprintf(&b, "%+v %q\n", box, snap.Keywords())
		for i := range snap.Len() {
			fmt.Fprintf(&b, "%+v\n", snap.Row(i))
		}
	}
	now := f.openInbox(a)
	since, err := a.Since(f.Context(), now, known.ModSeq())
	if err != nil {
		f.Fatal(err)
	}
	names, err := a.Subscriptions(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	fmt.Fprintf(&b, "%+v\n%q\n", since, names)
	return b.String()
}

// sameOctets reads all mail of an account in two stores.
func sameOctets(t *testing.T, x, y *account) error {
	boxes, err := x.Mailboxes(context.Background())
	if err != nil {
		return err
	}
	for _, box := range boxes {
		_, snap, err := x.Open(context.Background(), box.Name)
		if err != nil {
			return err
		}
		for i := range snap.Len() {
			uid := snap.UID(i)
			if !slices.Equal(octetsOf(t, x, box.Name, uid), octetsOf(t, y, box.Name, uid)) {
				return fmt.Errorf("%s, UID %d: octets differ", box.Name, uid)
			}
		}
	}
	return nil
}
