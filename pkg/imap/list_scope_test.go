package imap

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"postern/pkg/imap/wire"
	"postern/pkg/store"
)

// TestListScope holds LIST of a part of the tree against what it says when the whole tree is before it.
func TestListScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bob, err := w.server.find(t.Context(), w.addUser(t, "bob"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a/b/c", "a/d", "a0", "INBOX/x/y", "Other", "b"} {
		for _, a := range []store.Account{w.account, bob} {
			if _, err := a.Create(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{"a/b", "a/b/c", "a0", "INBOX"} {
		box, err := bob.Mailbox(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		lookup := store.ACLEntry{Identifier: store.Anyone, Rights: store.RightLookup}
		if err := bob.SetACL(t.Context(), box.ID, store.ACLChange{ACLEntry: lookup}); err != nil {
			t.Fatal(err)
		}
	}
	mine := ownerPrefix(bob.Address())
	for _, name := range []string{"a/b/c", "gone/x", "a/gone", "Other Users", mine + "a", mine + "a/b", mine + "gone/x"} {
		if err := w.account.Subscribe(t.Context(), name, true); err != nil {
			t.Fatal(err)
		}
	}
	patterns := []string{
		"*", "%", "INBOX", "inbox", "InBox/%", "i*", "a", "a/%", "a/*", "a%", "a*", "a/b%", "a/%/c", "a/b/c", "gone", "gone/%", "none", "%/x", "O%", "Other",
		"Other*", "Other Users", "Other Users/%", "Other Users/*", mine + "%", mine + "*", mine + "a", mine + "a/b", mine + "INBOX", mine + "a/%", mine + "g%",
		strings.TrimSuffix(mine, "/"), "Other Users/nobody@example.org/%", "Other Users/x/y", "/a/", "a//b",
		"a\x00", "a\x00/%", mine + "a\x00/*", "\x7f", strings.Repeat("a", 256), strings.Repeat("a/", 600) + "%", "Other Users/\x00",
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		some := make([]string, 1+r.IntN(3))
		for i := range some {
			some[i] = wire.EncodeUTF7(patterns[r.IntN(len(patterns))])
		}
		line := fmt.Sprintf(`%s "" ("%s")%s`, []string{"", " (SUBSCRIBED)", " (SUBSCRIBED RECURSIVEMATCH)", " (SPECIAL-USE RECURSIVEMATCH)", " ()"}[r.IntN(5)],
			strings.Join(some, `" "`), []string{"", " RETURN (SUBSCRIBED CHILDREN)", " RETURN (STATUS (MESSAGES))"}[r.IntN(3)])
		narrow, whole := listOf(t, w, line, false), listOf(t, w, line, true)
		if narrow != whole {
			t.Fatalf("LIST%s:\n%s\nof the whole tree:\n%s", line, narrow, whole)
		}
	}
}

func listOf(t *testing.T, w *world, line string, all bool) string {
	t.Helper()
	var b bytes.Buffer
	out := bufio.NewWriter(&b)
	c := &conn{srv: w.server, account: w.account, enc: wire.NewEncoder(out)}
	r, err := parseList(decoderOf(line), 0)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	in := r.scope()
	for _, b := range append(in.mine, in.theirs...) {
		if name, err := store.CanonicalName(b.Top); b.Top != "" && (err != nil || name != b.Top) {
			t.Errorf("%s: asks the store for %q, which is no canonical name", line, b.Top)
		}
	}
	if all {
		in = scope{mine: []store.Branch{wholeTree}, others: true}
	}
	if err := errors.Join(c.listIn(t.Context(), r, in), out.Flush()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
