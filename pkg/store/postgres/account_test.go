package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/message"
	"postern/pkg/store"
	"postern/pkg/store/postgres/pgtest"
)

var _ store.Store = (*Store)(nil)

var masterKey = bytes.Repeat([]byte{7}, keySize)

// openStore opens a store on a database of its own.
func openStore(t testing.TB, change ...func(*Options)) *Store {
	t.Helper()
	return reopen(t, pgtest.New(t), change...)
}

// reopen opens a store on a database that a test shares between several.
func reopen(t testing.TB, url string, change ...func(*Options)) *Store {
	t.Helper()
	o := Options{URL: url, MasterKey: masterKey, MaxConns: 8}
	for _, f := range change {
		f(&o)
	}
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// addAccount makes an account and returns it with its INBOX.
func addAccount(t testing.TB, s *Store, address string, quota int64) (*account, store.MailboxID) {
	t.Helper()
	id, err := s.CreateAccount(context.Background(), address, "", quota)
	if err != nil {
		t.Fatal(err)
	}
	a := &account{s: s, id: id}
	return a, boxOf(t, a, store.Inbox).ID
}

func boxOf(t testing.TB, a *account, name string) store.Mailbox {
	t.Helper()
	box, err := a.Mailbox(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

// draftOf spools a message.
func draftOf(t testing.TB, text string, flags ...imap.Flag) *store.Draft {
	t.Helper()
	s, err := message.Spool(strings.NewReader(text), message.SpoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() }) //nolint:errcheck // in memory, or a temporary file
	return &store.Draft{Spooled: s, Flags: flags, Received: time.UnixMilli(1700000000123)}
}

func letter(subject string, body int) string {
	return "Subject: " + subject + "\r\n\r\n" + strings.Repeat("All work and no play.\r\n", body/23+1)
}

func appendTo(t testing.TB, a *account, box store.MailboxID, drafts ...*store.Draft) []imap.UID {
	t.Helper()
	uids, err := a.Append(context.Background(), box, drafts...)
	if err != nil {
		t.Fatal(err)
	}
	return uids
}

// counted runs a statement that counts something.
func counted(t testing.TB, s *Store, sql string, args ...any) (n int) {
	t.Helper()
	if err := s.pool.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// octetsOf reads a message's octets the way sessions do.
func octetsOf(t testing.TB, a *account, box string, uid imap.UID) []byte {
	t.Helper()
	_, snap, err := a.Open(context.Background(), box)
	if err != nil {
		t.Fatal(err)
	}
	for m, err := range a.Messages(context.Background(), snap, imap.UIDSetNum(uid), store.WithBody|store.WithHeader) {
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(io.NewSectionReader(m.Body, 0, m.Size))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	t.Fatalf("no message %d in %s", uid, box)
	return nil
}

// TestAccounts makes, changes and lists accounts as an administrator does.
func TestAccounts(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), openStore(t)
	id, err := s.CreateAccount(ctx, "Ann@Example.ORG", "$argon2id$", 1000)
	if err != nil {
		t.Fatal(err)
	}
	a := &account{s: s, id: id}
	appendTo(t, a, boxOf(t, a, "inbox").ID, draftOf(t, "A: b\r\n\r\nc"))
	want := AccountInfo{ID: id, Address: "ann@example.org", Quota: 1000, Used: 9, Messages: 1, Mailboxes: 6, SecondFactor: "off"}
	checkAccount(t, s, want)
	for _, step := range []struct {
		do     func() error
		expect func(*AccountInfo)
	}{
		{func() error { return s.SetQuota(ctx, id, 0) }, func(i *AccountInfo) { i.Quota = 0 }},
		{func() error { return s.SetDisabled(ctx, id, true) }, func(i *AccountInfo) { i.Disabled = true }},
		{func() error { return s.SetSecret(ctx, id, "new") }, func(*AccountInfo) {}},
		{func() error { return s.SetCapabilities(ctx, id, "IDLE,MOVE") }, func(i *AccountInfo) { i.Disable = "IDLE,MOVE" }},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		step.expect(&want)
		checkAccount(t, s, want)
	}
	c, err := s.Credential(ctx, "ANN@example.org")
	if err != nil || c.Secret != "new" || !c.Disabled || c.Disable != "IDLE,MOVE" || c.Account != id || c.User != "ann@example.org" {
		t.Errorf("credential %+v, %v", c, err)
	}
	checkNewTree(t, a)
}

func checkAccount(t *testing.T, s *Store, want AccountInfo) {
	t.Helper()
	list, err := s.ListAccounts(context.Background())
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	one, err := s.AccountByAddress(context.Background(), want.Address)
	if err != nil || one != list[0] {
		t.Errorf("by address %+v, in the list %+v, %v", one, list[0], err)
	}
	if time.Since(one.Created).Abs() > time.Hour {
		t.Errorf("created %v", one.Created)
	}
	one.Created = time.Time{}
	if one != want {
		t.Errorf("account is %+v, want %+v", one, want)
	}
}

// checkNewTree looks for the mailboxes that every account has, each subscribed and with its use.
func checkNewTree(t *testing.T, a *account) {
	t.Helper()
	boxes, err := a.Mailboxes(context.Background())
	if err != nil || len(boxes) != len(store.DefaultMailboxes) {
		t.Fatalf("%d mailboxes, %v", len(boxes), err)
	}
	for _, want := range store.DefaultMailboxes {
		box := boxOf(t, a, want.Name)
		if !box.Subscribed || !slices.Equal(box.Use, want.Use) || box.UIDValidity == 0 {
			t.Errorf("%+v, want use %v", box, want.Use)
		}
	}
}

// TestAccountRefusals are the errors an administrator may meet.
func TestAccountRefusals(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), openStore(t)
	a, _ := addAccount(t, s, "ann@example.org", 0)
	if err := s.AddAlias(ctx, "info@example.org", "ann@example.org"); err != nil {
		t.Fatal(err)
	}
	create := func(address string) error { _, err := s.CreateAccount(ctx, address, "", 0); return err }
	find := func(address string) error { _, err := s.AccountByAddress(ctx, address); return err }
	login := func(user string) error { _, err := s.Credential(ctx, user); return err }
	handle := func(id store.AccountID) error { _, err := s.Account(ctx, id); return err }
	for i, c := range []struct{ got, want error }{
		{create("ann@EXAMPLE.org"), store.ErrExists},
		{create("info@example.org"), store.ErrExists},
		{create("@example.org"), store.ErrName},
		{create("nobody"), store.ErrName},
		{find("bob@example.org"), store.ErrNotFound},
		{find("bob"), store.ErrNotFound},
		{login("info@example.org"), store.ErrNotFound},
		{login("ann"), store.ErrNotFound},
		{handle(a.id + 1), store.ErrNotFound},
		{s.SetQuota(ctx, a.id+1, 5), store.ErrNotFound},
		{s.SetSecret(ctx, a.id+1, ""), store.ErrNotFound},
		{s.SetDisabled(ctx, a.id+1, true), store.ErrNotFound},
		{s.SetCapabilities(ctx, a.id+1, ""), store.ErrNotFound},
		{s.DeleteAccount(ctx, a.id+1), store.ErrNotFound},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%d: %v, want %v", i, c.got, c.want)
		}
	}
}

// TestDeleteAccount removes an account with mail of every kind: nothing of it is left, and nothing of another is gone.
func TestDeleteAccount(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), openStore(t)
	ann, annBox := addAccount(t, s, "ann@example.org", 0)
	bob, bobBox := addAccount(t, s, "bob@example.org", 0)
	if err := s.AddAlias(ctx, "all@example.org", "ann@example.org", "bob@example.org"); err != nil {
		t.Fatal(err)
	}
	for _, a := range []*account{ann, bob} {
		box := map[*account]store.MailboxID{ann: annBox, bob: bobBox}[a]
		d := draftOf(t, letter("large", 600<<10), "$Important")
		d.DeliveryKey = []byte("key")
		appendTo(t, a, box, d, draftOf(t, letter("small", 10)))
		if _, err := a.Copy(ctx, box, boxOf(t, a, "Archive").ID, allUIDs); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Expunge(ctx, box, imap.UIDSetNum(1), store.Actor{Protocol: "imap"}); err != nil {
			t.Fatal(err)
		}
	}
	s.keys.cached.clear()
	if err := s.DeleteAccount(ctx, ann.id); err != nil {
		t.Fatal(err)
	}
	for _, table := range append(tableNames(), "accounts") {
		if n := counted(t, s, "select count(*) from "+table+" where account_id = $1", ann.id); n != 0 {
			t.Errorf("%d rows of the deleted account in %s", n, table)
		}
	}
	if n := counted(t, s, "select count(*) from messages"); n != 3 {
		t.Errorf("the other account has %d messages, want 3", n)
	}
	if _, err := s.Account(ctx, ann.id); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Account: %v", err)
	}
	if r, err := s.Route(ctx, "all@example.org"); err != nil || len(r.Targets) != 1 || r.Targets[0].Account != bob.id {
		t.Errorf("alias leads to %+v, %v", r, err)
	}
	if _, err := ann.Append(ctx, annBox, draftOf(t, letter("late", 1))); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Append to a deleted account: %v", err)
	}
}

