package postgres

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"postern/pkg/store"
	"postern/pkg/store/postgres/pgtest"
)

func TestKeyringRefusals(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"short key":   {MasterKey: masterKey[:31], Compression: "s2"},
		"no key":      {Compression: "s2"},
		"compression": {MasterKey: masterKey, Compression: "lzma"},
	} {
		if _, err := newKeyring(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestUnwrap opens wrapped keys in the wrong place, and damaged ones.
func TestUnwrap(t *testing.T) {
	t.Parallel()
	ring, err := newKeyring(Options{MasterKey: masterKey, Compression: "s2"})
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := ring.make(1)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(wrapped, masterKey) {
		t.Error("the master key is in the wrapped key")
	}
	one, err1 := ring.unwrap(1, wrapped, ring.id)
	two, err2 := ring.unwrap(1, wrapped, ring.id)
	if err1 != nil || err2 != nil || !bytes.Equal(one.secret, two.secret) || len(one.secret) != keySize {
		t.Errorf("unwrapped %v and %v, %v, %v", one, two, err1, err2)
	}
	if _, err := ring.unwrap(2, wrapped, ring.id); err == nil {
		t.Error("opened for another account")
	}
	if _, err := ring.unwrap(1, wrapped, "other"); !errors.Is(err, ErrMasterKey) {
		t.Errorf("opened under another name: %v", err)
	}
	if _, err := ring.unwrap(1, wrapped[:5], ring.id); err == nil {
		t.Error("opened when cut")
	}
}

// TestOpenWithAnotherMasterKey must say so, not fail on the first message.
func TestOpenWithAnotherMasterKey(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	a, box := addAccount(t, reopen(t, url), "ann@example.org", 0)
	appendTo(t, a, box, draftOf(t, "A: b\r\n\r\nc"))
	_, err := Open(context.Background(), Options{URL: url, MasterKey: bytes.Repeat([]byte{8}, keySize)})
	if !errors.Is(err, ErrMasterKey) {
		t.Errorf("Open: %v", err)
	}
	again := &account{s: reopen(t, url), id: a.id}
	if got := octetsOf(t, again, store.Inbox, 1); string(got) != "A: b\r\n\r\nc" {
		t.Errorf("read back %q", got)
	}
}

// TestTwoMasterKeys has two processes open an empty database with different keys: only one can make accounts.
func TestTwoMasterKeys(t *testing.T) {
	t.Parallel()
	ctx, url := context.Background(), pgtest.New(t)
	first := reopen(t, url)
	second := reopen(t, url, func(o *Options) { o.MasterKey = bytes.Repeat([]byte{8}, keySize) })
	for _, address := range []string{"ann@example.org", "bob@example.org"} {
		if _, err := first.CreateAccount(ctx, address, "", 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := second.CreateAccount(ctx, "eve@example.org", "", 0); !errors.Is(err, ErrMasterKey) {
		t.Errorf("CreateAccount with another key: %v", err)
	}
}

// TestOnlyNoiseIsStored looks for the text of a message in the tables.
func TestOnlyNoiseIsStored(t *testing.T) {
	t.Parallel()
	s := openStore(t, func(o *Options) { o.Compression = "none" })
	a, box := addAccount(t, s, "ann@example.org", 0)
	appendTo(t, a, box, draftOf(t, "Subject: needle\r\n\r\nneedle in the body, all by itself"))
	const sql = `
select count(*)
from bodies
where position('needle'::bytea in hdr) > 0 or position('needle'::bytea in tree) > 0 or position('needle'::bytea in data) > 0`
	if n := counted(t, s, sql); n != 0 {
		t.Error("a message's text can be read in the database")
	}
	if n := counted(t, s, "select count(*) from bodies"); n != 1 {
		t.Errorf("%d rows of bodies", n)
	}
}

func TestLRU(t *testing.T) {
	t.Parallel()
	c := newLRU[int, string](2)
	c.put(1, "one")
	c.put(2, "two")
	c.put(1, "eins")
	c.put(3, "three") // makes 2 go, the one used longest ago
	for key, want := range map[int]string{1: "eins", 2: "", 3: "three"} {
		if got, ok := c.get(key); got != want || ok != (want != "") {
			t.Errorf("%d is %q, %v", key, got, ok)
		}
	}
	c.drop(1)
	c.drop(7)
	if _, ok := c.get(1); ok {
		t.Error("dropped entry is there")
	}
	c.clear()
	if _, ok := c.get(3); ok {
		t.Error("cleared entry is there")
	}
}

// TestPartitions: every account's bodies are where reads look for them.
func TestPartitions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(`insert into accounts select (jsonb_populate_record(a, jsonb_build_object('account_id', n, 'address', n || '@example.com'))).*
		from accounts a, generate_series(100001, 100100) n where account_id = $1`, f.a.id)
	f.exec(`insert into bodies (account_id, blob_id, rawlen, data) select n, 1, 0, '' from generate_series(100001, 100100) n`)
	seen := make(map[string]bool)
	for id := range store.AccountID(100) {
		id += 100001
		var dek []byte
		var kek, want, got string
		if err := f.s.pool.QueryRow(t.Context(), sqlKey, id).Scan(&dek, &kek, &got); err != nil {
			t.Fatal(err)
		}
		if err := f.s.pool.QueryRow(t.Context(), `select tableoid::regclass::text from bodies where account_id = $1`, id).Scan(&want); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("account %d: looked for in %q, they are in %q", id, got, want)
		}
		seen[want] = true
	}
	if len(seen) < 20 {
		t.Errorf("only %d partitions are used", len(seen))
	}
}