func tableNames() (names []string) {
	for _, t := range accountTables {
		names = append(names, t.name)
	}
	return names
}

// TestDeleteAccountTables fails when a table with an account's rows has been forgotten.
func TestDeleteAccountTables(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	rows, err := s.pool.Query(context.Background(), `
select table_name
from information_schema.columns c
join pg_class p on p.relname = c.table_name and not p.relispartition
where table_schema = 'public' and column_name = 'account_id' and table_name <> 'accounts'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(tableNames(), name) {
			t.Errorf("DeleteAccount does not empty %s", name)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// TestRoute follows addresses to accounts.
func TestRoute(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), openStore(t)
	addAccount(t, s, "ann@example.org", 0)
	addAccount(t, s, "bob@example.org", 0)
	addAccount(t, s, "new+list@example.org", 0)
	for address, targets := range map[string][]string{
		"info@example.org": {"ann@example.org"},
		"all@example.org":  {"bob@example.org"},
		"@example.net":     {"bob@example.org"},
	} {
		if err := s.AddAlias(ctx, address, targets...); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AddAlias(ctx, "all@example.org", "info@example.org", "ann@example.org"); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		"Ann@Example.org":         "ann@example.org/",
		"ann+Lists@example.org":   "ann@example.org/Lists",
		"ann+a+B@example.org":     "ann@example.org/a+B",
		"info@example.org":        "ann@example.org/",
		"info+x@example.org":      "ann@example.org/x",
		"all@example.org":         "ann@example.org/ bob@example.org/",
		"new+list@example.org":    "new+list@example.org/",
		"anything@example.net":    "bob@example.org/",
		"carol@example.org":       "",
		"@example.net":            "",
		"ann":                     "",
		"ann@example.org@other.x": "",
	} {
		if got := routeOf(ctx, s, address); got != want {
			t.Errorf("%s leads to %q, want %q", address, got, want)
		}
	}
}

func routeOf(ctx context.Context, s *Store, address string) string {
	r, err := s.Route(ctx, address)
	if errors.Is(err, store.ErrNotFound) {
		return ""
	}
	var parts []string
	for _, target := range r.Targets {
		parts = append(parts, fmt.Sprintf("%s/%s", target.Address, target.Detail))
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// TestRecipientDelimiter uses another delimiter than "+".
func TestRecipientDelimiter(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), openStore(t, func(o *Options) { o.RecipientDelimiter = "--" })
	addAccount(t, s, "ann@example.org", 0)
	for address, want := range map[string]string{
		"ann--Lists@example.org": "ann@example.org/Lists",
		"ann+Lists@example.org":  "",
		"ann@example.org":        "ann@example.org/",
	} {
		if got := routeOf(ctx, s, address); got != want {
			t.Errorf("%s leads to %q, want %q", address, got, want)
		}
	}
}

// TestAliasRefusals keeps aliases from leading nowhere, or round and round.
func TestAliasRefusals(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), openStore(t)
	addAccount(t, s, "ann@example.org", 0)
	if err := s.AddAlias(ctx, "a0@example.org", "ann@example.org"); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < aliasDepth; i++ {
		if err := s.AddAlias(ctx, fmt.Sprintf("a%d@example.org", i), fmt.Sprintf("a%d@example.org", i-1)); err != nil {
			t.Fatalf("depth %d: %v", i, err)
		}
	}
	last := fmt.Sprintf("a%d@example.org", aliasDepth-1)
	if got := routeOf(ctx, s, last); got != "ann@example.org/" {
		t.Errorf("%s leads to %q", last, got)
	}
	for i, c := range []struct{ got, want error }{
		{s.AddAlias(ctx, "deep@example.org", last), ErrAliasLoop},
		{s.AddAlias(ctx, "a0@example.org", "a3@example.org"), ErrAliasLoop},
		{s.AddAlias(ctx, "self@example.org", "self@example.org"), ErrAliasLoop},
		{s.AddAlias(ctx, "ann@example.org", "a0@example.org"), store.ErrExists},
		{s.AddAlias(ctx, "x@example.org", "nobody@example.org"), store.ErrNotFound},
		{s.AddAlias(ctx, "x@example.org", "elsewhere"), store.ErrName},
		{s.AddAlias(ctx, "x", "ann@example.org"), store.ErrName},
		{s.AddAlias(ctx, "x@example.org"), store.ErrName},
		{s.DeleteAlias(ctx, "a0@example.org"), ErrAliasUsed},
		{s.DeleteAlias(ctx, "x@example.org"), store.ErrNotFound},
		{s.DeleteAlias(ctx, last, "ann@example.org"), store.ErrNotFound},
		{s.DeleteAlias(ctx, last), nil},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%d: %v, want %v", i, c.got, c.want)
		}
	}
	list, err := s.ListAliases(ctx)
	if err != nil || len(list) != aliasDepth-1 || list[0].Address != "a0@example.org" || list[0].Targets[0] != "ann@example.org" {
		t.Errorf("aliases %v, %v", list, err)
	}
}

// TestAccountAgain asks for an account in use, which must not cost every delivery a statement, and for one just deleted.
func TestAccountAgain(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	a, _ := addAccount(t, s, "ann@example.org", 0)
	ask := func() (statements int64, err error) {
		var n atomic.Int64
		_, err = s.Account(context.WithValue(context.Background(), tally{}, &n), a.id)
		return n.Load(), err
	}
	for _, want := range []int64{1, 0} {
		if n, err := ask(); n != want || err != nil {
			t.Errorf("%d statements, want %d; %v", n, want, err)
		}
	}
	if err := s.DeleteAccount(context.Background(), a.id); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after its deletion: %v", err)
	}
}
